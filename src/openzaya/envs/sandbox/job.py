"""What goes into a sandbox and what comes out: programs, inputs, runs.

An expected output is in none of them. A sandbox runs a program on inputs; whoever asked compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.driver import encode

Language = Literal["python", "cpp"]


@dataclass(frozen=True, slots=True)
class Program:
    """Source text. With an `entry` it is called, as ``entry(*args)``; without, it reads standard
    input and writes standard output."""

    language: Language
    code: str
    entry: str | None = None
    """A Python expression of the program, for instance ``solve`` or ``Solution().twoSum``."""


@dataclass(frozen=True, slots=True)
class Call:
    """Arguments: None, bool, int, float, complex, str, bytes, and lists, tuples, sets and dicts of
    them."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


Input = bytes | Call
"""Standard input of a program, or the arguments of its entry."""


class Status(StrEnum):
    OK = "ok"
    """It ended by itself. Not a verdict: what it wrote or returned is."""
    ERROR = "error"
    """It did not compile, raised, or died of its own fault."""
    TIMEOUT = "timeout"
    KILLED = "killed"
    """It broke another limit."""
    FAILED = "failed"
    """The sandbox failed; nothing is known about the program."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one program did with one input. Exit codes are not told: they prove nothing."""

    status: Status
    stdout: bytes = b""
    value: Any = None
    """What the entry returned (plain builtins), if `returned`."""
    returned: bool = False
    reason: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


Accept = Callable[[int, Run], bool]
"""(number of the input, its run) -> whether the next input is worth running."""


class Backend(Protocol):
    """One way to run code. Thread-safe; `execute` blocks."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever results or guarantees might."""
        ...

    def execute(
        self, program: Program, inputs: Sequence[Input], limits: LimitsConfig, accept: Accept
    ) -> list[Run]:
        """A run for each input, in order, up to the first that `accept` refuses."""
        ...


def job_key(
    program: Program, inputs: Sequence[Input], limits: LimitsConfig, fingerprint: str
) -> str:
    """Hash of all that decides a result."""
    plain = [
        {"stdin": i.hex()} if isinstance(i, bytes) else [encode(i.args), encode(dict(i.kwargs))]
        for i in inputs
    ]
    whole = [
        program.language, program.code, program.entry, plain, limits.model_dump(), fingerprint
    ]  # fmt: skip
    return hashlib.blake2b(json.dumps(whole).encode(), digest_size=20).hexdigest()
