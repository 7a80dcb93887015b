"""The training loop of pretraining and SFT: batch, loss, step, balance, log, evaluate, save."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from openzaya.config.data import DataConfig
from openzaya.config.train import TrainConfig
from openzaya.data.batch import Batch
from openzaya.data.example import Example
from openzaya.engine import Engine, EngineSampler
from openzaya.errors import ConfigError, DataError
from openzaya.model import ModelOutput
from openzaya.model.account import training_flops
from openzaya.model.checkpoint import load_model
from openzaya.model.zaya import ZayaForCausalLM
from openzaya.optim.balance import BiasBalancer, auxiliary_loss, load_metrics
from openzaya.optim.groups import NonFiniteGradient, build_optimizers
from openzaya.optim.schedule import lr_factor
from openzaya.parallel.apply import parallelize, reshard
from openzaya.parallel.state import whole_model
from openzaya.parallel.world import World
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.dev import DevSet
from openzaya.train.drive import OnStep, StageResult, drive
from openzaya.train.examples import ExampleSource, build_tokenizer, difficulties, environments
from openzaya.train.loss import Stream, expert_counts, next_token_loss
from openzaya.train.sinks import attach_tracker
from openzaya.train.speed import product_rate
from openzaya.train.watch import Stopwatch, Watch

if TYPE_CHECKING:
    from openzaya.data.corpus import Corpus


class Trainer:
    """All state of one run; `save` and `_restore` cover every piece of it.

    No global random numbers are drawn: batches are functions of (seed, index), weights of the seed.
    """

    model: ZayaForCausalLM

    def __init__(self, config: TrainConfig, run: RunDir) -> None:
        self.config, self.run = config, run
        self.world = World.start(config.parallel, config.device, config.precision)
        self.group = self.world.context_group() if config.parallel.context > 1 else None
        self.world.barrier()  # the main rank has made the run folder
        self.envs = environments(config.tasks)
        self.saver = checkpoint.Saver(run.path / "checkpoints", config.checkpoint)
        self.watch = Watch(config.watch, run)
        self.stopwatch = Stopwatch(self.watch, self.world)
        self.corpus = _open(config.data) if config.data is not None else None
        self.tokenizer = self._tokenizer()
        self.source = self.corpus or ExampleSource(
            config.tasks, self.envs, self.tokenizer, config.examples, config.think, config.seed
        )
        self.dev = DevSet(self.envs, config.dev, config.think.budget, difficulties(config.tasks))
        if self.corpus is not None:
            run.write_json("data.json", self.corpus.manifest)
        self._check_shares()
        self._restore()
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]
        self._rate = product_rate(self.world.device, dtype)
        self._flops = training_flops(self.model.config, self._window).total
        if config.tracker is not None:
            attach_tracker(run, config, config.tracker, config.project)

    def _check_shares(self) -> None:
        """Ranks wait for each other: they need as many windows each, and nothing else to do."""
        parts = self.world.part[1]
        if self.world.size > 1 and (self.corpus is None or self.config.tasks):
            raise ConfigError(
                f"{self.world.size} ranks train on documents only", "give [data], and no [tasks]"
            )
        if self.corpus is not None and self.corpus.config.windows_per_step % parts:
            raise ConfigError(
                f"data.windows_per_step: {self.corpus.config.windows_per_step} windows do not go"
                f" evenly to {parts} ranks",
                "choose a multiple, or other sizes in [parallel]",
            )

    @property
    def total(self) -> int:
        if self.config.epochs is None:
            return self.config.steps
        assert self.corpus is not None
        return max(1, round(self.config.epochs * self.corpus.steps_per_epoch))

    def _origin(self) -> Path | None:
        """Where weights come from: this run's checkpoint, else the stage before, else nowhere."""
        found = checkpoint.latest(self.saver.folder)
        if found is None and self.config.init_from is not None:
            return checkpoint.weights_folder(self.config.init_from)
        return found

    def _tokenizer(self) -> Tokenizer:
        origin = self._origin()
        if origin is None:
            if self.corpus is not None:
                return self.corpus.tokenizer
            return build_tokenizer(self.envs, self.config.think)
        tokenizer = Tokenizer.load(origin)
        if self.corpus is not None and self.corpus.tokenizer != tokenizer:
            assert self.config.data is not None
            raise DataError(
                f"{self.config.data.folder} was encoded with another tokenizer than {origin}",
                f"build the data with data.tokenizer={origin}",
            )
        return tokenizer

    def _restore(self) -> None:
        """The state of the latest checkpoint, or of the beginning where there is none."""
        config, origin = self.config, self._origin()
        found = checkpoint.latest(self.saver.folder)
        if found:
            checkpoint.verify(found)
        self.model = load_model(origin) if origin else self._fresh()
        self.model.set_context(self._window, config.rope_theta)
        shape = self.model.config
        self.model.to(self.world.device)
        parallelize(self.model, self.world)
        self.optimizers = build_optimizers(self.model, config.optim)
        self.balancer = BiasBalancer(shape.num_hidden_layers, shape.num_experts, config.balance)
        self.step = self.tokens = 0
        if found:
            state = checkpoint.load_state(found)
            self.step, self.tokens = state["step"], state["tokens"]
            self.optimizers.load_state_dict(state["optimizers"])
            self.balancer.load_state_dict(state["balancer"])
            self.source.load_state_dict(state["source"])
        # Steps after the checkpoint, or all of a run killed before its first.
        self.run.rewind(self.step)
        self.world.barrier()
        self.watch.recall()

    @property
    def _window(self) -> int:
        return (self.config.data or self.config.examples).window

    def _fresh(self) -> ZayaForCausalLM:
        assert self.config.model is not None
        ids = {
            "vocab_size": self.tokenizer.vocab_size,
            "bos_token_id": self.tokenizer.bos_id,
            "eos_token_id": self.tokenizer.im_end_id,
            "pad_token_id": self.tokenizer.pad_id,
        }
        shape = self.config.model.model_copy(update=ids)
        return ZayaForCausalLM(shape).initialise(self.config.seed)

    def save(self) -> str:
        state = {
            "tokens": self.tokens,
            "optimizers": self.optimizers.state_dict(),
            "balancer": self.balancer.state_dict(),
            "source": self.source.state_dict(),
        }
        whole = whole_model(self.model, self.world)
        if self.world.is_main:
            self.saver.save(self.step, whole, self.tokenizer, state)
        return str(self.saver.place(self.step))

    def close(self) -> None:
        """Every checkpoint is on disk, and nothing watches the clock any more."""
        self.stopwatch.stop()
        self.saver.wait()

    def train_step(self) -> None:
        """One optimizer step on the batch of `self.step`; a bad one goes back instead."""
        started = time.perf_counter()
        index = self.watch.batch_of(self.step)
        self.stopwatch.start(index, self.step)
        batch = self._batch(index)
        loss, counts_LE, tokens = self._gradients(batch)
        factor = lr_factor(self.step, self.total, self.config.schedule)
        trouble = self.watch.judge(loss)
        norm = 0.0
        if trouble is None:
            try:
                norm = self.optimizers.step(factor, counts_LE)
            except NonFiniteGradient as error:
                trouble = str(error)
        if trouble is not None:
            self._go_back(index, trouble)
            return
        self.watch.accept(loss)
        self.balancer.update(self.model.balancing_biases, counts_LE)
        self.step += 1
        self.tokens += tokens
        seconds = time.perf_counter() - started
        real_LE = counts_LE[:, : self.model.config.num_experts]
        self.run.log(
            self.step,
            loss=loss,
            lr=self.config.optim.lr * factor,
            grad_norm=norm,
            tokens=self.tokens,
            tokens_per_second=tokens / seconds,
            mfu=self._flops * tokens / seconds / self._rate / self.world.size,
            seconds=seconds,
            fill=batch.fill,
            load=(real_LE / real_LE.sum(1, keepdim=True).clamp(min=1)).tolist(),
            **load_metrics(real_LE),
        )

    def _batch(self, index: int) -> Batch:
        """This rank's windows of batch `index`."""
        if self.corpus is not None:
            return self.corpus.batch(index, *self.world.part)
        assert isinstance(self.source, ExampleSource)
        return self.source.batch(index)

    def _gradients(self, batch: Batch) -> tuple[float, Tensor, int]:
        """Mean loss over the targets of all ranks, its gradient left in the parameters, tokens per
        layer and expert, and tokens."""
        sizes = self._sum(batch.targets, batch.tokens)
        total, tokens = (int(n) // self.config.parallel.context for n in sizes)
        loss, counts_LE = 0.0, None
        for windows in batch.micro(self.config.tokens_per_microbatch):
            stream = self._stream(windows)
            value, out = next_token_loss(self.model, stream, total)
            counts = expert_counts(out.experts_NL[stream.real_N], self.model.config.router_classes)
            share = len(stream.target) / total
            (value + share * self._auxiliary(out, counts)).backward()
            loss += value.item()
            counts_LE = counts if counts_LE is None else counts_LE + counts
        assert counts_LE is not None, "a batch holds at least one window"
        (loss,) = self._sum(loss)
        return loss, self.world.sum(counts_LE).cpu(), tokens

    def _stream(self, windows: list[list[Example]]) -> Stream:
        examples = [example for members in windows for example in members]
        if self.group is None:
            return Stream.of(examples, self.world.device)
        kind = self.config.parallel.context_layout
        return Stream.of(examples).share(self.group, kind, self.world.device)

    def _sum(self, *values: float) -> list[float]:
        """Over all ranks."""
        own = torch.tensor(values, dtype=torch.float64, device=self.world.device)
        return self.world.sum(own).tolist()

    def _auxiliary(self, out: ModelOutput, counts_LE: Tensor) -> Tensor | float:
        balance, experts = self.config.balance, self.model.config.num_experts
        if balance.kind != "aux":
            return 0.0
        assert out.mean_prob_LE is not None
        aux = auxiliary_loss(out.mean_prob_LE[:, :experts], counts_LE[:, :experts])
        return balance.aux_coefficient * aux

    def _go_back(self, index: int, trouble: str) -> None:
        self.watch.leave_out(index, self.step, trouble)
        self.saver.wait()
        self.world.barrier()  # every rank finds the same checkpoint
        left = self.step
        self._restore()
        self.run.log(self.step, rolled_back_from=left, left_out=index, reason=trouble)

    def evaluate(self) -> float:
        """Loss on held-out documents and accuracy on the tasks, where there are any."""
        if self.corpus is not None:
            self._measure_held_out(self.corpus)
        if not self.config.tasks:
            return 0.0
        sampler = EngineSampler(Engine(self.model, self.tokenizer.im_end_id), self.tokenizer)
        return self.dev.accuracy(sampler, self.run, self.step)

    @torch.no_grad()
    def _measure_held_out(self, corpus: Corpus) -> None:
        part, parts = self.world.part
        windows = corpus.held_out(self.config.dev.windows).windows
        windows = windows[: len(windows) // parts * parts]  # as many on every rank
        total = sum(int(e.loss_mask.sum()) for members in windows for e in members)
        if not windows:
            return
        loss = 0.0
        for members in windows[part::parts]:
            value, _ = next_token_loss(self.model, self._stream([members]), total)
            loss += value.item()
        reshard(self.model)
        (loss,) = self._sum(loss)
        self.run.log(self.step, held_out_loss=loss, held_out_tokens=total)

    def facts(self) -> dict[str, Any]:
        return {**self.source.state_dict(), "left_out": self.watch.skipped}


def _open(config: DataConfig) -> Corpus:
    # Only here: training on tasks needs none of the data libraries.
    from openzaya.data.corpus import Corpus

    return Corpus.open(config)


def train(config: TrainConfig, run: RunDir, on_step: OnStep | None = None) -> StageResult:
    """Run or continue a stage in its folder; data that is not there yet is built first."""
    if config.data is not None and int(os.environ.get("RANK", "0")) == 0:
        from openzaya.data.build import build

        build(config.data)  # the other ranks wait where the trainer begins
    return drive(Trainer(config, run), on_step)
