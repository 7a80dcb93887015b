"""One commit per checkpoint: weights, optimizer, balancer and position, or nothing.

    checkpoints/step_000200/   config.json, model.safetensors, tokenizer.json, state.pt
    checkpoints/latest         the name of the newest complete one

A save goes to a temporary folder, is flushed to disk, renamed, and only then becomes `latest`:
a kill at any moment leaves the previous checkpoint in force.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from openzaya.errors import CheckpointError
from openzaya.model.checkpoint import has_weights, save_model
from openzaya.model.zaya import ZayaForCausalLM
from openzaya.tokenizer import Tokenizer

_KEEP = 2


def save(
    folder: Path, step: int, model: ZayaForCausalLM, tokenizer: Tokenizer, state: dict[str, Any]
) -> Path:
    """Write step `step` under `folder` (a run's checkpoints folder) and make it the latest."""
    folder.mkdir(parents=True, exist_ok=True)
    final, temporary = folder / f"step_{step:06d}", folder / f".step_{step:06d}.tmp"
    if latest(folder) == final:  # a step has one outcome, and its checkpoint is in force
        return final
    for stale in (*folder.glob(".step_*.tmp"), final):
        shutil.rmtree(stale, ignore_errors=True)
    temporary.mkdir()
    save_model(model, temporary)
    tokenizer.save(temporary)
    # Through memory: on a full disk torch's own writer hides the system's error.
    buffer = io.BytesIO()
    torch.save({"step": step, **state}, buffer)
    (temporary / "state.pt").write_bytes(buffer.getbuffer())
    for path in [*temporary.iterdir(), temporary]:
        _flush(path)
    temporary.rename(final)
    pointer = folder / ".latest.tmp"
    pointer.write_text(final.name)
    _flush(pointer)
    os.replace(pointer, folder / "latest")
    _flush(folder)
    for old in sorted(folder.glob("step_*"))[:-_KEEP]:
        shutil.rmtree(old)
    return final


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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
