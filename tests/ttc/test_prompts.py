"""The template's exact words (models are trained on them) and what surrounds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.errors import ConfigError
from openzaya.ttc import aggregation_messages, fixed_phrases
from openzaya.types import Message

V1 = "aggregate-v1"


def test_the_words_of_v1_never_change() -> None:
    [message] = aggregation_messages((Message("user", "2+2?"),), ["so 2+2", "is 4"], V1)
    assert message == Message(
        "user",
        "The ends of earlier attempts follow the problem. Some are wrong or unfinished. "
        "Combine what is right and go on from there.\n"
        "Problem:\n2+2?\n"
        "Attempt 1:\nso 2+2\n"
        "Attempt 2:\nis 4\n"
        "Your solution:",
    )


def test_only_the_last_user_turn_changes() -> None:
    chat = (
        Message("system", "s"),
        Message("user", "first"),
        Message("assistant", "a", reasoning="r"),
        Message("user", "second"),
    )
    out = aggregation_messages(chat, ["t"], V1)
    assert out[:-1] == chat[:-1]
    assert out[-1].role == "user"
    assert "second" in out[-1].content and "first" not in out[-1].content


@given(st.text(), st.lists(st.text(), min_size=1, max_size=12))
def test_phrases_problem_and_tails_are_the_whole_prompt(problem: str, tails: list[str]) -> None:
    """Braces, newlines and headers in the text are just text."""
    head, *headers, close = fixed_phrases(V1, len(tails))
    [message] = aggregation_messages((Message("user", problem),), tails, V1)
    blocks = "".join(h + t for h, t in zip(headers, tails, strict=True))
    assert message.content == head + problem + blocks + close


def test_phrases_are_few_distinct_and_constant() -> None:
    phrases = fixed_phrases(V1, 16)
    assert len(phrases) == len(set(phrases)) == 18
    assert fixed_phrases(V1, 4) == [*phrases[:5], phrases[-1]]


def test_the_prompt_up_to_the_first_tail_is_invariant() -> None:
    one, two = (
        aggregation_messages((Message("user", "q"),), tails, V1)[0].content
        for tails in (["xx", "y"], ["zz", "y"])
    )
    head, header, *_ = fixed_phrases(V1, 2)
    shared = f"{head}q{header}"
    assert one.startswith(shared) and two.startswith(shared)


def test_an_unknown_template_lists_the_known_ones() -> None:
    for call in (
        lambda: aggregation_messages((Message("user", "q"),), ["t"], "v9"),
        lambda: fixed_phrases("v9", 2),
    ):
        with pytest.raises(ConfigError, match="'v9'") as caught:
            call()
        assert V1 in caught.value.hint


@pytest.mark.parametrize("messages", [(), (Message("assistant", "a"),)])
def test_a_conversation_without_a_question_is_a_bug(messages: tuple[Message, ...]) -> None:
    with pytest.raises(AssertionError):
        aggregation_messages(messages, ["t"], V1)
