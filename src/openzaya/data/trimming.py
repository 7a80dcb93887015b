"""Answer-preserving (AP) trimming: fit a conversation into a budget and keep every answer.

From arXiv 2605.05365: reasoning is cut from its tail, since its beginning carries the plan, and
prompts and answers are never touched. Always trim the ORIGINAL sample, once per context length.
Where the report is silent: the cut is token exact, may leave an empty think block, and leaves no
marker; earlier think blocks go all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from openzaya.data.example import encode_turns
from openzaya.errors import DataError
from openzaya.tokenizer import Tokenizer
from openzaya.types import Message

_MERGE_SLACK = 8
"""Text cut between two tokens may re-tokenise to fewer tokens; this many are looked past."""
_LOOK = 64
"""Only so many tokens before a cut are tokenised to see whether it fits; then all are."""


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
    turns: list[list[int]] = field(default_factory=list, compare=False)
    """Ids of each kept message, as `data.example.encode_turns` gives them."""


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
    """Fit `messages` into `budget` tokens; every prompt and answer survives or the sample goes.

    Every text is tokenised once; reasoning that is cut, about twice more.
    """
    original = tuple(messages)
    last = _last_assistant_turn(original)
    turns = encode_turns(original, tokenizer)
    before = sum(map(len, turns))
    if before <= budget:
        return Trimmed(original, TrimAction.KEPT, before, before, turns)
    stripped, bare = list(original), list(turns)
    for i, message in enumerate(original[:last]):
        if message.role == "assistant":
            head, _, tail = _split_at_thinking(turns[i], tokenizer)
            stripped[i], bare[i] = replace(message, reasoning=None), head + tail
    for conversation, ids, action in (
        (list(original), turns, TrimAction.TRIMMED),
        (stripped, bare, TrimAction.STRIPPED_AND_TRIMMED),
    ):
        others = sum(len(turn) for i, turn in enumerate(ids) if i != last)
        fitted = _fit_reasoning(conversation[last], ids[last], budget - others, tokenizer)
        if fitted is not None:
            conversation[last], ids[last] = fitted
            after = others + len(ids[last])
            return Trimmed(tuple(conversation), action, before, after, ids)
    return Trimmed(None, TrimAction.DROPPED, before, 0)


def _last_assistant_turn(messages: Sequence[Message]) -> int:
    turns = [i for i, m in enumerate(messages) if m.role == "assistant"]
    if not turns:
        raise DataError(
            "a conversation without an assistant turn has no answer to preserve",
            "leave it out of the data, or split it as plain text",
        )
    return turns[-1]


def _fit_reasoning(
    message: Message, turn: list[int], room: int, tokenizer: Tokenizer
) -> tuple[Message, list[int]] | None:
    """`message` and its ids `turn` in at most `room` tokens, with the longest beginning of its
    reasoning; None where the rest alone is too long."""
    head, thinking, tail = _split_at_thinking(turn, tokenizer)
    room -= len(head) + len(tail)
    if room < 0:
        return None
    if len(thinking) <= room:
        return message, turn
    for text in _beginnings(message.reasoning or "", room, tokenizer):
        # Tokenised as training will see it, since cut text need not keep its tokens.
        thinking = tokenizer.encode(text)
        if len(thinking) <= room:
            return replace(message, reasoning=text), head + thinking + tail
    raise AssertionError("no reasoning at all fits any room")


def _beginnings(reasoning: str, room: int, tokenizer: Tokenizer) -> Iterator[str]:
    """Beginnings of `reasoning` that seem to fit `room` tokens, longest first, down to none."""
    # Characters, not decoded ids: no normaliser or half character can change what is kept.
    offsets = tokenizer.inner.encode(reasoning, add_special_tokens=False).offsets
    ends = [0, *(end for _, end in offsets)]
    for n in range(min(len(offsets), room + _MERGE_SLACK), 0, -1):
        whole = max(0, n - _LOOK)
        if whole + len(tokenizer.encode(reasoning[ends[whole] : ends[n]])) <= room:
            yield reasoning[: ends[n]]
    yield ""


def _split_at_thinking(
    turn: list[int], tokenizer: Tokenizer
) -> tuple[list[int], list[int], list[int]]:
    """Ids up to <think>, of the reasoning, and from </think> on."""
    begin, end = turn.index(tokenizer.think_id) + 1, turn.index(tokenizer.end_think_id)
    return turn[:begin], turn[begin:end], turn[end:]
