"""Answer-preserving (AP) trimming: fit a conversation into a budget and keep every answer.

From arXiv 2605.05365: reasoning is cut from its tail, since its beginning carries the plan, and
prompts and answers are never touched. Always trim the ORIGINAL sample, once per context length.
Where the report is silent: the cut is token exact, may leave an empty think block, and leaves no
marker; earlier think blocks go all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from openzaya.chat import THINK, conversation_pieces
from openzaya.errors import DataError
from openzaya.tokenizer import Tokenizer
from openzaya.types import Message

_MERGE_SLACK = 8
"""Text cut between two tokens may re-tokenise to fewer tokens; this many are looked past."""


class TrimAction(StrEnum):
    KEPT = "kept"
    TRIMMED = "trimmed"
    """The last reasoning lost its tail."""
    STRIPPED_AND_TRIMMED = "stripped_and_trimmed"
    """Earlier think blocks are gone; the last reasoning is as long as then fits."""
    DROPPED = "dropped"
    """Prompts and answers alone exceed the budget."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What became of one sample. Tokens count <bos>, as the training example does."""

    messages: tuple[Message, ...] | None  # None: dropped
    action: TrimAction
    tokens_before: int
    tokens_after: int


@dataclass(slots=True)
class TrimReport:
    """What trimming did to a data set, in samples and tokens."""

    kept: int = 0
    cut: int = 0
    earlier_thinking_dropped: int = 0
    sample_dropped: int = 0
    tokens_before: int = 0
    tokens_after: int = 0

    def add(self, trimmed: Trimmed) -> None:
        self.kept += trimmed.action is TrimAction.KEPT
        self.cut += trimmed.action is TrimAction.TRIMMED
        self.earlier_thinking_dropped += trimmed.action is TrimAction.STRIPPED_AND_TRIMMED
        self.sample_dropped += trimmed.action is TrimAction.DROPPED
        self.tokens_before += trimmed.tokens_before
        self.tokens_after += trimmed.tokens_after

    @property
    def tokens_saved(self) -> int:
        """Tokens that training will not see, those of dropped samples included."""
        return self.tokens_before - self.tokens_after


def trim_conversation(messages: Sequence[Message], budget: int, tokenizer: Tokenizer) -> Trimmed:
    """Fit `messages` into `budget` tokens; every prompt and answer survives or the sample goes."""
    original = tuple(messages)
    last = _last_assistant_turn(original)
    tokens_before = len(tokenizer.conversation_ids(original))
    if tokens_before <= budget:
        return Trimmed(original, TrimAction.KEPT, tokens_before, tokens_before)
    stripped = tuple(
        replace(m, reasoning=None) if m.role == "assistant" and i < last else m
        for i, m in enumerate(original)
    )
    for conversation, action in (
        (original, TrimAction.TRIMMED),
        (stripped, TrimAction.STRIPPED_AND_TRIMMED),
    ):
        fitted = _fit_last_reasoning(conversation, last, budget, tokenizer)
        if fitted is not None:
            tokens_after = len(tokenizer.conversation_ids(fitted))
            return Trimmed(fitted, action, tokens_before, tokens_after)
    return Trimmed(None, TrimAction.DROPPED, tokens_before, 0)


def _last_assistant_turn(messages: Sequence[Message]) -> int:
    turns = [i for i, m in enumerate(messages) if m.role == "assistant"]
    if not turns:
        raise DataError(
            "a conversation without an assistant turn has no answer to preserve",
            "leave it out of the data, or split it as plain text",
        )
    return turns[-1]


def _fit_last_reasoning(
    messages: tuple[Message, ...], last: int, budget: int, tokenizer: Tokenizer
) -> tuple[Message, ...] | None:
    """`messages` with the longest beginning of turn `last`'s reasoning that fits, or None."""
    for reasoning in _beginnings(messages, last, budget, tokenizer):
        turn = replace(messages[last], reasoning=reasoning)
        candidate = (*messages[:last], turn, *messages[last + 1 :])
        # Re-tokenised as training will see it, since cut text need not keep its tokens.
        ids = tokenizer.conversation_ids(candidate)
        if len(ids) <= budget:
            after = _ids_after_think(candidate, last, tokenizer)
            assert ids[len(ids) - len(after) :] == after, "trimming reached into the answer"
            return candidate
    return None


def _beginnings(
    messages: tuple[Message, ...], last: int, budget: int, tokenizer: Tokenizer
) -> Iterator[str | None]:
    """Candidate reasonings for turn `last`, longest first, down to none at all."""
    reasoning = messages[last].reasoning
    ids = tokenizer.encode(reasoning) if reasoning else []
    if tokenizer.decode(ids) != (reasoning or ""):
        raise DataError(
            "the tokenizer does not give reasoning text back, so it cannot be cut by token",
            "use a tokenizer whose decode(encode(text)) is text",
        )
    excess = len(tokenizer.conversation_ids(messages)) - budget
    if excess <= 0:
        yield reasoning
    for n in range(min(len(ids), len(ids) - excess + _MERGE_SLACK), 0, -1):
        text = tokenizer.decode(ids[:n])
        # A byte-level token may hold part of a character, which no text can keep.
        if reasoning is not None and reasoning.startswith(text):
            yield text
    yield "" if reasoning is not None else None


def _ids_after_think(messages: tuple[Message, ...], last: int, tokenizer: Tokenizer) -> list[int]:
    """Ids from turn `last`'s </think> to the end: what trimming must leave as it is."""
    rest = (replace(messages[last], reasoning=None), *messages[last + 1 :])
    pieces = conversation_pieces(rest)
    return tokenizer.encode_pieces(pieces[pieces.index(THINK) + 1 :])
