"""Whatever the budget: answers survive to the token, and reasoning loses only its tail."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from openzaya.chat import END_THINK, IM_END, SPECIAL_TOKENS, THINK
from openzaya.data.trimming import TrimAction, Trimmed, TrimReport, trim_conversation
from openzaya.errors import DataError
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer
from openzaya.types import Message

# Phrases and a whole-word token make re-tokenisation after a cut differ from the ids cut.
_PROMPTS = {"t": [f"{'all' if i % 2 else 'sum'} of {i}" for i in range(16)]}
PHRASES = build_phrase_tokenizer(
    _PROMPTS, ["user\n", "assistant\n", "step by step", "so "], string.printable
)


def _byte_tokenizer() -> Tokenizer:
    """One token per byte: a cut may fall inside a character."""
    byte_tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = HFTokenizer(models.BPE({t: i for i, t in enumerate(byte_tokens)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL_TOKENS])
    return Tokenizer(inner)


BYTES = _byte_tokenizer()

_words = st.sampled_from(["all", "ally", "sum", "step by step", "so ", "7", "+", " ", "\n", "x"])
_text = st.lists(_words, max_size=8).map("".join)
_reasoning = st.lists(_words, max_size=25).map("".join)


@st.composite
def _conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(_text)))
        reasoning = draw(st.one_of(st.none(), _reasoning))
        messages.append(Message("assistant", draw(_text), reasoning))
    return tuple(messages)


def _keeps_answers(original: tuple[Message, ...], kept: tuple[Message, ...]) -> bool:
    """The promise of AP trimming, judged on the conversation that training would read."""
    same_turns = [(m.role, m.content) for m in original] == [(m.role, m.content) for m in kept]
    tail = PHRASES.encode_pieces([END_THINK, original[-1].content, IM_END])
    ids = PHRASES.conversation_ids(kept)
    return same_turns and ids[-len(tail) :] == tail


@given(_conversations(), st.integers(0, 140))
def test_trimming_keeps_its_promises(original: tuple[Message, ...], budget: int) -> None:
    result = trim_conversation(original, budget, PHRASES)
    bare = tuple(replace(m, reasoning=None) for m in original)
    fits_bare = len(PHRASES.conversation_ids(bare)) <= budget
    assert (result.messages is not None) == fits_bare  # dropped only when nothing else helps
    assert result.tokens_before == len(PHRASES.conversation_ids(original))
    if result.messages is None:
        assert result.action is TrimAction.DROPPED and result.tokens_after == 0
        return
    assert result.tokens_after == len(PHRASES.conversation_ids(result.messages)) <= budget
    assert _keeps_answers(original, result.messages)
    before, after = original[-1].reasoning or "", result.messages[-1].reasoning or ""
    assert before.startswith(after)
    earlier = [m.reasoning for m in result.messages[:-1]]
    if result.action is TrimAction.STRIPPED_AND_TRIMMED:
        assert not any(earlier)
    else:
        assert earlier == [m.reasoning for m in original[:-1]]
    if result.tokens_before <= budget:
        assert result == Trimmed(
            original, TrimAction.KEPT, result.tokens_before, result.tokens_before
        )
    # Idempotent: what was trimmed fits.
    assert trim_conversation(result.messages, budget, PHRASES).messages == result.messages


_SEVERITY = list(TrimAction)


@given(_conversations(), st.integers(0, 140), st.integers(0, 30))
def test_more_budget_never_costs_reasoning(
    original: tuple[Message, ...], budget: int, more: int
) -> None:
    small = trim_conversation(original, budget, PHRASES)
    large = trim_conversation(original, budget + more, PHRASES)
    assert _SEVERITY.index(large.action) <= _SEVERITY.index(small.action)
    # Across actions the last reasoning may shrink: the larger budget keeps earlier blocks too.
    if small.messages is not None and large.messages is not None and small.action is large.action:
        short, long = small.messages[-1].reasoning or "", large.messages[-1].reasoning or ""
        assert long.startswith(short)


@given(_text, _reasoning, st.integers(0, 60))
def test_single_turns_are_monotone_without_exception(
    answer: str, reasoning: str, budget: int
) -> None:
    original = (Message("user", "7+7"), Message("assistant", answer, reasoning))
    small, large = (trim_conversation(original, b, PHRASES).messages for b in (budget, budget + 1))
    if small is not None:
        assert large is not None
        assert (large[-1].reasoning or "").startswith(small[-1].reasoning or "")


@given(st.text("aé→🙂", min_size=1, max_size=20), st.integers(0, 60))
def test_a_cut_never_splits_a_character(reasoning: str, room: int) -> None:
    original = (Message("user", "q"), Message("assistant", "é", reasoning))
    empty = len(BYTES.conversation_ids((original[0], Message("assistant", "é"))))
    kept = trim_conversation(original, empty + room, BYTES).messages
    assert kept is not None
    after = kept[-1].reasoning or ""
    assert reasoning.startswith(after)
    left = reasoning[len(after) :]
    assert not left or len(after.encode()) + len(left[0].encode()) > room  # as much as fits


def _golden(budget: int) -> Trimmed:
    # 33 ids: <bos> 1; im_start, "user\n", 3, im_end, "\n" 7; im_start, "assistant\n", think, 4,
    # end_think, 1, im_end, "\n" 11; user again with 2: 6; assistant with 2, without "\n": 8.
    return trim_conversation(
        (
            Message("user", "1+1"),
            Message("assistant", "2", "1111"),
            Message("user", "+5"),
            Message("assistant", "7", "77"),
        ),
        budget,
        PHRASES,
    )


@pytest.mark.parametrize(
    ("budget", "action", "reasonings", "tokens"),
    [
        (33, TrimAction.KEPT, ("1111", "77"), 33),
        (32, TrimAction.TRIMMED, ("1111", "7"), 32),
        (31, TrimAction.TRIMMED, ("1111", ""), 31),
        (30, TrimAction.STRIPPED_AND_TRIMMED, (None, "77"), 29),
        (28, TrimAction.STRIPPED_AND_TRIMMED, (None, "7"), 28),
        (27, TrimAction.STRIPPED_AND_TRIMMED, (None, ""), 27),
        (26, TrimAction.DROPPED, None, 0),
    ],
)
def test_golden_two_turns(
    budget: int, action: TrimAction, reasonings: tuple[str | None, ...] | None, tokens: int
) -> None:
    result = _golden(budget)
    assert (result.action, result.tokens_before, result.tokens_after) == (action, 33, tokens)
    kept = result.messages and tuple(m.reasoning for m in result.messages[1::2])
    assert kept == reasonings


def test_a_cut_that_completes_a_word_may_use_the_merge() -> None:
    # "ally" is four letters; cut after "all" it becomes one whole-word token.
    original = (Message("user", ""), Message("assistant", "7", "ally"))
    budget = len(PHRASES.conversation_ids(original)) - 3
    kept = trim_conversation(original, budget, PHRASES)
    assert kept.messages is not None and kept.messages[-1].reasoning == "all"
    assert kept.tokens_after == budget


def test_turns_after_the_last_answer_are_kept() -> None:
    original = (Message("assistant", "7", "77777"), Message("user", "so "))
    budget = len(PHRASES.conversation_ids(original)) - 2
    kept = trim_conversation(original, budget, PHRASES).messages
    assert kept == (Message("assistant", "7", "777"), Message("user", "so "))


def test_right_truncation_breaks_the_promise() -> None:
    """Negative control: cutting the text at the budget loses the answer, and the check sees it."""
    original = (Message("user", "7+7"), Message("assistant", "14", "7+7=14 "))
    budget = len(PHRASES.conversation_ids(original)) - 3
    ids = PHRASES.conversation_ids(original)[:budget]
    text = PHRASES.decode(ids, skip_special=False)
    reasoning, _, answer = text.partition(THINK)[2].partition(END_THINK)
    truncated = (original[0], Message("assistant", answer, reasoning))
    assert not _keeps_answers(original, truncated)
    kept = trim_conversation(original, budget, PHRASES).messages
    assert kept is not None and _keeps_answers(original, kept)


def test_report_counts_what_happened() -> None:
    report = TrimReport()
    for budget in (33, 32, 31, 28, 26):
        report.add(_golden(budget))
    assert (report.kept, report.cut) == (1, 2)
    assert (report.earlier_thinking_dropped, report.sample_dropped) == (1, 1)
    assert report.tokens_saved == 0 + 1 + 2 + 5 + 33


def test_no_assistant_turn_is_an_error() -> None:
    with pytest.raises(DataError, match="without an assistant turn"):
        trim_conversation((Message("user", "7"),), 100, PHRASES)


def test_a_tokenizer_that_changes_text_does_not_change_what_is_kept() -> None:
    inner = HFTokenizer.from_str(BYTES.inner.to_str())
    inner.normalizer = normalizers.Lowercase()
    original = (Message("user", "Q"), Message("assistant", "A", "ABC DEF"))
    tokenizer = Tokenizer(inner)
    whole = len(tokenizer.conversation_ids(original))
    kept = trim_conversation(original, whole - 3, tokenizer)
    assert kept.messages == (original[0], Message("assistant", "A", "ABC "))
    assert kept.tokens_after == whole - 3


@given(st.lists(_words, min_size=150, max_size=250).map("".join), st.integers(0, 200))
@settings(max_examples=30)
def test_long_reasoning_is_as_long_as_fits(reasoning: str, room: int) -> None:
    """By the definition: every beginning that ends where a token does, tokenised anew."""
    original = (Message("user", "7"), Message("assistant", "8", reasoning))
    bare = len(PHRASES.conversation_ids((original[0], Message("assistant", "8"))))
    if len(PHRASES.encode(reasoning)) <= room:
        return
    ends = [0, *(end for _, end in PHRASES.inner.encode(reasoning).offsets)]
    longest = max(end for end in ends if len(PHRASES.encode(reasoning[:end])) <= room)
    kept = trim_conversation(original, bare + room, PHRASES).messages
    assert kept is not None and kept[-1].reasoning == reasoning[:longest]


@given(_conversations(), st.integers(0, 140))
def test_the_ids_of_the_turns_are_those_of_the_conversation(
    original: tuple[Message, ...], budget: int
) -> None:
    result = trim_conversation(original, budget, PHRASES)
    if result.messages is not None:
        joined = [i for turn in result.turns for i in turn]
        assert joined == PHRASES.conversation_ids(result.messages)


GOLDEN = json.loads((Path(__file__).parent / "golden_trimming.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["what"].replace(" ", "-"))
def test_golden_file(case: dict[str, Any]) -> None:
    messages = tuple(Message(*turn) for turn in case["turns"])
    result = trim_conversation(messages, case["budget"], BYTES)
    found = (result.action.value, result.tokens_before, result.tokens_after)
    assert found == (case["action"], case["before"], case["after"])
    if case["reasoning"] is None:
        assert result.messages is None
        return
    assert result.messages is not None
    reasoning = iter(case["reasoning"])
    assert result.messages == tuple(
        replace(m, reasoning=next(reasoning)) if m.role == "assistant" else m for m in messages
    )
    # The answer survives to the token, and nothing follows it that was not there.
    ids = BYTES.conversation_ids(result.messages)
    last = max(i for i, m in enumerate(messages) if m.role == "assistant")
    rest = (replace(messages[last], reasoning=None), *messages[last + 1 :])
    tail = BYTES.conversation_ids(rest)
    tail = tail[tail.index(BYTES.end_think_id) :]
    assert ids[len(ids) - len(tail) :] == tail
