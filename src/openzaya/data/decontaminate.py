"""Rows that repeat a passage of an evaluation set, found by n-grams of words."""

from __future__ import annotations

import re

from openzaya.config.data import DecontaminateConfig, SourceConfig
from openzaya.data.inputs import Input, Malformed
from openzaya.errors import DataError

FEWEST_WORDS = 5
"""Evaluation texts shorter than this are no passage: they would hit by chance."""
_WORD = re.compile(r"\w+")


class Contamination:
    """The passages that training must not see."""

    def __init__(self, config: DecontaminateConfig) -> None:
        self.passages: dict[int, set[tuple[str, ...]]] = {}
        rows = SourceConfig(path=".", text=config.field)
        for path in config.files:
            found = 0
            for number, row in Input("evaluation", 0, path).rows(rows):
                text = row.get(config.field) if isinstance(row, dict) else None
                if isinstance(row, Malformed) or not isinstance(text, str):
                    raise DataError(
                        f"{path}:{number}: no text in field {config.field!r}",
                        "set data.decontaminate.field, or mend the file",
                    )
                found += 1
                self._add(words_of(text), config.words)
            if not found:
                raise DataError(f"{path} holds no row", "name a file with the evaluation's texts")

    def _add(self, words: list[str], length: int) -> None:
        if len(words) < FEWEST_WORDS:
            return
        size = min(length, len(words))
        known = self.passages.setdefault(size, set())
        known.update(tuple(words[i : i + size]) for i in range(len(words) - size + 1))

    def hits(self, text: str) -> bool:
        """Whether `text` repeats a passage."""
        words = words_of(text)
        return any(
            tuple(words[i : i + size]) in known
            for size, known in self.passages.items()
            for i in range(len(words) - size + 1)
        )


def words_of(text: str) -> list[str]:
    """Lower-case words: punctuation and white space do not hide a copy."""
    return _WORD.findall(text.lower())
