"""The trainer's forward on blocks and slots: any device, any shape, any data type."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from openzaya.engine.packed import PackedModel
from openzaya.errors import EngineError
from openzaya.kernels.network import BLOCK, Rows
from openzaya.model import DecodeState, LayerState, Layout, ZayaForCausalLM


@dataclass(slots=True)
class _Paged(LayerState):
    """A layer's state gathered from its blocks; what is new goes back to them at once."""

    keys: Tensor  # (blocks, G, BLOCK, K)
    values: Tensor
    context: Tensor  # (slots, 2C + G*K/2)
    edges: Tensor  # (blocks, 2C + G*K/2)
    table_BT: Tensor
    slot_B: Tensor

    def append(self, k_NGK: Tensor, v_NGK: Tensor, layout: Layout) -> None:
        LayerState.append(self, k_NGK, v_NGK, layout)
        position_N = layout.position_N
        block_N = self.table_BT[layout.segment_N, position_N // BLOCK]
        at = block_N, slice(None), position_N % BLOCK
        self.keys[at] = k_NGK.to(self.keys.dtype)
        self.values[at] = v_NGK.to(self.values.dtype)

    def carry(self, s_NC: Tensor, value_NV: Tensor, layout: Layout) -> None:
        before_B2C, kind = self.conv_B2C, self.conv_B2C.dtype
        LayerState.carry(self, s_NC, value_NV, layout)
        self.context[self.slot_B] = torch.cat([self.conv_B2C.flatten(1), self.value_B], dim=1)
        end_M = ((layout.position_N + 1) % BLOCK == 0).nonzero()[:, 0]
        if not len(end_M):
            return
        segment_M = layout.segment_N[end_M]
        older = torch.where(
            (layout.offset_N[end_M] > 0)[:, None],
            s_NC[(end_M - 1).clamp(min=0)].to(kind),
            before_B2C[segment_M, 1],
        )
        edge = torch.cat([older, s_NC[end_M].to(kind), value_NV[end_M].to(kind)], dim=1)
        self.edges[self.table_BT[segment_M, layout.position_N[end_M] // BLOCK]] = edge


class TorchRunner:
    """Gathers each sequence's blocks for every step: right everywhere, fast nowhere."""

    def __init__(self, model: ZayaForCausalLM, blocks: int, slots: int) -> None:
        config, weight = model.config, model.lm_head.weight
        self.model = model
        layers, g, k = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        kind = weight.dtype if config.numerics == "hf" else torch.float32
        kind = torch.float64 if weight.dtype == torch.float64 else kind
        state = 2 * config.conv_channels + g * k // 2
        device = weight.device
        self.keys = torch.zeros(layers, blocks, g, BLOCK, k, dtype=weight.dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.context = torch.zeros(layers, slots, state, dtype=kind, device=device)
        self.edges = torch.zeros(layers, blocks, state, dtype=kind, device=device)

    def load(self, model: ZayaForCausalLM | PackedModel) -> None:
        if not isinstance(model, ZayaForCausalLM):
            raise EngineError(
                "packed weights run on a CPU with the native kernels only", "load a plain folder"
            )
        self.model = model

    @torch.inference_mode()
    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        device = self.context.device
        past = rows.past_B.tolist()
        layout = Layout.of(rows.length_B.tolist(), past, device)
        table_BT, slot_B = rows.table_BT.to(device).long(), rows.slot_B.to(device).long()
        layers: list[LayerState] = [
            self._layer(i, table_BT, slot_B, rows.past_B) for i in range(len(self.keys))
        ]
        out = self.model(rows.ids_N.to(device), layout, DecodeState(layers, past))
        logits = self.model.logits(out.hidden_ND[rows.want_W.to(device).long()])
        return logits.float().cpu(), out.experts_NL.to(torch.uint8).cpu()

    def _layer(self, i: int, table_BT: Tensor, slot_B: Tensor, past_B: Tensor) -> _Paged:
        def gathered(blocks: Tensor) -> Tensor:
            return blocks[table_BT].transpose(1, 2).flatten(2, 3)  # B G T K

        width = self.model.config.conv_channels
        begun = (past_B > 0).to(slot_B.device)[:, None]
        context = torch.where(begun, self.context[i, slot_B], 0)
        return _Paged(
            gathered(self.keys[i]), gathered(self.values[i]),
            context[:, : 2 * width].unflatten(1, (2, width)).contiguous(),
            context[:, 2 * width :].contiguous(),
            self.keys[i], self.values[i], self.context[i], self.edges[i], table_BT, slot_B,
        )  # fmt: skip

    def restore(self, slot: int, block: int) -> None:
        self.context[:, slot] = self.edges[:, block]

    def fork(self, slot: int, to: int, block: int, to_block: int) -> None:
        self.context[:, to] = self.context[:, slot]
        if block != to_block:
            for part in (self.keys, self.values):
                part[:, to_block] = part[:, block]
