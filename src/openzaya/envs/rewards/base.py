"""What a chat reward is, and what becomes of text that tries to be more than an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from openzaya.errors import EnvError


class RewardError(EnvError):
    """No score could be had: the fault of verifier or endpoint, never evidence about the answer."""


class ChatReward(Protocol):
    """How good an answer is, in [0, 1]. Use in an `async with` block, which closes connections."""

    async def score(self, prompt: str, answer: str) -> float:
        """RewardError where there is no score: never a silent 0 or 1."""
        ...

    async def score_batch(self, pairs: Sequence[tuple[str, str]]) -> list[float | RewardError]:
        """One score or error for each (prompt, answer), in order."""
        ...


_SPECIAL = re.compile(
    r"<(?=\|)|<(?=/?s>)|<(?=(?:start|end)_of_turn>)|\[(?=/?INST\])|<(?=<SYS>>)", re.IGNORECASE
)


def defused(text: str) -> str:
    """`text` in which no chat template's token is whole: servers read such tokens even in content,
    and an answer that closes its own turn could speak as the user. A word joiner (U+2060) goes
    behind the first character. Half surrogate pairs, which no request can carry, become "?"."""
    text = _SPECIAL.sub(lambda m: m[0] + "\u2060", text)
    return text.encode(errors="replace").decode()
