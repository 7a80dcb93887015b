"""The folder that sandboxes read from, and the copy of the interpreter in it.

A sandbox shows candidates an interpreter with its standard library and nothing else: not our
packages, not the checkout, not the home in which Python was installed, which the unprivileged user
that runs candidates may not even enter. So the few parts needed are copied once (about 40 MB) and
shown at their own paths.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from openzaya.errors import EnvError

LEFT_OUT = (
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
    "lib2to3", "ensurepip", "config-*", "*.opt-1.pyc", "*.opt-2.pyc", "*.a",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interpreter:
    executable: Path
    """Its path inside the sandbox."""
    mounts: tuple[tuple[Path, Path], ...]
    """(copy on the host, path inside)."""
    version: str


def cache_folder(chosen: Path | None) -> Path:
    """Ours alone to write, for the unprivileged user to read. EnvError if it is another's."""
    if chosen is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        chosen = Path("/var/cache" if os.geteuid() == 0 else home) / "openzaya"
    try:
        chosen.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        raise EnvError(
            f"the sandbox cannot keep files in {chosen} ({error.strerror})",
            "name a folder with sandbox.folder=PATH",
        ) from None
    info = chosen.stat()
    if info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise EnvError(
            f"{chosen} could be changed by other users", f"chmod go-w {chosen}, or remove it"
        )
    return chosen


def interpreter(folder: Path) -> Interpreter:
    """The running interpreter, copied into `folder` unless it is there."""
    executable = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    stdlib = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    platform = Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix}))
    library = Path(sysconfig.get_config_var("LIBDIR") or "") / str(
        sysconfig.get_config_var("INSTSONAME") or sysconfig.get_config_var("LDLIBRARY")
    )
    parts = list(dict.fromkeys([executable, stdlib, platform]))
    if library.suffix != ".a" and library.is_file():
        parts.append(library)
    told = [sys.version, *(f"{p}:{p.stat().st_mtime_ns}" for p in parts)]
    key = hashlib.blake2b("\n".join(told).encode(), digest_size=8).hexdigest()
    home = folder / f"python-{key}"
    if not home.is_dir():
        building = folder / f"python-{key}.{os.getpid()}"
        for part in parts:
            copy = building / part.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if part.is_dir():
                shutil.copytree(part, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
            else:
                shutil.copy(part, copy)
        _let_read(building)
        try:
            building.rename(home)
        except OSError:  # another process was faster
            shutil.rmtree(building)
    mounts = tuple((home / part.relative_to("/"), part) for part in parts)
    return Interpreter(executable, mounts, sys.version)


def _let_read(folder: Path) -> None:
    """Readable by all, whatever umask and source say."""
    for root, _, files in os.walk(folder):
        os.chmod(root, 0o755)
        for name in files:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
