"""Where a checkout is, and what to say when it is not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checkout:
    """One project that its users clone; the variable says where to."""

    project: str
    url: str
    variable: str
    marker: str
    """A path that only this project has."""

    @property
    def how_to_get(self) -> str:
        return f"git clone --depth 1 {self.url}, then set {self.variable} to its folder"

    def path(self) -> str:
        return os.environ.get(self.variable, "")

    def missing(self) -> str:
        """Why it cannot be used; empty if it can."""
        if not self.path():
            return f"there is no checkout of {self.project} ({self.variable} is not set)"
        if not (Path(self.path()) / self.marker).exists():
            return f"{self.variable} is {self.path()}, which holds no {self.marker}"
        return ""
