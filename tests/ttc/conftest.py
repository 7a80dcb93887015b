"""A scripted `Sampler`: bytes for tokens, and text that is a pure function of prompt and seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from openzaya.chat import END_THINK, IM_END, IM_START, THINK, prompt_pieces
from openzaya.types import Completion, FinishReason, Request, ThinkIds

SPECIAL = {THINK: 256, END_THINK: 257, IM_END: 258, IM_START: 259}
TEXT_OF = {i: text for text, i in SPECIAL.items()}
THOUGHTS = ("12+7=19\n", "so\n\n", "🙂", "naïve ", "def f(x):\n    return x\n", "  ", "wait, ")
"""No thought holds the answer's marker, so that a leak of the answer shows."""
MARK = "§"


def encode(text: str) -> list[int]:
    """Special tokens to their ids, everything else to its UTF-8 bytes."""
    pieces = re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text)
    return [i for p in pieces for i in ([SPECIAL[p]] if p in SPECIAL else p.encode())]


def decode(ids: Sequence[int], keep_special: bool = False) -> str:
    """A character that was cut in two becomes U+FFFD, as byte-level tokenizers do it."""
    data = b"".join(
        bytes([i]) if i < 256 else TEXT_OF[i].encode() if keep_special else b"" for i in ids
    )
    return data.decode(errors="replace")


def think_then_answer(prompt: str, seed: int) -> list[int]:
    """Ids of a whole rollout, before its budget cuts it."""
    rng = random.Random(f"{seed}:{prompt}")
    thoughts = "".join(rng.choice(THOUGHTS) for _ in range(rng.randint(0, 12)))
    answer = f"{MARK}{rng.randint(0, 3)}{MARK}"
    return [*encode(thoughts), SPECIAL[END_THINK], *encode(answer), SPECIAL[IM_END]]


class ScriptedSampler:
    """Answers with `script(prompt text, seed)`, cut to the budget; remembers what it was asked."""

    def __init__(self, script: Callable[[str, int], list[int]] = think_then_answer) -> None:
        self.think_ids = ThinkIds(SPECIAL[THINK], SPECIAL[END_THINK], SPECIAL[IM_END])
        self.script = script
        self.asked: list[Request] = []
        self.made: dict[int, Completion] = {}
        """By seed."""

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += requests
        done = [self.complete(r) for r in requests]
        self.made |= {r.params.seed: c for r, c in zip(requests, done, strict=True)}
        return done

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return decode(token_ids)

    def complete(self, request: Request) -> Completion:
        prompt = "".join(prompt_pieces(request.messages))
        ids = self.script(prompt, request.params.seed)[: request.params.max_tokens]
        stopped = ids[-1] == self.think_ids.end
        text = decode(ids, keep_special=True)
        reasoning, closed, answer = text.removesuffix(IM_END).partition(END_THINK)
        return Completion(
            prompt_ids=np.array(encode(prompt), dtype=np.int32),
            token_ids=np.array(ids, dtype=np.int32),
            logprobs=np.zeros(len(ids), dtype=np.float32),
            policy_version=np.zeros(len(ids), dtype=np.int32),
            finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
            text=text,
            reasoning=reasoning,
            answer=answer.strip() if closed else None,
        )


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedSampler]:
    """The class, not an instance: hypothesis draws many runs inside one test."""
    return ScriptedSampler
