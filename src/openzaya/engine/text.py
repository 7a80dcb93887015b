"""Tokens to text as they come."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers.decoders import DecodeStream

from openzaya.engine.sequence import Sequence
from openzaya.tokenizer import Tokenizer


class TextStream:
    """The text of tokens. Half a character waits for its other half."""

    def __init__(self, tokenizer: Tokenizer, keep_special: bool = False) -> None:
        self._tokenizer = tokenizer.inner
        self._stream = DecodeStream(skip_special_tokens=not keep_special)

    def push(self, tokens: Iterable[int]) -> str:
        """What `tokens` add to the text."""
        parts = (self._stream.step(self._tokenizer, token) for token in tokens)
        return "".join(part for part in parts if part)


class StopTexts:
    """A `Sequence.watch`: ends the sequence once one of its stop texts was written."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self._stream = TextStream(tokenizer)
        self._stop = stop
        self._tail = ""
        self._longest = max(map(len, stop))
        self.found: str | None = None

    def __call__(self, s: Sequence) -> bool:
        self._tail += self._stream.push(s.tokens[-1:])
        self.found = next((text for text in self._stop if text in self._tail), None)
        self._tail = self._tail[-self._longest :]
        return self.found is not None

    def cut(self, text: str) -> str:
        """`text` without the stop text that ended it and what came after."""
        at = text.rfind(self.found) if self.found else -1
        return text if at < 0 else text[:at]
