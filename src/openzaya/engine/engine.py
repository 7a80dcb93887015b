"""Prefill once per distinct prompt, fork, then decode a batch one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from openzaya.engine.sampling import draw, uniforms
from openzaya.errors import EngineError
from openzaya.model import DecodeState, Layout, ZayaForCausalLM
from openzaya.types import FinishReason, SamplingParams


@dataclass(slots=True)
class Running:
    """One request on its way: what it asked for and what it has so far."""

    prompt: tuple[int, ...]
    params: SamplingParams
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    experts: list[np.ndarray] = field(default_factory=list)
    finish: FinishReason | None = None


class Engine:
    """Generates on one model in this process. `version` is stamped on what it draws.

    Sequences run in waves of at most `max_batch`, sorted by prompt length so that a wave wastes
    little of its key/value room; a wave shrinks as its members finish.
    """

    def __init__(
        self, model: ZayaForCausalLM, end_id: int, *, max_batch: int = 768, version: int = 0
    ) -> None:
        self.model = model
        self.end_id = end_id
        self.max_batch = max_batch
        self.version = version

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: Sequence[SamplingParams],
        *,
        capture_experts: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Running]:
        """One sequence per prompt, in order. `on_progress` hears of each wave's size."""
        limit = self.model.config.max_position_embeddings
        for prompt, p in zip(prompts, params, strict=True):
            if not prompt:
                raise EngineError("an empty prompt cannot be continued", "send at least <bos>")
            if len(prompt) + p.max_tokens > limit:
                raise EngineError(
                    f"prompt of {len(prompt)} plus max_tokens {p.max_tokens} exceeds the model's "
                    f"{limit} positions",
                    "shorten the prompt or lower max_tokens",
                )
        sequences = [Running(tuple(q), p) for q, p in zip(prompts, params, strict=True)]
        order = sorted(sequences, key=lambda s: (len(s.prompt), s.prompt))
        for low in range(0, len(order), self.max_batch):
            wave = order[low : low + self.max_batch]
            self._run(wave, capture_experts)
            if on_progress is not None:
                on_progress(len(wave))
        return sequences

    def _run(self, wave: list[Running], capture: bool) -> None:
        state, logits = self._prefill(wave, capture)
        live = wave
        while True:
            tokens = self._draw(live, logits)
            going = [i for i, s in enumerate(live) if s.finish is None]
            if not going:
                return
            if len(going) < 0.7 * len(live):  # compact: finished rows still cost their share
                state = state.select(going)
                live = [live[i] for i in going]
                tokens = tokens[going]
            layout = Layout.of([1] * len(live), state.lengths)
            out = self.model(tokens, layout, state)
            if capture:
                for s, row in zip(live, out.experts_NL.to(torch.uint8).numpy(), strict=True):
                    if s.finish is None:
                        s.experts.append(row[None])
            logits = self.model.logits(out.hidden_ND)

    def _prefill(self, wave: list[Running], capture: bool) -> tuple[DecodeState, torch.Tensor]:
        """Each distinct prompt runs once; equal prompts fork from its state."""
        distinct = list(dict.fromkeys(s.prompt for s in wave))
        row_of = {prompt: row for row, prompt in enumerate(distinct)}
        room = max(len(s.prompt) + s.params.max_tokens for s in wave)
        layout = Layout.of([len(p) for p in distinct])
        kind = self.model.model.embed_tokens.weight.dtype
        state = DecodeState.empty(self.model.config, len(distinct), room, kind)
        ids = torch.tensor([t for prompt in distinct for t in prompt])
        out = self.model(ids, layout, state, last_only=not capture)
        if capture:
            chunks = np.split(out.experts_NL.to(torch.uint8).numpy(), layout.start_B[1:].tolist())
            for s in wave:
                s.experts.append(chunks[row_of[s.prompt]])
        hidden = out.hidden_ND[layout.last_B] if capture else out.hidden_ND
        rows = [row_of[s.prompt] for s in wave]
        logits = self.model.logits(hidden)[rows]
        return (state.select(rows) if len(distinct) < len(wave) else state), logits

    def _draw(self, live: list[Running], logits: torch.Tensor) -> torch.Tensor:
        """Append one token to every unfinished sequence."""
        seeds = np.array([s.params.seed for s in live], dtype=np.int64)
        steps = np.array([len(s.tokens) for s in live], dtype=np.int64)
        temperature = torch.tensor([s.params.temperature for s in live])
        top_p = torch.tensor([s.params.top_p for s in live])
        uniform = torch.from_numpy(uniforms(seeds, steps))
        token_B, logp_B = draw(logits, temperature, top_p, uniform)
        for s, token, logp in zip(live, token_B.tolist(), logp_B.tolist(), strict=True):
            if s.finish is not None:
                continue
            s.tokens.append(token)
            s.logprobs.append(logp)
            if token == self.end_id:
                s.finish = FinishReason.STOP
            elif len(s.tokens) == s.params.max_tokens:
                s.finish = FinishReason.LENGTH
        return token_B
