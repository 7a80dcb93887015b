"""A run folder: everything one run wrote, and who may write to it.

    config.toml     the resolved config; loading it reproduces the run
    metrics.jsonl   one line per logged step
    .lock           held by the process that is writing

A file is replaced whole or not at all, and metrics lose at most their last line to a crash, so
a run can be killed at any point. Left out: checkpoints (`train` writes them beside these files)
and handling of a full disk (the command line's one error boundary tells the user).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from openzaya.config.base import Config, diff, load_recipe, to_toml
from openzaya.errors import RunError

CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.jsonl"
LOCK_FILE = ".lock"
CONFIG_HEADER = "# The resolved config of this OpenZAYA run."
"""First line of our config.toml. Other software has config.toml files too, and `overwrite` must
never take their folders for ours."""

C = TypeVar("C", bound=Config)


class RunDir:
    """One run's folder. `create` gives the right to write; `open` is for readers.

    A created RunDir holds the folder's lock until `close` or the end of the process, also when
    it is garbage-collected: use it in a ``with`` block.
    """

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path = path
        self._lock = lock
        self._silent = False
        self._listeners: list[Callable[[int, dict[str, Any]], None]] = []

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config: Config,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> RunDir:
        """Lock `path` for writing and store `config` in it. A new or empty folder is always fine.

        `resume` goes on in a run folder whose config equals `config`, but for the keys that say
        `how` to run; `overwrite` empties a run folder first. Nothing is deleted from a folder that
        is not ours. Raises RunError.
        """
        folder = Path(path)
        if resume and overwrite:
            raise RunError(
                f"{folder}: cannot both resume and overwrite", "drop --resume or --overwrite"
            )
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder} is a file, not a run folder", "name another folder")
        _refuse_foreign(folder)  # before locking: no file of ours goes into a foreign folder
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, _acquire_lock(folder))
        try:
            run._claim(config, resume, overwrite)
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def watching(cls, path: str | os.PathLike[str]) -> RunDir:
        """The run folder of another rank, which alone writes: here, writing does nothing."""
        run = cls(Path(path), None)
        run._silent = True
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDir:
        """An existing run folder, for reading. Raises RunError when it is missing or foreign."""
        folder = Path(path)
        if not folder.is_dir():
            raise RunError(f"{folder}: no such run folder", "check the path; runs live under runs/")
        if not _is_run(folder):
            raise _foreign(folder)
        return cls(folder, None)

    def _claim(self, config: Config, resume: bool, overwrite: bool) -> None:
        """Settle, under the lock, what happens to the files that are already here."""
        _refuse_foreign(self.path)  # again: another process may have filled it before our lock
        if not _is_run(self.path):
            pass
        elif overwrite:
            self._empty()
        elif resume:
            differing = diff(self.config(type(config)), config)
            changed = [key for key in differing if key.partition(".")[0] not in config.how]
            if changed:
                raise RunError(
                    f"{self.path} was started with another config: {', '.join(changed)} differ",
                    f"restore these keys (see {self.path / CONFIG_FILE}) or use another folder",
                )
            self._drop_torn_line()
        else:
            raise RunError(
                f"{self.path} already holds a run",
                "add --resume to go on with it, or --overwrite to delete it and start again",
            )
        self.write_text(CONFIG_FILE, f"{CONFIG_HEADER}\n{to_toml(config)}")

    def _empty(self) -> None:
        # The config goes last: if we are stopped halfway, this is still a run folder of ours.
        entries = [p for p in self.path.iterdir() if p.name not in (LOCK_FILE, CONFIG_FILE)]
        for entry in [*entries, self.path / CONFIG_FILE]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def config(self, cls: type[C]) -> C:
        """The config this run was started with. Raises ConfigError when it is no `cls`."""
        return load_recipe(cls, self.path / CONFIG_FILE)

    def log(self, step: int, **values: Any) -> None:
        """Append one line of metrics: plain numbers, strings and lists of them."""
        if self._silent:
            return
        self._check_writable()
        line = json.dumps({"step": step, **values}) + "\n"
        with (self.path / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(line)
        for hear in self._listeners:
            hear(step, values)

    def listen(self, hear: Callable[[int, dict[str, Any]], None]) -> None:
        """Let `hear` have every (step, values) that is logged from now on."""
        self._listeners.append(hear)

    def metrics(self) -> list[dict[str, Any]]:
        """All logged lines in order. A last line without its newline was torn by a crash: gone."""
        return [json.loads(line) for line in self._metric_lines()]

    def last(self, key: str, step: int) -> Any | None:
        """What was logged under `key` for exactly `step`; None if nothing was."""
        found = [m[key] for m in self.metrics() if m["step"] == step and key in m]
        return found[-1] if found else None

    def rewind(self, step: int) -> None:
        """Drop metrics of steps after `step`: training resumes there and logs them again."""
        if self._silent:
            return
        self._check_writable()
        kept = [line for line in self._metric_lines() if json.loads(line)["step"] <= step]
        write_atomic(self.path / METRICS_FILE, b"".join(line + b"\n" for line in kept))

    def write_json(self, name: str, value: Any) -> None:
        """Replace the file `name` atomically with `value` as indented JSON."""
        self.write_text(name, json.dumps(value, indent=2) + "\n")

    def has(self, name: str) -> bool:
        """Whether the file `name` was written."""
        return (self.path / name).is_file()

    def read_json(self, name: str) -> Any:
        """What `write_json` stored as `name`. Raises RunError when there is none."""
        file = self.path / name
        if not file.is_file():
            raise RunError(
                f"{self.path} has no {name}", "the run stopped before writing it: --resume it"
            )
        return json.loads(file.read_text(encoding="utf-8"))

    def write_text(self, name: str, text: str) -> None:
        """Replace the file `name` atomically; folders in `name` are made."""
        if self._silent:
            return
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text.encode("utf-8"))

    def close(self) -> None:
        """Give the lock back. Closing twice is fine."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_writable(self) -> None:
        assert self._lock is not None, "this RunDir was opened for reading, or is closed"

    def _metric_lines(self) -> list[bytes]:
        file = self.path / METRICS_FILE
        return file.read_bytes().split(b"\n")[:-1] if file.is_file() else []

    def _drop_torn_line(self) -> None:
        """The next `log` must not glue its line to half a line."""
        file = self.path / METRICS_FILE
        if file.is_file():
            os.truncate(file, sum(len(line) + 1 for line in self._metric_lines()))


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader, or a crash at any point, sees the old or the new whole.

    A full disk leaves the old file in place.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, half a file is space the user needs
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)


def _is_run(folder: Path) -> bool:
    file = folder / CONFIG_FILE
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(CONFIG_HEADER)) == CONFIG_HEADER.encode()


def _refuse_foreign(folder: Path) -> None:
    """Raise RunError unless `folder` is missing, empty or a run folder."""
    if not folder.exists() or _is_run(folder):
        return
    # A process killed before it wrote config.toml leaves these two behind.
    ours = {LOCK_FILE, f".{CONFIG_FILE}.tmp"}
    if any(entry.name not in ours for entry in folder.iterdir()):
        raise _foreign(folder)


def _foreign(folder: Path) -> RunError:
    return RunError(
        f"{folder} is not a run folder: it has no {CONFIG_FILE} written by OpenZAYA",
        "name a run folder, or a folder that does not exist yet",
    )


def _acquire_lock(folder: Path) -> int:
    """File descriptor that holds the lock; the kernel frees it when the process ends."""
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise RunError(
            f"another process is writing to {folder}",
            "wait for it or stop it, or name another folder",
        ) from None
    return lock
