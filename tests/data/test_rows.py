"""What a row means, and what is no row."""

from __future__ import annotations

from typing import Any

import pytest

from openzaya.config.data import SourceConfig
from openzaya.data.rows import read_sample
from openzaya.errors import DataError
from openzaya.types import Message

TEXT = SourceConfig(path=".")
CHAT = SourceConfig(path=".", form="chat")
PAIRS = SourceConfig(path=".", form="pairs", answer_mark="####")


def chat(*turns: dict[str, Any]) -> tuple[Message, ...]:
    messages = read_sample({"messages": list(turns)}, CHAT, "f:1").messages
    assert messages is not None
    return messages


def user(text: str = "hi") -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_reasoning_is_found_wherever_it_stands() -> None:
    want = (Message("user", "hi"), Message("assistant", "yes", "hm\n"))
    for turn in (
        {"content": "yes", "reasoning_content": "hm\n"},
        {"content": "yes", "reasoning": "hm\n"},
        {"content": "<think>hm\n</think>yes"},
        {"content": "\n<think>hm\n</think>yes"},
    ):
        assert chat(user(), {"role": "assistant"} | turn) == want
    plain = chat(user(), {"role": "assistant", "content": "1 <think> 2"})
    assert plain[1] == Message("assistant", "1 <think> 2")


def test_the_last_mark_parts_reasoning_from_answer() -> None:
    row = {"prompt": "p", "answer": "a #### b\n#### 7 \n"}
    messages = read_sample(row, PAIRS, "f:1").messages
    assert messages == (Message("user", "p"), Message("assistant", "7", "a #### b\n"))


BAD: list[tuple[SourceConfig, Any, str]] = [
    (TEXT, ["text"], "list"),
    (TEXT, {"body": "x"}, "'text'.*body"),
    (TEXT, {"text": None}, "text: no"),
    (TEXT, {"text": " \n"}, "empty"),
    (PAIRS, {"prompt": "p"}, "'answer'"),
    (PAIRS, {"prompt": "p", "answer": "7"}, "'####'"),
    (CHAT, {"messages": []}, "no list"),
    (CHAT, {"messages": "hi"}, "no list"),
    (CHAT, {"messages": ["hi"]}, r"messages\[0\]"),
    (CHAT, {"messages": [user()]}, "the user's"),
    (CHAT, {"messages": [user(), {"role": "bot", "content": "x"}]}, r"\[1\].*'bot'"),
    (CHAT, {"messages": [user(), {"role": "assistant", "content": 3}]}, "no text"),
    (CHAT, {"messages": [user(), {"role": "assistant", "content": "<think>x"}]}, "never closed"),
    (CHAT, {"messages": [user(), {"role": "assistant", "content": "", "reasoning": 1}]}, "no text"),
]


@pytest.mark.parametrize(("source", "row", "says"), BAD)
def test_a_malformed_row_says_what_is_wrong(source: SourceConfig, row: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        read_sample(row, source, "f:1")
    assert "\n" not in str(error.value)


def test_the_key_depends_on_the_text_alone() -> None:
    def key(row: dict[str, Any], place: str) -> int:
        return read_sample(row, TEXT, place).key

    assert key({"text": "a"}, "f:1") == key({"text": "a", "other": 1}, "g:9")
    assert key({"text": "a"}, "f:1") != key({"text": "b"}, "f:1")
