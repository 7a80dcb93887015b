"""A driver's answer as a Run. It comes from inside, so every field of it is checked."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from typing import Any

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.driver import decode
from openzaya.envs.sandbox.job import Run, Status

BROKEN_LIMIT = {
    "timeout": (Status.TIMEOUT, "no result in time"),
    "output": (Status.KILLED, "wrote too much"),
    "memory": (Status.KILLED, "took too much memory"),
}
KILLING_ERRORS = ("MemoryError", "BlockingIOError")
"""How the limits on address space and on processes look from inside."""


class Lost(Exception):
    """A sandbox that says nothing, or nothing sensible."""


def read_run(answer: Mapping[str, Any], limits: LimitsConfig, called: bool) -> Run:
    """`called`: the program has an entry, so that a value is expected."""
    try:
        stdout, frames = bytes.fromhex(answer["stdout"]), bytes.fromhex(answer["value"])
        cpu, wall, died = float(answer["cpu"]), float(answer["wall"]), int(answer["signal"])
        why, stderr = str(answer["why"]), str(answer["stderr"])
    except (KeyError, TypeError, ValueError):
        return Run(Status.KILLED, reason="the sandbox sent no sense")

    def run(status: Status, reason: str, value: Any = None, returned: bool = False) -> Run:
        return Run(status, stdout, value, returned, reason, cpu, wall)

    if why:
        return run(*BROKEN_LIMIT.get(why, (Status.KILLED, why[:80])))
    if died == signal.SIGXFSZ:
        return run(Status.KILLED, "wrote too large a file")
    if died:
        names = {int(s): s.name for s in signal.Signals}
        return run(Status.ERROR, f"died of {names.get(died, died)} {stderr[-200:]}".strip())
    told = read_frame(frames)
    if isinstance(told, str):
        return run(Status.OK, told)
    if isinstance(told.get("error"), str):
        error = told["error"][:300]
        broke = error.split(":")[0] in KILLING_ERRORS
        return run(Status.KILLED if broke else Status.ERROR, error)
    if not called or "value" not in told:
        return run(Status.OK, "")
    try:
        return run(Status.OK, "", decode(told["value"]), True)
    except (ValueError, TypeError, RecursionError, AttributeError, OverflowError):
        return run(Status.OK, "returned no readable value")


def read_frame(data: bytes) -> dict[str, Any] | str:
    """The one frame that `data` is, {} for nothing, or what is wrong with it."""
    if not data:
        return {}
    if len(data) < 4 or len(data) - 4 != int.from_bytes(data[:4], "big"):
        return "sent other than one result"
    try:
        told = json.loads(data[4:])
    except (ValueError, RecursionError):
        return "returned no readable value"
    return told if isinstance(told, dict) else "returned no readable value"
