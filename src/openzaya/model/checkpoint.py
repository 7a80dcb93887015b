"""Weights on disk: a folder with config.json and model.safetensors, names as in HF's `zaya`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model.zaya import ZayaForCausalLM

_HEADER = {"model_type": "zaya", "architectures": ["ZayaForCausalLM"]}


def save_model(model: ZayaForCausalLM, folder: Path) -> None:
    """Write config.json and model.safetensors into an existing folder."""
    config = _HEADER | model.config.model_dump(mode="json")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {
        name: t.detach().contiguous()
        for name, t in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load_config(folder: Path) -> ModelConfig:
    """The shape stored beside the weights."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no model: config.json is missing", "check the path")
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:  # not JSON, not even text
        raise _foreign_config(path, str(error)) from error
    if not isinstance(stored, dict):
        raise _foreign_config(path, "it holds no object")
    shape = {key: value for key, value in stored.items() if key not in _HEADER}
    try:
        return ModelConfig(**shape)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise _foreign_config(path, f"{where}: {first['msg']}") from error


def _foreign_config(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a ZAYA configuration: {why}", "restore the file that training wrote"
    )


def load_model(folder: Path) -> ZayaForCausalLM:
    """Rebuild the network; every tensor must be there with its shape, and none besides."""
    with torch.device("meta"):
        model = ZayaForCausalLM(load_config(folder))
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "restore the file") from error
    expected = {
        name: tuple(t.shape) for name, t in model.state_dict().items() if name != "lm_head.weight"
    }
    for name in sorted(expected.keys() | tensors.keys()):
        want = expected.get(name, "no such tensor")
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        if want != found:
            raise CheckpointError(
                f"{path}: {name}: expected {want}, found {found}",
                "config.json and model.safetensors belong to different models",
            )
    model.load_state_dict(
        tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}, assign=True
    )
    model.tie()
    return model.requires_grad_(True)
