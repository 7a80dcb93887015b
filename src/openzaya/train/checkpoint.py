"""One commit per checkpoint: weights, optimizer, balancer and position, or nothing.

    checkpoints/step_000200/   config.json, model.safetensors, tokenizer.json, state.pt, manifest
    checkpoints/latest         the name of the newest complete one

A save goes to a temporary folder, gets a manifest of checksums, is flushed to disk, renamed, and
only then becomes `latest`: a kill at any moment leaves the previous checkpoint in force.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import torch

from openzaya.config.train import CheckpointConfig
from openzaya.errors import CheckpointError
from openzaya.model.checkpoint import has_weights, save_model
from openzaya.model.zaya import ZayaForCausalLM
from openzaya.tokenizer import Tokenizer

MANIFEST_FILE = "manifest.json"


class Saver:
    """Writes a run's checkpoints; in the background, where asked, from a copy of the state."""

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder, self.config = folder, config
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(
        self, step: int, model: ZayaForCausalLM, tokenizer: Tokenizer, state: dict[str, Any]
    ) -> Path:
        """Write `step` and make it the latest. Returns its folder, which in the background is
        complete only after `wait`; an error there is raised by the next call."""
        self.wait()
        final = self.place(step)
        if latest(self.folder) == final:  # a step has one outcome, and its checkpoint is in force
            return final
        # Through memory: on a full disk torch's own writer hides the system's error.
        buffer = io.BytesIO()
        torch.save({"step": step, **state}, buffer)
        if not self.config.in_background:
            self._write(final, model, tokenizer, buffer)
            return final
        frozen = copy.deepcopy(model)
        self._thread = threading.Thread(
            target=self._guard, args=(final, frozen, tokenizer, buffer), name="checkpoint"
        )
        self._thread.start()
        return final

    def place(self, step: int) -> Path:
        """The folder of `step`'s checkpoint."""
        return self.folder / f"step_{step:06d}"

    def wait(self) -> None:
        """Until nothing is being written any more."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _guard(self, *arguments: Any) -> None:
        try:
            self._write(*arguments)
        except BaseException as error:  # handed to the training thread
            self._error = error

    def _write(
        self, final: Path, model: ZayaForCausalLM, tokenizer: Tokenizer, state: io.BytesIO
    ) -> None:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{final.name}.tmp"
        for stale in (*folder.glob(".step_*.tmp"), final):
            shutil.rmtree(stale, ignore_errors=True)
        temporary.mkdir()
        save_model(model, temporary)
        tokenizer.save(temporary)
        (temporary / "state.pt").write_bytes(state.getbuffer())
        write_manifest(temporary)
        for path in [*temporary.iterdir(), temporary]:
            _flush(path)
        temporary.rename(final)
        pointer = folder / ".latest.tmp"
        pointer.write_text(final.name)
        _flush(pointer)
        os.replace(pointer, folder / "latest")
        _flush(folder)
        self._drop_old(final)

    def _drop_old(self, newest: Path) -> None:
        """All but the last ones and the milestones, never `newest`."""
        every = self.config.keep_every
        steps = sorted(self.folder.glob("step_*"), key=_step_of)
        for old in steps[: -self.config.keep_last]:
            if old != newest and not (every and _step_of(old) % every == 0):
                shutil.rmtree(old)


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint under a run's checkpoints folder, if there is one."""
    pointer = folder / "latest"
    if not pointer.is_file():
        return None
    found = folder / pointer.read_text().strip()
    if not found.is_dir():
        raise CheckpointError(
            f"{pointer} names {found.name}, which is missing",
            "delete the run folder and start over",
        )
    return found


def weights_folder(path: str | Path) -> Path:
    """The weights that `path` stands for: a weights folder itself, or a run's latest checkpoint."""
    path = Path(path)
    if has_weights(path):
        return path
    found = latest(path / "checkpoints")
    if found is None:
        raise CheckpointError(
            f"{path} holds no weights and no run with a checkpoint",
            "give a folder with model.safetensors, or a run folder such as runs/demo/sft",
        )
    return found


def load_state(checkpoint: Path) -> dict[str, Any]:
    """The training state of one checkpoint."""
    try:
        return torch.load(checkpoint / "state.pt", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{checkpoint / 'state.pt'} cannot be read: {str(error).partition(chr(10))[0]}",
            "restore the file, or start the run over",
        ) from error


def write_manifest(checkpoint: Path) -> None:
    """List every file of the folder with its SHA-256."""
    sums = {p.name: _sha256(p) for p in sorted(checkpoint.iterdir()) if p.name != MANIFEST_FILE}
    (checkpoint / MANIFEST_FILE).write_text(json.dumps(sums, indent=2) + "\n")


def verify(checkpoint: Path) -> None:
    """Raise CheckpointError unless every file is what was written. Reads them all."""
    advice = "restore the file, or point `latest` at an older checkpoint beside it"
    manifest = checkpoint / MANIFEST_FILE
    try:
        sums: dict[str, str] = json.loads(manifest.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{manifest} cannot be read: {error}", advice) from error
    for name, expected in sums.items():
        path = checkpoint / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing", advice)
        if _sha256(path) != expected:
            raise CheckpointError(f"{path} is damaged: its checksum is not the stored one", advice)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step_"))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
