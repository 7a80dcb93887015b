"""A router without a skip class, stored so that software which always has one computes the same.

transformers, vLLM and SGLang score E + 1 classes and normalise over all of them: a row of zeros
for the last class would take probability from every expert. It has to score minus infinity for
every token, and the last layer has no bias. So the stored router is SPARE channels wider than ours
and carries a constant through them. With R our width, R' = R + SPARE and eps of the norm:

    down_proj     doubled latent (exact), spare channels hold c = sqrt(eps * (3R - SPARE) / SPARE)
    norm          mean' + eps = 4 R/R' * (mean + eps), so weight * sqrt(R/R') gives our normed
                  latent; zero weight ends the spare channels here
    fc1           spare rows and columns have no effect; the first spare column, multiplied by
                  zero, keeps the unscaled norm weight, so that reading back is exact to the bit
    fc2           the first spare unit has bias 1: the constant GELU(1)
    out_proj      the extra class weighs that constant with -1e4: its probability is exactly 0
    biases        -1e4 for the extra class: it is never selected. transformers 5.23 loads it as -1
                  whatever the file says. That could only win where all others are negative: they
                  are then raised by an integer k, which selects the same experts, and the extra
                  class gets -1e4 - k, so that reading back is exact to the bit

Equal to ours in real arithmetic; one rounding of the R norm weights is the only difference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from openzaya.errors import CheckpointError

SPARE = 8
NEVER = -1e4
NORM, FC1 = "router_mlp.norm.weight", "router_mlp.fc1.weight"
SCALE = "router_states_scale"

Gate = dict[str, Tensor]
"""One layer's router by name below `mlp.gate.`."""


def widen(gate: Gate, eps: float) -> Gate:
    """The stored form of a router without a skip class, in the tensors' own type."""
    r = gate[NORM].shape[0]
    wide = {name: _pad(name, tensor) for name, tensor in gate.items()}
    wide["down_proj.weight"][:r] *= 2
    wide["down_proj.bias"][:r] *= 2
    wide["down_proj.bias"][r:] = math.sqrt(eps * (3 * r - SPARE) / SPARE)
    wide[NORM][:r] = _scaled(gate[NORM])
    wide[FC1][:r, r] = gate[NORM]
    wide["router_mlp.fc2.bias"][r] = 1.0
    wide["router_mlp.out_proj.weight"][-1, r] = NEVER
    # Exact: no bias above -0.5 is raised, and none beyond its own magnitude.
    highest = gate["balancing_biases"].max().item()
    raised = math.ceil(-highest) if highest <= -0.5 else 0
    wide["balancing_biases"] += raised
    wide["balancing_biases"][-1] = NEVER - raised
    return wide


def narrow(wide: Gate, eps: float, where: str) -> Gate:
    """The inverse. Raises CheckpointError where the spare part is not what `widen` wrote."""
    r = wide[NORM].shape[0] - SPARE
    gate = {name: _cut(name, tensor, r) for name, tensor in wide.items()}
    gate["down_proj.weight"] /= 2
    gate["down_proj.bias"] /= 2
    kept = wide[FC1][:r, r]
    if torch.equal(_scaled(kept), wide[NORM][:r]):
        gate[NORM] = kept.clone()
    else:  # other software has trained the norm since
        gate[NORM] = (wide[NORM][:r].double() / _factor(r)).to(wide[NORM].dtype)
    biases = wide["balancing_biases"]
    gate["balancing_biases"] -= max(0.0, NEVER - biases[-1].item())
    expected = widen(gate, eps)
    expected[NORM][:r] = wide[NORM][:r]
    expected[FC1][:r, r] = kept
    if biases[-1] < biases[:-1].max():
        # Never selected, be it by our constant or by the other software's own idea of "never".
        expected["balancing_biases"] = biases
    for name, tensor in expected.items():
        if not torch.equal(tensor, wide[name]):
            raise CheckpointError(
                f"{where}{name}: the class that can never win has been changed elsewhere",
                "load the folder with skip_expert=zero: its router now has a skip class",
            )
    return gate


def wide_shapes(gate: Gate) -> Gate:
    """The stored form on the meta device, for its shapes."""
    return {name: _pad(name, tensor.to("meta")) for name, tensor in gate.items()}


def _factor(r: int) -> float:
    return math.sqrt(r / (r + SPARE))


def _scaled(weight: Tensor) -> Tensor:
    return (weight.double() * _factor(weight.shape[0])).to(weight.dtype)


def _extra(name: str) -> tuple[int, int]:
    """Rows and columns that the stored form has beyond ours."""
    if name == "down_proj.weight":
        return SPARE, 0
    if name == "router_mlp.out_proj.weight":
        return 1, SPARE
    if name == "balancing_biases":
        return 1, 0
    return SPARE, SPARE


def _pad(name: str, tensor: Tensor) -> Tensor:
    rows, columns = _extra(name)
    pads = (0, rows) if tensor.dim() == 1 else (0, columns, 0, rows)
    return torch.nn.functional.pad(tensor.detach(), pads).clone()


def _cut(name: str, tensor: Tensor, r: int) -> Tensor:
    rows, columns = _extra(name)
    cut = tensor[: tensor.shape[0] - rows]
    return (cut if tensor.dim() == 1 or not columns else cut[:, :r]).clone()
