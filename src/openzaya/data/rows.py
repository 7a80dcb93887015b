"""A row of a source as a sample: plain text, or a conversation whose reasoning is told apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openzaya.chat import END_THINK, THINK
from openzaya.config.data import SourceConfig
from openzaya.errors import DataError
from openzaya.types import Message

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: `text`, or `messages`. `key` is a hash of it, `place` is file and row number."""

    text: str | None
    messages: tuple[Message, ...] | None
    key: int
    place: str

    @property
    def words(self) -> str:
        """All text of the sample."""
        if self.messages is None:
            return self.text or ""
        return "\n".join(f"{m.content}\n{m.reasoning or ''}" for m in self.messages)


def read_sample(row: Any, source: SourceConfig, place: str) -> Sample:
    """The sample in a row. DataError, naming the field, where there is none."""
    if not isinstance(row, Mapping):
        raise DataError(f"the row is no table of fields but {type(row).__name__}")
    if source.form == "text":
        text = _string(row, source.text)
        return Sample(text, None, _hash(text), place)
    messages = _chat(row, source) if source.form == "chat" else _pair(row, source)
    plain = json.dumps([[m.role, m.content, m.reasoning] for m in messages], ensure_ascii=False)
    return Sample(None, messages, _hash(plain), place)


def _pair(row: Mapping[str, Any], source: SourceConfig) -> tuple[Message, ...]:
    prompt, answer = _string(row, source.prompt), _string(row, source.answer)
    reasoning = _string(row, source.reasoning) if source.reasoning else None
    if source.answer_mark is not None:
        before, mark, after = answer.rpartition(source.answer_mark)
        if not mark:
            raise DataError(f"{source.answer}: there is no {source.answer_mark!r} in it")
        reasoning, answer = "\n".join(filter(None, (reasoning, before))), after.strip()
    return (Message("user", prompt), Message("assistant", answer, reasoning))


def _chat(row: Mapping[str, Any], source: SourceConfig) -> tuple[Message, ...]:
    turns = row.get(source.messages)
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{source.messages}: no list of messages")
    messages = tuple(_message(turn, f"{source.messages}[{i}]") for i, turn in enumerate(turns))
    if messages[-1].role != "assistant":
        raise DataError(f"{source.messages}: the last turn is the {messages[-1].role}'s")
    return messages


def _message(turn: Any, at: str) -> Message:
    if not isinstance(turn, Mapping):
        raise DataError(f"{at}: no table with role and content")
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        raise DataError(f"{at}: role {role!r} is none of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise DataError(f"{at}: content is no text")
    if role != "assistant":
        return Message(role, content)
    reasoning = turn.get("reasoning_content", turn.get("reasoning"))
    if reasoning is not None and not isinstance(reasoning, str):
        raise DataError(f"{at}: reasoning is no text")
    if reasoning is None and content.lstrip().startswith(THINK):
        reasoning, end, answer = content.lstrip().removeprefix(THINK).partition(END_THINK)
        if not end:
            raise DataError(f"{at}: {THINK} is never closed")
        content = answer
    return Message(role, content, reasoning)


def _string(row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if field not in row:
        raise DataError(f"no field {field!r}; there are {', '.join(map(str, row)) or 'none'}")
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{field}: {'empty' if isinstance(value, str) else 'no'} text")
    return value


def _hash(text: str) -> int:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise DataError("the text holds half a character (a lone surrogate)") from error
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little")
