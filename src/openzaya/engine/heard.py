"""One answer of an endpoint, whole or in pieces, read without trust.

Reasoning comes in a field of its own (`reasoning_content`, `reasoning`), between think tags in the
content, or not at all. Nothing that is read here can be longer than was asked for by much.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openzaya.chat import END_THINK, THINK
from openzaya.engine.endpoint import SHOWN, Passing, complaint, shown
from openzaya.errors import EngineError

LONGEST_TOKEN, SLACK = 128, 65_536
"""Characters per token, and on top, after which a text is not read any further."""
CUT = {"length", "max_tokens", "max_output_tokens"}
BROKEN = {"abort", "error", "cancelled"}
"""What servers write when it was they who ended an answer."""

_TAG = re.compile(f"{re.escape(THINK)}|{re.escape(END_THINK)}")


@dataclass(slots=True)
class Heard:
    """`chunk` for every event of a stream, `whole` for an answer in one piece."""

    url: str
    max_tokens: int
    on_text: Callable[[str], None] | None = None
    reasoning: list[str] = field(default_factory=list)
    content: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    choice: dict[str, Any] = field(default_factory=dict)
    """Its last one: what our server says beyond the text."""
    _apart: bool = False
    """Whether the endpoint has a field for reasoning."""
    _length: int = 0
    _held: str = ""

    def whole(self, table: Any) -> None:
        """Raises EngineError for what is no chat completion, Passing for an empty one."""
        self._complain(table)
        choices = table.get("choices") if isinstance(table, dict) else None
        if not isinstance(choices, list):
            raise self._no_completion(table)
        if not choices:
            raise Passing("an answer without choices")
        message = choices[0].get("message") if isinstance(choices[0], dict) else None
        if not isinstance(message, dict):
            raise self._no_completion(table)
        self._usage(table)
        self._take(choices[0], message)
        self.release()

    def chunk(self, table: Any) -> None:
        """One event. Those without choices bring usage, or nothing."""
        self._complain(table)
        if not isinstance(table, dict):
            raise self._no_completion(table)
        self._usage(table)
        choices = table.get("choices")
        if not isinstance(choices, list) or not choices:
            return
        delta = choices[0].get("delta") if isinstance(choices[0], dict) else None
        if not isinstance(delta, dict):
            raise self._no_completion(table)
        self._take(choices[0], delta)

    def release(self) -> None:
        """The end: what was held back as the possible beginning of a tag was none."""
        self._tell("", final=True)

    def texts(self, opens_think: bool) -> tuple[str, str | None, bool]:
        """(reasoning, answer or None while thinking, whether they were told apart).

        A text without any sign of thinking is both: what the model has worked out stands in it,
        and so does its answer.
        """
        reasoning, content = _whole("".join(self.reasoning)), _whole("".join(self.content))
        if self._apart:  # without an answer the block may be open: nothing tells
            return reasoning, content.strip() or None, True
        if END_THINK in content:
            reasoning, _, content = content.partition(END_THINK)
            return _opened(reasoning), content.strip(), True
        if content.lstrip().startswith(THINK) or (opens_think and content):
            return _opened(content), None, True
        return content, content.strip(), False

    @property
    def cut(self) -> bool:
        """Whether `max_tokens` ended it. Some servers do not say, but count."""
        if self.finish is None:
            return (self.count("completion_tokens") or 0) >= self.max_tokens
        return self.finish in CUT

    def count(self, *path: str) -> int | None:
        """A number of the usage, if the endpoint gave one that can be."""
        value: Any = self.usage
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if type(value) is int and 0 <= value < 2**31 else None

    @property
    def cached_tokens(self) -> int:
        read = self.count("prompt_tokens") or 0
        told = self.count("prompt_tokens_details", "cached_tokens")
        other = self.count("prompt_cache_hit_tokens")  # DeepSeek's name
        return min(read, told if told is not None else other or 0)

    def _usage(self, table: dict[str, Any]) -> None:
        if isinstance(usage := table.get("usage"), dict):
            self.usage = usage

    def _take(self, choice: dict[str, Any], text: dict[str, Any]) -> None:
        self.choice = choice
        if isinstance(finish := choice.get("finish_reason"), str):
            self.finish = finish
        if self.finish in BROKEN:
            raise Passing(f"the endpoint ended its answer itself: {self.finish}")
        thought = text.get("reasoning_content")
        if not isinstance(thought, str):
            thought = text.get("reasoning")
        self._apart |= isinstance(thought, str)
        for piece, to in ((thought, self.reasoning), (text.get("content"), self.content)):
            if isinstance(piece, str) and piece:
                to.append(piece)
                self._length += len(piece)
                self._tell(piece)
        if self._length > self.max_tokens * LONGEST_TOKEN + SLACK:
            raise overlong(self.url, f"{self._length} characters", self.max_tokens)

    def _tell(self, piece: str, final: bool = False) -> None:
        """The listener's pieces: no tags, though their letters may come one by one."""
        if self.on_text is None:
            return
        text = _TAG.sub("", self._held + piece)
        keep = 0 if final else max(map(_overlap, (text, text), (THINK, END_THINK)))
        self._held = text[len(text) - keep :]
        if text := text[: len(text) - keep]:
            self.on_text(text.encode("utf-8", "replace").decode())

    def _complain(self, table: Any) -> None:
        """An error object, whatever the status was."""
        found = complaint(table)
        if found is None:
            return
        said = re.sub(r"\s+", " ", found.message)[:SHOWN]
        if not found.final:
            raise Passing(f"an error as its answer: {said}")
        raise EngineError(
            f"{shown(self.url)} refuses: {said}",
            "check the name of the model and the fields that are sent",
        )

    def _no_completion(self, table: Any) -> EngineError:
        return no_completion(self.url, str(table))


def no_completion(url: str, text: str) -> EngineError:
    """What answered is something else."""
    return EngineError(
        f"{shown(url)} answered with no chat completion: {text[:100]!r}",
        "check that the URL ends where /chat/completions begins, as in .../v1",
    )


def overlong(url: str, length: str, max_tokens: int) -> EngineError:
    """More than was asked for: no budget holds before such an endpoint."""
    return EngineError(
        f"{shown(url)} wrote {length} where max_tokens was {max_tokens}",
        "it does not honour max_tokens; sampler.fields=openai sends max_completion_tokens instead",
    )


def _opened(text: str) -> str:
    start = text.lstrip()
    return start.removeprefix(THINK) if start.startswith(THINK) else text


def _whole(text: str) -> str:
    """Halves of characters that came apart, joined; those without their other half, replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _overlap(text: str, tag: str) -> int:
    """Length of the longest beginning of `tag` that `text` ends in, short of all of it."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(tag[:n])), 0)
