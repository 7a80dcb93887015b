"""Weights on disk: bit-exact round trips, memory mapping, and every damage named in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from openzaya.config.model import ModelConfig
from openzaya.errors import CheckpointError
from openzaya.model import Layout, ZayaForCausalLM, checkpoint
from openzaya.model.card import write_card
from openzaya.model.checkpoint import convert_model, load_config, load_model, save_model

SHAPE = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "num_experts": 4, "moe_intermediate_size": 32,
    "router_hidden_size": 16, "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip
VARIANTS: list[dict[str, Any]] = [
    {},
    {"skip_expert": "zero", "attention_bias": True},
    {"skip_expert": "scaled", "numerics": "hf"},
    {"sliding_layers": (1,), "sliding_window": 4, "sliding_rope_theta": 50.0},
    {"router": "linear"},
    {"router_out_std": 0.3, "key_temperature_init": 3.0, "rope_theta": 7e5},
]
IDS = torch.arange(30) % 50


def build(dtype: torch.dtype = torch.float32, **changes: Any) -> ZayaForCausalLM:
    torch.set_num_threads(1)
    model = ZayaForCausalLM(ModelConfig.model_validate(SHAPE | changes)).initialise(0)
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.data = parameter + 0.3 * torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data.to(dtype)
    for bias in model.balancing_biases:
        bias += 0.1 * torch.randn(bias.shape, generator=generator)
    model.tie()
    return model


def same(a: ZayaForCausalLM, b: ZayaForCausalLM) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(m == n and s.dtype == t.dtype and torch.equal(s, t) for (m, s), (n, t) in pairs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", VARIANTS)
def test_a_round_trip_changes_no_bit(
    changes: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    model = build(dtype, **changes)
    save_model(model, tmp_path, shard_bytes=30_000)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    back = load_model(tmp_path)
    assert back.config == model.config and same(model, back)
    assert back.balancing_biases[0].dtype == torch.float32
    assert back.lm_head.weight is back.model.embed_tokens.weight


def test_dtype_converts_on_the_way(tmp_path: Path) -> None:
    model = build()
    save_model(model, tmp_path, dtype=torch.bfloat16)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    back = load_model(tmp_path, dtype=torch.float32)
    weight = back.model.embed_tokens.weight
    assert torch.equal(weight, model.model.embed_tokens.weight.bfloat16().float())
    assert torch.equal(back.balancing_biases[1], model.balancing_biases[1])


def test_without_a_skip_class_the_folder_still_has_one(tmp_path: Path) -> None:
    """What others see (test_hf_folder runs them on it), and the way back if they train it."""
    model = build()
    save_model(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["model.layers.0.mlp.gate.router_mlp.out_proj.weight"].shape == (5, 24)
    zero = load_model(tmp_path, skip_expert="zero")
    assert zero.config.router_hidden_size == 24
    with torch.no_grad():
        want = model.logits(model(IDS, Layout.of([30])).hidden_ND)
        got = zero.logits(zero(IDS, Layout.of([30])).hidden_ND)
    assert (want - got).abs().max() < 2e-6 * want.abs().max()

    stored["model.layers.1.mlp.gate.router_mlp.norm.weight"][:16] *= 1.5  # fine-tuned elsewhere
    save_file(stored, tmp_path / "model.safetensors")
    tuned = load_model(tmp_path).model.layers[1].mlp.gate.router_mlp.norm.weight  # type: ignore[union-attr]
    want = model.model.layers[1].mlp.gate.router_mlp.norm.weight * 1.5  # type: ignore[union-attr]
    assert torch.allclose(tuned, want, rtol=1e-6)

    stored["model.layers.1.mlp.gate.router_mlp.out_proj.weight"][4, 3] = 0.5
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="can never win has been changed") as caught:
        load_model(tmp_path)
    assert "skip_expert=zero" in caught.value.hint
    load_model(tmp_path, skip_expert="zero")


@pytest.mark.parametrize(
    "biases", [[-3.1234567, 0.3, 0.1234567, -0.7], [-0.61, -0.5, -9.87654321, -1.1], [-0.5] * 4]
)
def test_low_balancing_biases_come_back_to_the_bit(biases: list[float], tmp_path: Path) -> None:
    """Where all are low they are stored raised, or the skip class of others would win."""
    model = build()
    for bias in model.balancing_biases:
        bias.copy_(torch.tensor(biases))
    save_model(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    experts = stored["model.layers.0.mlp.gate.balancing_biases"][:4]
    assert experts.max() > -0.5
    assert torch.equal(experts, model.balancing_biases[0]) == (max(biases) > -0.5)
    assert same(model, load_model(tmp_path))


def test_conversion_is_loading_and_saving(tmp_path: Path) -> None:
    for name in ("source", "saved", "converted"):
        (tmp_path / name).mkdir()
    source, saved, converted = (tmp_path / n for n in ("source", "saved", "converted"))
    save_model(build(), source, shard_bytes=30_000)
    save_model(load_model(source), saved, dtype=torch.bfloat16, shard_bytes=20_000)
    convert_model(source, converted, dtype=torch.bfloat16, shard_bytes=20_000)
    assert sorted(f.name for f in saved.iterdir()) == sorted(f.name for f in converted.iterdir())
    for file in saved.iterdir():
        assert file.read_bytes() == (converted / file.name).read_bytes()


def test_the_card_promises_only_what_holds(tmp_path: Path) -> None:
    for changes, promised in (({"skip_expert": "zero"}, True), ({"router": "linear"}, False)):
        write_card(build(**changes).config, tmp_path)
        card = (tmp_path / "README.md").read_text()
        assert ("AutoModelForCausalLM" in card) == promised
        assert ("library_name: transformers" in card) == promised


def test_training_does_not_reach_the_file(tmp_path: Path) -> None:
    save_model(build(), tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    loaded = load_model(tmp_path)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1.0)
    del loaded
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_killed_save_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def killed(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        save_file(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        save_model(build(), tmp_path, shard_bytes=30_000)
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_model(tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    save_model(build(), tmp_path)
    with pytest.raises(CheckpointError, match="holds a model already"):
        save_model(build(), tmp_path)


Change = Callable[[dict[str, Any]], Any]
CONFIG_DAMAGE: list[tuple[Change, str]] = [
    (lambda c: c.update(num_experts_per_tok=2), "num_experts_per_tok: .*2 experts per token"),
    (lambda c: c.update(num_attention_heads=3), "num_attention_heads 3 is no multiple"),
    (lambda c: c.update(lm_head_bias=True), "lm_head_bias is True; supported: False"),
    (lambda c: c.update(tie_word_embeddings=False), "tie_word_embeddings"),
    (lambda c: c.update(hidden_act="gelu"), "hidden_act is 'gelu'; supported: 'silu'"),
    (lambda c: c.update(attention_dropout=0.1), "attention_dropout is 0.1"),
    (lambda c: c.update(cca_time0=3), "cca_time0"),
    (lambda c: c.update(model_type="llama"), "model_type is 'llama'; supported: zaya"),
    (lambda c: c.update(mystery=1), "mystery: unknown key"),
    (lambda c: c.update(layer_types=["hybrid"]), "layer_types is 1; .*each of 2 layers"),
    (lambda c: c.update(layer_types=["hybrid", "linear"]), "layer_types is 'linear'"),
    (lambda c: c.update(layer_types=["hybrid", "hybrid_sliding"]), "needs sliding_window"),
    (
        lambda c: c["rope_parameters"]["hybrid"].update(rope_type="yarn"),
        r"rope_parameters\.hybrid\.rope_type is 'yarn'; supported: 'default'",
    ),
    (
        lambda c: c["rope_parameters"]["hybrid"].update(factor=4.0),
        r"rope_parameters\.hybrid\.factor is 4\.0",
    ),
    (
        lambda c: c["rope_parameters"]["hybrid_sliding"].update(partial_rotary_factor=1.0),
        "the same for all layer types",
    ),
    (lambda c: c.update(rope_parameters={"rope_theta": 1e4}), "a table for hybrid"),
    (lambda c: c["rope_parameters"].update(hybrid=None), "a table for hybrid"),
    (lambda c: c["rope_parameters"]["hybrid"].pop("rope_theta"), "hybrid.rope_theta is None"),
    (
        lambda c: (
            c["rope_parameters"].pop("hybrid_sliding"),
            c.update(layer_types=["hybrid", "hybrid_sliding"], sliding_window=4),
        ),
        "a table for hybrid and hybrid_sliding",
    ),
    # transformers heeds the tables, and 1.0 where they name no factor
    (lambda c: c.update(partial_rotary_factor=0.25), "the factor in rope_parameters .0.5"),
    (
        lambda c: (
            [t.pop("partial_rotary_factor") for t in c["rope_parameters"].values()],
            c.update(partial_rotary_factor=0.5),
        ),
        "the factor in rope_parameters .1.0",
    ),
    (lambda c: c.update(router_hidden_size="wide"), "router_hidden_size"),
    (lambda c: c["openzaya"].update(skip_expert="maybe"), "skip_expert"),
    (lambda c: c["openzaya"].update(colour="red"), "openzaya is"),
]


@pytest.mark.parametrize(("change", "message"), CONFIG_DAMAGE)
def test_an_unsupported_config_is_named(change: Change, message: str, tmp_path: Path) -> None:
    save_model(build(skip_expert="zero"), tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_config(tmp_path)
    assert str(path) in caught.value.message and caught.value.hint
    assert "\n" not in caught.value.message


def test_what_published_configs_carry_is_tolerated(tmp_path: Path) -> None:
    """A stray rope_type, a top-level partial factor, bookkeeping keys, a list of end ids."""
    save_model(build(skip_expert="zero"), tmp_path)
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    want = load_config(tmp_path)
    stored["rope_parameters"]["rope_type"] = "default"
    del stored["openzaya"]
    stored |= {"partial_rotary_factor": 0.5, "transformers_version": "5.23.0", "use_cache": True}
    stored |= {"eos_token_id": [106, 1], "bos_token_id": None, "torch_dtype": "float32"}
    path.write_text(json.dumps(stored))
    assert load_config(tmp_path) == want
    assert load_config(tmp_path, skip_expert="scaled").skip_expert == "scaled"
    del stored["rope_parameters"], stored["layer_types"]
    path.write_text(json.dumps(stored))
    assert load_config(tmp_path).rope_theta == 5e6


def damage_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    file = sorted(folder.glob("model*.safetensors"))[0]
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_damaged_shards_are_named(tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        save_model(build(), folder, shard_bytes=30_000)
        return folder

    def message(folder: Path) -> str:
        with pytest.raises(CheckpointError) as caught:
            load_model(folder)
        assert caught.value.hint and "\n" not in caught.value.message
        return caught.value.message

    folder = fresh("missing shard")
    gone = sorted(folder.glob("model-*"))[1]
    gone.unlink()
    assert gone.name in message(folder)
    folder = fresh("cut")
    cut = sorted(folder.glob("model-*"))[1]
    cut.write_bytes(cut.read_bytes()[:-100])
    assert f"{cut} cannot be read" in message(folder)
    folder = fresh("lost tensor")
    damage_tensors(folder, lambda t: t.pop("model.embed_tokens.weight"))
    assert "lacks model.embed_tokens.weight, which the index names" in message(folder)
    folder = fresh("stray tensor")
    damage_tensors(folder, lambda t: t.update(stray=torch.ones(1)))
    assert "holds stray, which the index does not place there" in message(folder)
    folder = fresh("index")
    (folder / "model.safetensors.index.json").write_text("{")
    assert "is not an index of shards" in message(folder)
    folder = fresh("no map")
    (folder / "model.safetensors.index.json").write_text("{}")
    assert "it has no weight_map" in message(folder)
    folder = fresh("integers")
    damage_tensors(
        folder, lambda t: t.update({"model.embed_tokens.weight": torch.ones(50, 32).to(torch.int8)})
    )
    assert "is stored as torch.int8" in message(folder)


def test_a_head_of_its_own_is_refused(tmp_path: Path) -> None:
    save_model(build(), tmp_path)
    embedding = "model.embed_tokens.weight"
    damage_tensors(tmp_path, lambda t: t.update({"lm_head.weight": t[embedding].clone()}))
    load_model(tmp_path)  # the same values twice are the tied head
    damage_tensors(tmp_path, lambda t: t["lm_head.weight"].add_(1))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs"):
        load_model(tmp_path)
