"""`zaya doctor`: what this machine has, what is missing, and the command that fixes it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version

import typer

GIB = 1024**3
MIN_FREE_DISK = 2 * GIB
"""The demo and its checkpoints need far less; below this the next installation fails."""
REINSTALL = "make install"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `fix` is the command to type when something is amiss."""

    name: str
    value: str
    fix: str = ""
    needed: bool = True
    """Whether OpenZAYA cannot work without it."""


def doctor() -> None:
    """Show what this machine has, what is missing and the command that fixes it."""
    findings = examine()
    for finding in findings:
        mark = "ok" if not finding.fix else "MISSING" if finding.needed else "note"
        typer.echo(f"{mark:8}{finding.name:15}{finding.value}")
        if finding.fix:
            typer.echo(f"{'':8}{'':15}try: {finding.fix}")
    broken = [f.name for f in findings if f.fix and f.needed]
    typer.echo(f"missing: {', '.join(broken)}" if broken else "everything OpenZAYA needs is here")
    if broken:
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """All findings, in the order they are shown."""
    free = shutil.disk_usage(".").free
    low_disk = "df -h  (then free some space)" if free < MIN_FREE_DISK else ""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return [
        Finding("python", f"{platform.python_version()} ({sys.executable})"),
        *_torch(),
        _package("reasoning-gym", "reasoning_gym"),
        _compiler(),
        _sandbox(),
        Finding("cores", str(_cores())),
        Finding("memory", f"{pages / GIB:.1f} GiB"),
        Finding("free disk", f"{free / GIB:.1f} GiB here", low_disk, needed=False),
    ]


def _package(distribution: str, module: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(distribution, "not installed", REINSTALL)
    return Finding(distribution, version(distribution))


def _torch() -> list[Finding]:
    found = _package("torch", "torch")
    if found.fix:
        return [found]
    import torch

    if torch.cuda.is_available():
        device = f"cuda: {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    else:
        device = "cpu"
    return [
        found,
        Finding("device", device),
        Finding("torch threads", str(torch.get_num_threads())),
    ]


def _compiler() -> Finding:
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return Finding("C++ compiler", path)
    fix = "xcode-select --install" if sys.platform == "darwin" else "sudo apt-get install g++"
    return Finding("C++ compiler", "none found; torch.compile cannot be used", fix, needed=False)


def _sandbox() -> Finding:
    """Whether code that a model wrote can be run; the first look takes seconds (self-test)."""
    from openzaya.envs.sandbox import open_sandbox
    from openzaya.errors import EnvError

    try:
        open_sandbox()
    except EnvError as error:
        return Finding("code sandbox", error.message, error.hint, needed=False)
    return Finding("code sandbox", "bubblewrap; its own attacks fail")


def _cores() -> int:
    """Cores this process may use: fewer than the machine has in a container or under taskset."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
