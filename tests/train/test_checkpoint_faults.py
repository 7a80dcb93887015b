"""A damaged checkpoint is one clear sentence, and a killed save damages none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from openzaya.config.train import CheckpointConfig, TrainConfig
from openzaya.errors import ZayaError
from openzaya.run_dir import RunDir
from openzaya.train import checkpoint
from openzaya.train.loop import Trainer

CONFIG = TrainConfig.model_validate(
    {
        "tasks": {"running_total": {"environment": "running_total"}},
        "model": {
            "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 8, "num_experts": 2, "moe_intermediate_size": 16,
            "router_hidden_size": 8, "max_position_embeddings": 512,
        },
        "examples": {"per_step": 2},
        "schedule": {"warmup_steps": 1},
    }
)  # fmt: skip
STEP = "step_000001"
NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed after its first checkpoint."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("saved") / "run"
    with RunDir.create(folder, CONFIG) as run:
        trainer = Trainer(CONFIG, run)
        trainer.train_step()
        trainer.save()
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "run"))


def resume(folder: Path) -> Trainer:
    with RunDir.create(folder, CONFIG, resume=True) as run:
        return Trainer(CONFIG, run)


def refusal(folder: Path) -> str:
    """The sentence that resuming ends with. Another kind of exception is a traceback."""
    with pytest.raises(ZayaError) as error:
        resume(folder)
    assert "\n" not in str(error.value), f"more than one line: {error.value}"
    return str(error.value)


def cut(name: str, keep: float) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])

    return fault


def flip(name: str) -> Callable[[Path], None]:
    """One bit in the middle, which nothing but a checksum notices."""

    def fault(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return fault


def overwrite(name: str, data: bytes) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return fault


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def config(**changes: Any) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        checkpoint.write_manifest(folder)  # whole files, and still of no use

    return fault


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")
        checkpoint.write_manifest(folder)

    return fault


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut in half": (cut("model.safetensors", 0.5), "model.safetensors"),
    "weights cut in their header": (cut("model.safetensors", 20), "model.safetensors"),
    "weights empty": (cut("model.safetensors", 0), "model.safetensors"),
    "weights zeroed": (overwrite("model.safetensors", bytes(999)), "model.safetensors"),
    "weights gone": (remove("model.safetensors"), "model.safetensors"),
    "state cut in half": (cut("state.pt", 0.5), "state.pt"),
    "state cut short": (cut("state.pt", 2), "state.pt"),
    "state empty": (cut("state.pt", 0), "state.pt"),
    "state zeroed": (overwrite("state.pt", bytes(999)), "state.pt"),
    "state gone": (remove("state.pt"), "state.pt"),
    "tokenizer cut in half": (cut("tokenizer.json", 0.5), "tokenizer.json"),
    "tokenizer gone": (remove("tokenizer.json"), "tokenizer.json"),
    "config cut in half": (cut("config.json", 0.5), "config.json"),
    "config empty": (cut("config.json", 0), "config.json"),
    "config no text": (overwrite("config.json", b"\xff\xfe"), "config.json"),
    "config no table": (overwrite("config.json", b"[]"), "config.json"),
    "config gone": (remove("config.json"), "config.json"),
    "config with an unknown key": (config(skip_experts="zero"), "skip_experts"),
    "config with a bad value": (config(hidden_size="wide"), "hidden_size"),
    "config with an unsupported value": (config(num_experts_per_tok=2), "num_experts_per_tok"),
    "config of another shape": (config(router_hidden_size=9), "mlp.gate.down_proj"),
    "one bit of the state": (flip("state.pt"), "state.pt"),
    "one bit of the weights": (flip("model.safetensors"), "model.safetensors"),
    "manifest gone": (remove("manifest.json"), "manifest.json"),
    "manifest cut short": (cut("manifest.json", 9), "manifest.json"),
    "tensor missing": (weights(lambda t: t.pop(NORM)), NORM),
    "tensor of wrong shape": (weights(lambda t: t.update({NORM: torch.ones(17)})), NORM),
    "tensor too many": (weights(lambda t: t.update({"extra": torch.ones(1)})), "extra"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_one_clear_sentence(copy: Path, fault: str) -> None:
    damage, named = FAULTS[fault]
    damage(copy / "checkpoints" / STEP)
    assert named in refusal(copy)


def test_undamaged_it_resumes(copy: Path) -> None:
    """Negative control of all the faults."""
    assert resume(copy).step == 1


def test_a_latest_that_names_nothing(copy: Path) -> None:
    shutil.rmtree(copy / "checkpoints" / STEP)
    assert STEP in refusal(copy)


def names(folder: Path) -> set[str]:
    return {p.name for p in (folder / "checkpoints").iterdir()}


def test_a_save_killed_halfway_is_ignored_and_cleaned(copy: Path) -> None:
    half = copy / "checkpoints" / ".step_000002.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half a file")
    trainer = resume(copy)
    assert trainer.step == 1, "the half-written one is not the latest"
    trainer.step = 2
    trainer.save()
    assert names(copy) == {STEP, "step_000002", "latest"}
    assert resume(copy).step == 2


def test_a_save_killed_before_the_pointer_is_ignored_and_redone(copy: Path) -> None:
    """All of step 2 is on disk, but `latest` does not name it yet."""
    shutil.copytree(copy / "checkpoints" / STEP, copy / "checkpoints" / "step_000002")
    trainer = resume(copy)
    assert trainer.step == 1
    trainer.step = 2
    trainer.save()
    assert resume(copy).step == 2, "and not the state of step 1 under the name of step 2"


def test_two_checkpoints_are_kept(copy: Path) -> None:
    trainer = resume(copy)
    for step in (2, 3, 10):
        trainer.step = step
        trainer.save()
    assert names(copy) == {"step_000003", "step_000010", "latest"}
    assert checkpoint.latest(copy / "checkpoints") == copy / "checkpoints" / "step_000010"


def test_milestones_stay(copy: Path) -> None:
    settings = CONFIG.model_copy(update={"checkpoint": CheckpointConfig(keep_last=1, keep_every=4)})
    with RunDir.create(copy.parent / "other", settings) as run:
        trainer = Trainer(settings, run)
        for trainer.step in range(1, 11):
            trainer.save()
    assert names(run.path) == {"step_000004", "step_000008", "step_000010", "latest"}


def background(folder: Path) -> Trainer:
    settings = CONFIG.model_copy(update={"checkpoint": CheckpointConfig(in_background=True)})
    with RunDir.create(folder, settings) as run:
        return Trainer(settings, run)


def test_a_save_in_the_background_is_the_same_save(tmp_path: Path) -> None:
    """Training goes on at once, and what is written is the state at the call."""
    settings = CONFIG.model_copy(update={"checkpoint": CheckpointConfig(in_background=True)})
    written = {}
    for name, config in (("now", CONFIG), ("later", settings)):
        with RunDir.create(tmp_path / name, config) as run:
            trainer = Trainer(config, run)
            trainer.train_step()
            folder = Path(trainer.save())
            trainer.train_step()
            trainer.close()
        written[name] = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert written["now"] == written["later"]


def test_a_failing_save_in_the_background_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    trainer = background(tmp_path / "run")
    monkeypatch.setattr(checkpoint, "save_model", full)
    trainer.save()
    with pytest.raises(OSError, match="No space"):
        trainer.save()
    assert checkpoint.latest(tmp_path / "run" / "checkpoints") is None


def test_a_failing_save_leaves_the_checkpoint_before_it(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    trainer = resume(copy)
    trainer.step = 2
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save_model", killed)
        trainer.save()
    assert resume(copy).step == 1


def test_saving_the_step_in_force_again_touches_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends at a multiple of `checkpoint.every` saves its last step twice, and resuming
    a finished run saves it again: a kill in between must find the first one whole."""
    trainer = resume(copy)
    monkeypatch.setattr(checkpoint, "save_model", pytest.fail)
    assert trainer.save().endswith(STEP)
    assert resume(copy).step == 1
