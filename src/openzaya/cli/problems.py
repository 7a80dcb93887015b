"""What `zaya solve` is asked: one text, a file with one, or a file with many."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openzaya.config.rsa import Kind
from openzaya.errors import DataError
from openzaya.ttc.kinds import FORMS
from openzaya.types import Message

STDIN = "-"
TEXTS, MANY = (".txt", ".md"), (".jsonl", ".ndjson")
LONGEST_NAME = 80
MARKS: dict[Kind, str] = {
    "math": "boxed", "choice": "boxed", "puzzle": "<answer>", "code": "```", "free": "",
}  # fmt: skip
"""What a problem that asks for the form itself has in it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem. `answer`: the right one, for scoring."""

    id: str
    messages: tuple[Message, ...]
    answer: str | None = None

    @property
    def question(self) -> str:
        return self.messages[-1].content

    @property
    def file(self) -> str:
        """Name of its journal."""
        plain = re.sub(r"[^\w.-]", "_", self.id, flags=re.ASCII)[:LONGEST_NAME].lstrip(".")
        return f"{plain}.jsonl" if plain == self.id else f"{plain}-{_hash(self.id)}.jsonl"


def read(source: str) -> list[Asked]:
    """The problems that `source` is or names; DataError for a file that holds none.

    JSONL: an object a line with `problem` (or `question`, or `messages` with roles), and if there
    are, `id` and `answer`. Of an answer like GSM8K's, what stands behind the last ####.
    """
    if source == STDIN:
        return _parse(_text(sys.stdin.buffer.read(), "stdin"), "stdin", many=None)
    path = Path(source)
    ending = path.suffix.lower()
    if _is_file(path):
        return _parse(_text(path.read_bytes(), source), source, many=ending in MANY)
    if ending in (*TEXTS, *MANY) and not re.search(r"\s", source):
        raise DataError(f"{source}: no such file", "check the path")
    return _parse(source, "the command line", many=False)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a problem may be longer than any file's name
        return False


def _text(raw: bytes, source: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: not UTF-8 text (byte {error.start})", "save it as UTF-8"
        ) from None


def _parse(text: str, source: str, many: bool | None) -> list[Asked]:
    """`many` None: what looks like JSONL is."""
    if many is None:
        first = next((line for line in text.splitlines() if line.strip()), "")
        many = first.lstrip().startswith("{") and _object(first) is not None
    if not text.strip():
        raise DataError(f"{source}: no problem in it", "write one")
    if not many:
        question = text.strip() if source != "the command line" else text
        return [Asked(_hash(question), (Message("user", question),))]
    found: dict[str, Asked] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            asked = _row(_object(line), f"{source}:{number}", found)
            found[asked.id] = asked
    return list(found.values())


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _row(row: dict[str, Any] | None, place: str, found: dict[str, Asked]) -> Asked:
    if row is None:
        raise DataError(f"{place} is no JSON object", "write one problem a line")
    messages = _messages(row, place)
    answer = row.get("answer")
    if answer is not None:
        answer = str(answer).rpartition("####")[2].strip()
    id_ = str(row.get("id") or _hash(json.dumps([m.content for m in messages])))
    if id_ in found:
        if row.get("id"):
            raise DataError(f"{place}: the id {id_} is there twice", "give each problem its own")
        id_ = f"{id_}-{len(found)}"
    return Asked(id_, messages, answer)


def _messages(row: dict[str, Any], place: str) -> tuple[Message, ...]:
    turns = row.get("messages")
    if turns is None:
        text = row.get("problem", row.get("question"))
        turns = [{"role": "user", "content": text}]
    try:
        made = tuple(Message(t["role"], t["content"]) for t in turns)
        whole = all(isinstance(m.content, str) and isinstance(m.role, str) for m in made)
        if whole and made[-1].role == "user" and made[-1].content.strip():
            return made
    except (TypeError, KeyError, IndexError):
        pass
    raise DataError(
        f"{place} holds no problem",
        'give it as "problem": "...", or as "messages" that end with the user\'s',
    )


def in_form(messages: tuple[Message, ...], kind: Kind) -> tuple[Message, ...]:
    """The conversation, asking for the answer in the form in which it is looked for."""
    last = messages[-1]
    if not FORMS[kind] or MARKS[kind] in last.content:
        return messages
    return (*messages[:-1], replace(last, content=f"{last.content}\n\n{FORMS[kind]}"))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=4).hexdigest()
