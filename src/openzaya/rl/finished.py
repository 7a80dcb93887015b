"""Rollouts that ended since the last checkpoint, on disk: a kill loses none of them.

One JSON line each, with its group's prompt; a checkpoint holds what came before it, and empties the
file. Only asynchronous runs keep one: a synchronous run draws the same rollouts again.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from openzaya.rl.orchestrator import Group
from openzaya.rl.prompts import Prompt
from openzaya.rl.rollout import Judged


class Finished:
    """The file; lines are flushed one by one, so a kill cuts the last one at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")

    def add(self, group: Group[Judged], slot: int, judged: Judged) -> None:
        buffer = io.BytesIO()
        torch.save(judged.plain(), buffer)
        line = {
            "group": group.id, "prompt": group.prompt.plain(), "slot": slot,
            "rollout": base64.b85encode(buffer.getvalue()).decode(),
        }  # fmt: skip
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def clear(self) -> None:
        """A checkpoint has been committed."""
        self._file.truncate(0)

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[tuple[int, Prompt, int, Judged]]:
    """(group, its prompt, slot, rollout) of every whole line."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        row: dict[str, Any] = json.loads(line)
        raw = io.BytesIO(base64.b85decode(row["rollout"]))
        rollout = Judged.of(torch.load(raw, weights_only=True))
        yield row["group"], Prompt.of(row["prompt"]), row["slot"], rollout
