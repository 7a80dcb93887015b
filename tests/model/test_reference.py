"""The network against a slow forward written from shared/spec/model.md alone.

The reference reads HF's names from the state dict and computes one document at a time, in
float64, with the two convolutions unfolded and loops over tokens and heads. It shares no code
with `openzaya.model`; comments give the section of the specification.
"""

from __future__ import annotations

import functools
import math
import zlib
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from openzaya.config.model import ModelConfig
from openzaya.model import Layout, ZayaForCausalLM

SHAPE = {
    "vocab_size": 30, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "num_experts": 4, "moe_intermediate_size": 12,
    "router_hidden_size": 10, "max_position_embeddings": 64, "rope_theta": 100.0,
}  # fmt: skip
KERNELS = {
    "hidden_size": 32, "head_dim": 32, "moe_intermediate_size": 16, "router_hidden_size": 16,
}  # fmt: skip
VARIANTS = {
    "none": {},
    "zero": {"skip_expert": "zero"},
    "scaled": {"skip_expert": "scaled"},
    "one-kv-head": {"num_key_value_heads": 1},  # the value shift then splits the one head
    "one-q-head-per-kv-head": {"num_key_value_heads": 4},
    "full-rope": {"partial_rotary_factor": 1.0},
    "sliding": {"sliding_layers": (1,), "sliding_window": 3, "sliding_rope_theta": 50.0},
    # Sizes that the C++ kernels serve; the ones above run in PyTorch alone.
    "kernels": KERNELS,
    "kernels-scaled": KERNELS | {"skip_expert": "scaled", "num_key_value_heads": 1},
    "kernels-sliding": KERNELS | {"sliding_layers": (0, 2), "sliding_window": 5},
}
LENGTHS = [1, 2, 3, 13, 7]
SEED = 28
"""One of many with which every class, skip included, gets tokens (`test_nothing_is_idle`)."""
TOLERANCE = 2e-6
"""Of the largest logit. The model computes in fp32 (eps 1.2e-7), whatever its weights are."""


@dataclass
class Reference:
    """`weights` by HF name, in float64."""

    weights: dict[str, Tensor]
    config: ModelConfig
    bias_decided: int = 0
    """Tokens whose expert was not the most probable one: the balancing bias chose it."""

    def __call__(self, ids: list[int]) -> tuple[Tensor, list[list[int]]]:
        """Logits (T, V) and the chosen class per token and layer (section 3)."""
        w = self.weights
        embedding = w["model.embed_tokens.weight"]
        bias, scale = w["model.input_hidden_states_bias"], w["model.input_hidden_states_scale"]
        stream = [(embedding[i] + bias) * scale for i in ids]
        router: list[Tensor | None] = [None] * len(ids)
        choices: list[list[int]] = [[] for _ in ids]
        for layer in range(self.config.num_hidden_layers):
            at = f"model.layers.{layer}."
            x = [self.norm(r, at + "input_layernorm") for r in stream]
            attended = self.cca(x, at + "self_attn.", layer)
            for t in range(len(ids)):
                merged = self.merge(attended[t], stream[t], at + "post_attention_residual_scale.")
                x2 = self.norm(merged, at + "post_attention_layernorm")
                out, choice, router[t] = self.moe(x2, router[t], at + "mlp.")
                stream[t] = self.merge(out, merged, at + "post_mlp_residual_scale.")
                choices[t].append(choice)
        return torch.stack([embedding @ self.norm(r, "model.norm") for r in stream]), choices

    def linear(self, x: Tensor, name: str) -> Tensor:
        return self.weights[name + ".weight"] @ x + self.weights.get(name + ".bias", 0.0)

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean = sum(float(v) ** 2 for v in x) / len(x)
        return self.weights[name + ".weight"] * (x / math.sqrt(mean + self.config.rms_norm_eps))

    def merge(self, branch: Tensor, residual: Tensor, at: str) -> Tensor:
        """Section 8, the code's form."""
        w = self.weights
        branch = (branch + w[at + "hidden_states_bias"]) * w[at + "hidden_states_scale"]
        return branch + (residual + w[at + "residual_bias"]) * w[at + "residual_scale"]

    def cca(self, x: list[Tensor], at: str, layer: int) -> list[Tensor]:
        """Section 4, letters as there."""
        c, w, end = self.config, self.weights, len(x)
        d, nq, nk = c.head_dim, c.num_attention_heads, c.num_key_value_heads
        group = nq // nk
        qkv = at + "qkv_proj."
        # a. raw projections, query heads before key heads
        raw_q = [self.linear(v, qkv + "q_proj").view(nq, d) for v in x]
        raw_k = [self.linear(v, qkv + "k_proj").view(nk, d) for v in x]
        # d. depthwise, then within heads
        y1 = self.depthwise([torch.cat([raw_q[t], raw_k[t]]).flatten() for t in range(end)], qkv)
        w1, b1 = w[qkv + "conv_qk_grouped.weight"], w[qkv + "conv_qk_grouped.bias"]
        queries, keys, values = [], [], []
        for t in range(end):
            y2 = torch.empty(nq + nk, d, dtype=torch.float64)
            for n in range(nq + nk):
                own = slice(n * d, (n + 1) * d)
                old, now = y1[t][own], y1[t + 1][own]
                y2[n] = w1[own, :, 0] @ old + w1[own, :, 1] @ now + b1[own]
            # b. and e. mean coupling of the raw projections
            mean_q = [(raw_q[t][h] + raw_k[t][h // group]) / 2 for h in range(nq)]
            for h in range(nq):
                y2[h] += mean_q[h]
            for g in range(nk):
                y2[nq + g] += sum(mean_q[g * group : (g + 1) * group]) / group
            # g. and h. norm, key temperature, rotation
            unit = [v * math.sqrt(d) / max(float(v.norm()), 1e-7) for v in y2]
            temp = w[at + "qk_norm.temp"]
            queries.append([self.rotate(v, t, layer) for v in unit[:nq]])
            keys.append([self.rotate(unit[nq + g] * temp[g], t, layer) for g in range(nk)])
            # f. half of the value channels come from the previous token; cut into heads after
            before = x[t - 1] if t else torch.zeros_like(x[0])
            current = self.linear(x[t], qkv + "v_proj_current")
            delayed = self.linear(before, qkv + "v_proj_delayed")
            values.append(torch.cat([current, delayed]).view(nk, d))
        # i. causal attention
        window = c.sliding_window if layer in c.sliding_layers else None
        outputs = []
        for t in range(end):
            first = max(0, t - window + 1) if window else 0
            heads = []
            for h in range(nq):
                seen = range(first, t + 1)
                scores = torch.stack([queries[t][h] @ keys[u][h // group] for u in seen])
                share = torch.softmax(scores / math.sqrt(d), 0)
                seen_values = torch.stack([values[u][h // group] for u in seen])
                heads.append(share @ seen_values)
            outputs.append(self.linear(torch.cat(heads), at + "o_proj"))
        return outputs

    def depthwise(self, s: list[Tensor], qkv: str) -> list[Tensor]:
        """The first convolution from t = -1 on. Both zero columns of c. stand before it, so its
        output at t = -1 is its bias, not zero (4.1)."""
        w0, b0 = (
            self.weights[qkv + "conv_qk_depthwise.weight"],
            self.weights[qkv + "conv_qk_depthwise.bias"],
        )
        s = [torch.zeros_like(s[0])] * 2 + s
        return [w0[:, 0, 0] * s[i] + w0[:, 0, 1] * s[i + 1] + b0 for i in range(len(s) - 1)]

    def rotate(self, x: Tensor, position: int, layer: int) -> Tensor:
        rd = int(self.config.head_dim * self.config.partial_rotary_factor)
        out = x.clone()
        for j in range(rd // 2):
            c = self.config
            theta = c.sliding_rope_theta if layer in c.sliding_layers else c.rope_theta
            angle = position * theta ** (-2 * j / rd)
            a, b = float(x[j]), float(x[j + rd // 2])
            out[j] = a * math.cos(angle) - b * math.sin(angle)
            out[j + rd // 2] = b * math.cos(angle) + a * math.sin(angle)
        return out

    def moe(self, x: Tensor, previous: Tensor | None, at: str) -> tuple[Tensor, int, Tensor]:
        """Sections 5 and 7: block output, chosen class, router state for the next layer."""
        w, mlp = self.weights, at + "gate.router_mlp."
        state = self.linear(x, at + "gate.down_proj")
        if previous is not None:
            state = state + w[at + "gate.router_states_scale"] * previous
        z = self.norm(state, mlp + "norm")
        z = gelu(self.linear(z, mlp + "fc1"))
        z = gelu(self.linear(z, mlp + "fc2"))
        p = torch.softmax(self.linear(z, mlp + "out_proj"), 0)
        choice = int((p + w[at + "gate.balancing_biases"]).argmax())
        self.bias_decided += choice != int(p.argmax())
        if choice < self.config.num_experts:
            gate, up = (w[at + "experts.gate_up_proj"][choice] @ x).chunk(2)
            out = w[at + "experts.down_proj"][choice] @ (gate * torch.sigmoid(gate) * up)
        else:
            out = x if self.config.skip_expert == "scaled" else torch.zeros_like(x)
        return p[choice] * out, choice, state


class PaddedBetween(Reference):
    """The padding trap: zeros between the convolutions instead of before them."""

    def depthwise(self, s: list[Tensor], qkv: str) -> list[Tensor]:
        return [torch.zeros_like(s[0]), *super().depthwise(s, qkv)[1:]]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def build(**changes: object) -> ZayaForCausalLM:
    """A model whose every stored value is random: no bias is zero, no scale is one."""
    torch.set_num_threads(1)
    model = ZayaForCausalLM(ModelConfig.model_validate(SHAPE | changes))
    for name, tensor in model.model.state_dict(prefix="model.").items():
        # One stream per name: a variant changes only the tensors that it changes.
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) + SEED)
        centre = 1.0 if tensor.dim() == 1 and not name.endswith(("bias", "biases")) else 0.0
        # Sharp probabilities and mild biases: else one class would take every token.
        spread = 2.0 if name.endswith("out_proj.weight") else 0.2 if name.endswith("es") else 0.4
        tensor.copy_(centre + spread * torch.randn(tensor.shape, generator=generator))
    return model


def weights(model: ZayaForCausalLM) -> dict[str, Tensor]:
    return {name: t.double() for name, t in model.model.state_dict(prefix="model.").items()}


@functools.cache
def documents() -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(0, 30, (n,), generator=generator).tolist() for n in LENGTHS]


@torch.no_grad()
def packed(model: ZayaForCausalLM) -> tuple[Tensor, list[list[int]]]:
    """Logits and choices of all documents as one stream."""
    out = model(torch.tensor([i for ids in documents() for i in ids]), Layout.of(LENGTHS))
    return model.logits(out.hidden_ND).double(), out.experts_NL.tolist()


def gap(model: ZayaForCausalLM, reference: Reference) -> float:
    """Largest difference of a logit, over the largest logit."""
    got = packed(model)[0]
    want = torch.cat([reference(ids)[0] for ids in documents()])
    return float((got - want).abs().max() / want.abs().max())


@pytest.fixture(scope="module")
def scaled() -> ZayaForCausalLM:
    return build(skip_expert="scaled")


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_reference(variant: str) -> None:
    model = build(**VARIANTS[variant])
    reference = Reference(weights(model), model.config)
    assert gap(model, reference) < TOLERANCE
    assert [c for ids in documents() for c in reference(ids)[1]] == packed(model)[1]


def test_equals_the_reference_with_attention_bias() -> None:
    model = build(attention_bias=True)
    assert gap(model, Reference(weights(model), model.config)) < TOLERANCE


@pytest.mark.parametrize("skip", ["none", "zero", "scaled"])
def test_nothing_is_idle(skip: str) -> None:
    """The comparison sees every class at work, and tokens that only a balancing bias sent there."""
    model = build(skip_expert=skip)
    reference = Reference(weights(model), model.config)
    used = {c for ids in documents() for row in reference(ids)[1] for c in row}
    assert used == set(range(model.config.router_classes))
    assert reference.bias_decided > 3


NAMES = [n for n in weights(build()) if ".layers." not in n or ".layers.1." in n]


@pytest.mark.parametrize("name", NAMES)
def test_each_tensor_is_seen(scaled: ZayaForCausalLM, name: str) -> None:
    """Negative control: one number of a tensor (one per expert) of layer 1 moves the logits."""
    changed = weights(scaled)
    if "experts" in name:
        changed[name][:, 0, 0] += 0.1
    elif name.endswith("balancing_biases"):
        changed[name][0] += 3  # a choice has to flip
    else:
        changed[name].view(-1)[0] += 0.1
    assert gap(scaled, Reference(changed, scaled.config)) > 20 * TOLERANCE


@pytest.mark.parametrize("part", ["depthwise", "grouped"])
@pytest.mark.parametrize("tap", [0, 1])
def test_each_convolution_tap_is_seen(scaled: ZayaForCausalLM, part: str, tap: int) -> None:
    """Negative control. Tap 1 is the current token's."""
    changed = weights(scaled)
    changed[f"model.layers.2.self_attn.qkv_proj.conv_qk_{part}.weight"][3, 0, tap] += 0.1
    assert gap(scaled, Reference(changed, scaled.config)) > 20 * TOLERANCE


def test_padding_between_the_convolutions_is_seen(scaled: ZayaForCausalLM) -> None:
    """Negative control: only a first convolution with a bias tells the two paddings apart."""
    assert gap(scaled, PaddedBetween(weights(scaled), scaled.config)) > 20 * TOLERANCE


@pytest.mark.parametrize(
    ("variant", "rule"),
    [
        ("scaled", {"skip_expert": "zero"}),
        ("none", {"rope_theta": 1000.0}),
        ("none", {"partial_rotary_factor": 1.0}),
        ("sliding", {"sliding_layers": ()}),
        ("sliding", {"sliding_window": 4}),
        ("sliding", {"sliding_rope_theta": 100.0}),
        ("kernels-sliding", {"sliding_window": 4}),
        ("kernels-sliding", {"sliding_layers": (0,)}),
    ],
)
def test_another_rule_is_seen(variant: str, rule: dict[str, object]) -> None:
    """Negative control: the same weights under another configuration are another function."""
    model = build(**VARIANTS[variant])
    changed = model.config.model_copy(update=rule)
    assert gap(model, Reference(weights(model), changed)) > 20 * TOLERANCE
