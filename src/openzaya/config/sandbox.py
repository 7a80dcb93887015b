"""Where code that a model wrote is run, and how much of the machine it gets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from openzaya.config.base import Config


class LimitsConfig(Config):
    """What one run of a program may use; breaking any of these ends it."""

    cpu_seconds: PositiveFloat = 5.0
    """Processor time, rounded up to whole seconds by the kernel."""
    wall_seconds: PositiveFloat = 15.0
    """Time on the clock: longer, since a busy machine makes a program wait."""
    memory_mb: PositiveInt = 512
    """Address space of each process; all together may hold twice as much."""
    processes: PositiveInt = 32
    """Processes and threads at one time."""
    output_kb: PositiveInt = 256
    """Bytes written to standard output, to standard error, or as a result."""
    file_mb: PositiveInt = 16
    """Size of a file."""
    scratch_mb: PositiveInt = 16
    """Size of /tmp and of /dev/shm, which are empty at the start of every run."""
    open_files: PositiveInt = 64
    """Descriptors of a process."""
    stack_mb: PositiveInt = 64
    """Stack of a process's first thread."""


class SandboxConfig(Config):
    """The `sandbox` table."""

    backend: Literal["bubblewrap", "piston", "sandboxfusion"] = "bubblewrap"
    """bubblewrap runs here; the others are services that speak these projects' HTTP."""
    url: str | None = None
    """Address of the service."""
    unsafe_local: bool = False
    """Run code without isolation where no sandbox can be built; what is missing is printed."""
    workers: PositiveInt | None = None
    """Programs that run at once; none: one per core."""
    cache_mb: PositiveFloat = 64.0
    """Memory for results of programs that were run before."""
    folder: Path | None = None
    """Where the interpreter's copy, the precompiled header and binaries are kept; none:
    ~/.cache/openzaya, or /var/cache/openzaya for root."""
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    """Of a program whose problem sets none."""
