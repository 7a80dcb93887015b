"""What one optimizer step learns from: whole examples in windows of a fixed number of tokens."""

from __future__ import annotations

from dataclasses import dataclass

from openzaya.data.example import Example


@dataclass(frozen=True, slots=True)
class Batch:
    """`windows` holds the examples of each window, `window` its size in tokens."""

    windows: list[list[Example]]
    window: int

    @property
    def examples(self) -> list[Example]:
        """All examples, window after window."""
        return [example for members in self.windows for example in members]

    def micro(self, tokens: int | None) -> list[list[list[Example]]]:
        """The windows in runs of at most `tokens` (None: all at once), never less than one window.

        Counted in windows, full or not: ranks that have as many windows make as many runs.
        """
        count = max(1, tokens // self.window) if tokens else max(1, len(self.windows))
        return [self.windows[i : i + count] for i in range(0, len(self.windows), count)]

    @property
    def tokens(self) -> int:
        return sum(map(len, self.examples))

    @property
    def targets(self) -> int:
        """Tokens that have a loss."""
        return sum(int(example.loss_mask.sum()) for example in self.examples)

    @property
    def fill(self) -> float:
        """Share of the windows that holds data, in [0, 1]; the rest would be padding."""
        return self.tokens / (self.window * len(self.windows)) if self.windows else 1.0
