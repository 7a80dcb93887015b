"""Continuous batching: sequences come and go between steps, each step feeds all that run."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Sequence as Many

import numpy as np
import torch
from torch import Tensor

from openzaya.engine.packed import PackedModel
from openzaya.engine.runner import block_bytes, make_runner
from openzaya.engine.sampling import Draws, draw, uniforms
from openzaya.engine.scheduler import Plan, Scheduler
from openzaya.engine.sequence import Sequence
from openzaya.errors import EngineError
from openzaya.kernels.network import BLOCK, Rows
from openzaya.model import ZayaForCausalLM
from openzaya.types import FinishReason, SamplingParams

CACHE_SHARE = 1 / 8
"""Of the machine's memory: the cache's bound where none is given."""


class Engine:
    """Generates on one model in this process. `version` is stamped on what it draws.

    Not for several threads: `AsyncEngine` runs one in the background. A sequence's tokens depend on
    its prompt, parameters and the weights alone; on a CPU with kernels, so do their
    log-probabilities, to the bit, whatever was batched, cut, forked, preempted or found in the
    prefix cache.
    """

    def __init__(
        self,
        model: ZayaForCausalLM | PackedModel,
        end_id: int,
        *,
        end_think_id: int = -1,
        max_sequences: int = 768,
        max_step_tokens: int = 2048,
        cache_bytes: int | None = None,
        version: int = 0,
    ) -> None:
        """`end_think_id` closes a think block whose budget is spent. `cache_bytes` bounds keys,
        values and contexts; memory is taken as it is first used."""
        config = model.config
        self.config, self.end_id, self.end_think_id, self.version = (
            config, end_id, end_think_id, version
        )  # fmt: skip
        longest = config.max_position_embeddings
        if cache_bytes is None:
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            cache_bytes = int(memory * CACHE_SHARE)
        blocks = min(cache_bytes // block_bytes(config), max_sequences * -(-longest // BLOCK))
        if blocks < 2:
            raise EngineError(
                f"{cache_bytes} bytes of cache hold less than two blocks of {block_bytes(config)}",
                "give the cache more memory",
            )
        self.scheduler = Scheduler(blocks, max_sequences, longest, max_step_tokens)
        self.capacity = min(longest, blocks * BLOCK)
        self.runner = make_runner(model, blocks, max_sequences)
        self.experts = np.zeros((blocks, BLOCK, config.num_hidden_layers), dtype=np.uint8)
        self.prompt_tokens = self.cached_tokens = self.generated_tokens = self.steps = 0

    def check(self, prompt: Many[int], params: SamplingParams) -> None:
        """Raises EngineError for what could never run."""
        if not prompt:
            raise EngineError("an empty prompt cannot be continued", "send at least <bos>")
        if len(prompt) + params.max_tokens > self.capacity:
            kind = "positions" if self.capacity == self.config.max_position_embeddings else (
                "positions that the cache holds"
            )  # fmt: skip
            raise EngineError(
                f"prompt of {len(prompt)} plus max_tokens {params.max_tokens} exceeds the model's "
                f"{self.capacity} {kind}",
                "shorten the prompt or lower max_tokens",
            )
        if params.max_tokens < 1:
            raise EngineError(f"max_tokens is {params.max_tokens}", "ask for at least one token")
        if not 0 <= min(prompt) <= max(prompt) < self.config.vocab_size:
            raise EngineError(
                f"the prompt has token ids outside 0..{self.config.vocab_size - 1}",
                "use the model's own tokenizer",
            )

    def add(self, sequence: Sequence) -> None:
        """Queue it, and its `siblings`, which share its prompt and are forked from its prefill."""
        for s in (sequence, *sequence.siblings):
            self.check(s.prompt, s.params)
        self.prompt_tokens += len(sequence.prompt) * (1 + len(sequence.siblings))
        self.scheduler.waiting.append(sequence)

    def cancel(self, s: Sequence) -> None:
        """End it now; what it has stays. Ending twice does nothing."""
        if s.finish is None:
            self._finish(s, FinishReason.ABORT)

    @property
    def busy(self) -> bool:
        return self.scheduler.busy

    def step(self, admit: bool = True) -> list[Sequence]:
        """Feed everything once; the sequences that ended. `admit` False starts nothing new."""
        plan = self.scheduler.plan(admit)
        for slot, block in self.scheduler.restores:
            self.runner.restore(slot, block)
        self.scheduler.restores.clear()
        if not plan.tokens:
            return []
        self.steps += 1
        logits, choices = self.runner.forward(self._rows(plan))
        self._keep_choices(plan, choices.numpy())
        drawing, rows = self._after(plan)
        return self._draw(drawing, logits, rows) if drawing else []

    def _rows(self, plan: Plan) -> Rows:
        """Decoding sequences first, one row each; then the prefills."""
        slots, decode = self.scheduler.slots, plan.decode_B
        slot = [*decode.tolist(), *(s.slot for s, _ in plan.prefill)]
        ids = [slots.last[decode]]
        ids += [np.array(s.ids(s.computed, s.computed + n)) for s, n in plan.prefill]
        length = np.array([1] * len(decode) + [n for _, n in plan.prefill], dtype=np.int64)
        past = np.array([*slots.past[decode].tolist(), *(s.computed for s, _ in plan.prefill)])
        end = np.cumsum(length)
        ready = [s.computed + n == len(s) for s, n in plan.prefill]
        wanted = (end - 1)[np.array([True] * len(decode) + ready, dtype=bool)]
        width = int((past + length - 1).max()) // BLOCK + 1

        def tensor(x: np.ndarray, kind: type) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(x, dtype=kind))

        return Rows(
            tensor(np.concatenate(ids), np.int64), tensor(end - length, np.int64),
            tensor(length, np.int64), tensor(past, np.int64), tensor(np.array(slot), np.int32),
            tensor(slots.table[slot, :width], np.int32), tensor(wanted, np.int32),
        )  # fmt: skip

    def _keep_choices(self, plan: Plan, choices_NL: np.ndarray) -> None:
        """Router indices live beside the keys: shared prefixes have theirs."""
        slots, decode = self.scheduler.slots, plan.decode_B
        past, n = slots.past[decode], len(decode)
        self.experts[slots.table[decode, past // BLOCK], past % BLOCK] = choices_NL[:n]
        for s, count in plan.prefill:
            at = np.arange(s.computed, s.computed + count)
            self.experts[slots.table[s.slot, at // BLOCK], at % BLOCK] = choices_NL[n : n + count]
            n += count

    def _after(self, plan: Plan) -> tuple[list[int], list[int]]:
        """Book what was fed. Returns slots that draw a token, and the row of logits of each."""
        scheduler, slots, decode = self.scheduler, self.scheduler.slots, plan.decode_B
        slots.past[decode] += 1
        for slot in decode[slots.past[decode] % BLOCK == 0].tolist():
            s = slots.sequence[slot]
            assert s is not None
            s.computed = int(slots.past[slot])
            scheduler.commit(s, 1)
        drawing, rows = decode.tolist(), list(range(len(decode)))
        row = len(decode)
        for s, count in plan.prefill:
            scheduler.fed(s, count)
            if s.computed < len(s):
                continue
            scheduler.start_decoding(s)
            family = [s]
            for child in s.siblings:
                if child.finish is not None:  # cancelled meanwhile
                    continue
                copy = scheduler.fork(s, child)
                if copy is not None:
                    self.runner.fork(s.slot, child.slot, *copy)
                    self.experts[copy[1]] = self.experts[copy[0]]
                    family.append(child)
            self.cached_tokens += sum(m.cached for m in family if not m.tokens)
            s.siblings = []
            drawing += [m.slot for m in family]
            rows += [row] * len(family)
            row += 1
        return drawing, rows

    def _draw(self, drawing: list[int], logits_WV: Tensor, rows: list[int]) -> list[Sequence]:
        """Append a token to each; the sequences that ended with it."""
        slots = self.scheduler.slots
        at = np.array(drawing)
        special = [
            (i, s) for i, slot in enumerate(drawing)
            if (s := slots.sequence[slot]) is not None and s.special
        ]  # fmt: skip
        if len(rows) > len(logits_WV) or any(s.params.logit_bias for _, s in special):
            logits_WV = logits_WV[rows]  # a copy: biases are each row's own
        for i, s in special:
            for token, bias in s.params.logit_bias:
                logits_WV[i, token] += bias
        how = Draws(
            slots.temperature[at], slots.top_k[at], slots.top_p[at], slots.min_p[at],
            uniforms(slots.seed[at], slots.drawn[at]),
        )  # fmt: skip
        token_B, logp_B, raw_B = draw(logits_WV, how)
        for i, s in special:
            if self._thought_enough(s) and token_B[i] >= 0:
                token_B[i], logp_B[i] = self.end_think_id, 0.0
                raw_B[i] = logits_WV[i].log_softmax(-1)[self.end_think_id]
            if s.params.top_logprobs:
                best = logits_WV[i].log_softmax(-1).topk(s.params.top_logprobs)
                s.top_logprobs.append(
                    list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
                )
        slots.last[at] = token_B
        slots.drawn[at] += 1
        version = self.version
        drawn = zip(
            drawing, token_B.tolist(), logp_B.tolist(), raw_B.tolist(), strict=True
        )  # fmt: skip
        for slot, token, logp, raw in drawn:
            s = slots.sequence[slot]
            assert s is not None
            s.tokens.append(token)
            s.logprobs.append(logp)
            s.raw_logprobs.append(raw)
            s.versions.append(version)
        self.generated_tokens += len(drawing)
        ended = (token_B == self.end_id) | (token_B < 0) | (slots.drawn[at] >= slots.limit[at])
        finished = []
        for i, s in special:
            if not ended[i] and (
                int(token_B[i]) in s.params.stop_ids or (s.watch is not None and s.watch(s))
            ):
                finished.append((s, FinishReason.STOP))
        for i in np.flatnonzero(ended).tolist():
            s, token = slots.sequence[drawing[i]], int(token_B[i])
            assert s is not None
            if token < 0:
                for part in (s.tokens, s.logprobs, s.raw_logprobs, s.versions):
                    part.pop()
                finished.append((s, FinishReason.ERROR))
                continue
            stopped = token == self.end_id or token in s.params.stop_ids
            if s.watch is not None and s.watch(s):
                stopped = True
            finished.append((s, FinishReason.STOP if stopped else FinishReason.LENGTH))
        for s, reason in finished:
            self._finish(s, reason)
        return [s for s, _ in finished]

    def _thought_enough(self, s: Sequence) -> bool:
        """Its thinking budget is spent and the block still open."""
        budget = s.params.thinking_budget
        return budget is not None and len(s.tokens) == budget and self.end_think_id not in s.tokens

    def _finish(self, s: Sequence, reason: FinishReason) -> None:
        s.finish = reason
        # It ends before its prefill: each of the others goes its own way.
        self.scheduler.waiting.extend(c for c in s.siblings if c.finish is None)
        s.siblings = []
        if s.slot < 0:
            if s in self.scheduler.waiting:
                self.scheduler.waiting.remove(s)
            return
        if s.keep_experts and s.tokens:
            at = np.arange(len(s) - 1)
            table = self.scheduler.slots.table[s.slot]
            s.experts = self.experts[table[at // BLOCK], at % BLOCK]
        self.scheduler.leave(s)

    def load(self, model: ZayaForCausalLM | PackedModel, version: int) -> None:
        """New weights from the next step on. Running sequences go on with what they have stored,
        which is never offered to others; the prefix cache is forgotten."""
        self.runner.load(model)
        self.version = version
        self.scheduler.blocks.flush()
        for s in self.sequences:
            s.tainted = True

    @property
    def sequences(self) -> list[Sequence]:
        """All that run."""
        return [s for s in self.scheduler.slots.sequence if s is not None]

    def generate(
        self,
        prompts: Many[Many[int]],
        params: Many[SamplingParams],
        *,
        capture_experts: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Sequence]:
        """One sequence per prompt, in order; equal prompts share a prefill. `on_progress` hears
        how many ended, from time to time."""
        sequences = [
            Sequence(list(prompt), p, capture_experts)
            for prompt, p in zip(prompts, params, strict=True)
        ]
        for s in sequences:
            self.check(s.prompt, s.params)
        for leader in families(sequences):
            self.add(leader)
        while self.busy:
            done = self.step()
            if done and on_progress is not None:
                on_progress(len(done))
        return sequences


def families(sequences: Many[Sequence]) -> list[Sequence]:
    """Those with equal prompts as one leader with siblings."""
    leaders: dict[tuple[int, ...], Sequence] = {}
    for s in sequences:
        leader = leaders.setdefault(tuple(s.prompt), s)
        if leader is not s:
            leader.siblings.append(s)
    return list(leaders.values())
