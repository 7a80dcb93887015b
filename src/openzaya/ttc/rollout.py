"""One slot's rollout: tries, the clock over each, and what counts as a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from openzaya.config.rsa import RSAConfig
from openzaya.errors import ZayaError
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.events import pack_ids
from openzaya.ttc.kinds import find, normalised
from openzaya.ttc.population import NONE, Candidate, Tokens
from openzaya.ttc.tails import reasoning_tokens, tail_ids
from openzaya.types import Completion, FinishReason, Message, Request, Sampler, SamplingParams

T = TypeVar("T")
DELTA_SECONDS = 0.2
"""Between two pieces of a rollout's text that are told."""
ERROR_WIDTH = 500
OVER, OVER_TEXT, SLACK = 2, 8, 16
"""A rollout of more than twice its budget, or whose text makes eight times as many tokens (another
tokenizer may count otherwise), did not keep to it."""


@dataclass(slots=True)
class Try:
    """A rollout on its way. `text` is what it has written so far, if the sampler streams."""

    round: int
    slot: int
    parents: tuple[int, ...]
    seed: int
    messages: tuple[Message, ...]
    text: list[str] = field(default_factory=list)
    tokens: Tokens = NONE
    """Of all tries."""
    tries: int = 0
    error: str = ""
    """Of the last try."""


async def roll(
    job: Try,
    sampler: Sampler,
    config: RSAConfig,
    run_id: str,
    *,
    on_text: Callable[[str], None] | None,
    pay: Callable[[Tokens], bool],
) -> Candidate | None:
    """The candidate, or None when all tries have failed (`job.error`).

    A try whose text was at fault is repeated with another seed, one that never came back with the
    same: the run is then what it would have been. `pay` hears what each try has cost, and says
    whether there may be another.
    """
    loop = asyncio.get_running_loop()
    started, params = loop.time(), params_of(config, job.round, job.seed)
    for n in range(config.retries + 1):
        job.tries, goes_on = n + 1, True
        job.text.clear()
        hear = None if on_text is None else _hearing(job, on_text)
        request = Request(job.messages, params, on_text=hear)
        try:
            async with asyncio.timeout(config.rollout_timeout):
                (made,) = await sampler.sample([request])
                ids = tail_ids(made, config.tail, config.tail_scope, sampler.think_ids)
                tail = await sampler.detokenize(ids)
        except TimeoutError:
            job.error = f"no end within {config.rollout_timeout:g} s"
        except Exception as error:  # a sampler is somebody else's code, and the run outlives it
            job.error = _told(error)
        else:
            tokens = tokens_in(made, sampler)
            job.tokens = job.tokens.plus(tokens)
            goes_on = pay(tokens)
            job.error = trouble(made, params.max_tokens, sampler)
            if not job.error:
                answer = find(config.kind, made.answer)
                vote = None if answer is None else normalised(config.kind, answer)
                return Candidate(
                    job.round, job.slot, job.parents, params.seed, str(made.finish_reason),
                    made.answer, answer, vote or None, pack_ids(ids), tail, job.tokens,
                    loop.time() - started, job.tries,
                )  # fmt: skip
            again = derived_seed(config.seed, run_id, job.round, job.slot, "try", n + 1)
            params = params_of(config, job.round, again)
        if not goes_on:
            break
    return None


def _told(error: Exception) -> str:
    """One line for people."""
    if isinstance(error, ZayaError):
        text = f"{error.message} ({error.hint})" if error.hint else error.message
    else:
        text = f"{type(error).__name__}: {error}"
    return text.replace("\n", " ")[:ERROR_WIDTH]


def params_of(config: RSAConfig, round_: int, seed: int) -> SamplingParams:
    """How a rollout of a round is drawn."""
    late = config if round_ == config.rounds else None
    return SamplingParams(
        config.budget_of(round_),
        _first(late and late.final_temperature, config.temperature),
        _first(late and late.final_top_p, config.top_p),
        seed,
        _first(late and late.final_top_k, config.top_k),
    )


def _first(final: T | None, value: T) -> T:
    return value if final is None else final


def tokens_in(made: Completion, sampler: Sampler) -> Tokens:
    reasoning = min(reasoning_tokens(made, sampler.think_ids), made.decode_tokens)
    return Tokens(len(made.prompt_ids), made.cached_tokens, made.decode_tokens, reasoning)


def trouble(made: Completion, budget: int, sampler: Sampler) -> str:
    """Why a completion is no rollout; empty if it is one."""
    ids, think, ended = made.token_ids[:4].tolist(), sampler.think_ids, made.finish_reason
    if ended is FinishReason.ERROR:
        return "the model's logits held no finite number"
    if ended is FinishReason.ABORT:
        return "the sampler gave it up"
    stopped = ended is FinishReason.STOP
    if not ids or (stopped and {think.open, think.close, think.end}.issuperset(ids)):
        return "it is empty"
    over = made.decode_tokens > OVER * budget + SLACK
    if over or len(made.token_ids) > OVER_TEXT * budget + SLACK:
        return f"it has {made.decode_tokens} tokens, its budget is {budget}"
    return ""


def _hearing(job: Try, on_text: Callable[[str], None]) -> Callable[[str], None]:
    """Keeps what is written, and tells it in pieces."""
    loop, untold, last = asyncio.get_running_loop(), "", -DELTA_SECONDS

    def hear(piece: str) -> None:
        nonlocal untold, last
        job.text.append(piece)
        untold += piece
        if (now := loop.time()) - last >= DELTA_SECONDS:
            last, told, untold = now, untold, ""
            on_text(told)

    return hear
