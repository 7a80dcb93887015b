"""The training loop of pretraining and SFT: batch, loss, step, balance, log, evaluate, save."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from openzaya.config.data import DataConfig
from openzaya.config.train import TrainConfig
from openzaya.data.batch import Batch
from openzaya.engine import Engine, EngineSampler
from openzaya.errors import DataError
from openzaya.model import ModelOutput
from openzaya.model.account import training_flops
from openzaya.model.checkpoint import load_model
from openzaya.model.zaya import ZayaForCausalLM
from openzaya.optim.balance import BiasBalancer, auxiliary_loss, load_metrics
from openzaya.optim.groups import NonFiniteGradient, build_optimizers
from openzaya.optim.schedule import lr_factor
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.dev import DevSet
from openzaya.train.drive import OnStep, StageResult, drive
from openzaya.train.examples import ExampleSource, build_tokenizer, environments
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
        self.envs = environments(config.tasks)
        self.saver = checkpoint.Saver(run.path / "checkpoints", config.checkpoint)
        self.watch = Watch(config.watch, run)
        self.stopwatch = Stopwatch(self.watch)
        self.corpus = _open(config.data) if config.data is not None else None
        self.tokenizer = self._tokenizer()
        self.source = self.corpus or ExampleSource(
            config.tasks, self.envs, self.tokenizer, config.examples, config.think, config.seed
        )
        self.dev = DevSet(self.envs, config.dev, config.think.budget)
        if self.corpus is not None:
            run.write_json("data.json", self.corpus.manifest)
        self._restore()
        self._rate = product_rate(torch.device("cpu"), torch.float32)
        self._flops = training_flops(self.model.config, self._window).total
        if config.tracker is not None:
            attach_tracker(run, config, config.tracker, config.project)

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
        return str(self.saver.save(self.step, self.model, self.tokenizer, state))

    def close(self) -> None:
        """Every checkpoint is on disk, and nothing watches the clock any more."""
        self.stopwatch.stop()
        self.saver.wait()

    def train_step(self) -> None:
        """One optimizer step on the batch of `self.step`; a bad one goes back instead."""
        started = time.perf_counter()
        index = self.watch.batch_of(self.step)
        self.stopwatch.start(index, self.step)
        batch = self.source.batch(index)
        loss, counts_LE = self._gradients(batch)
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
        self.tokens += batch.tokens
        seconds = time.perf_counter() - started
        real_LE = counts_LE[:, : self.model.config.num_experts]
        self.run.log(
            self.step,
            loss=loss,
            lr=self.config.optim.lr * factor,
            grad_norm=norm,
            tokens=self.tokens,
            tokens_per_second=batch.tokens / seconds,
            mfu=self._flops * batch.tokens / seconds / self._rate,
            seconds=seconds,
            fill=batch.fill,
            load=(real_LE / real_LE.sum(1, keepdim=True).clamp(min=1)).tolist(),
            **load_metrics(real_LE),
        )

    def _gradients(self, batch: Batch) -> tuple[float, Tensor]:
        """Mean loss over the batch's targets, its gradient left in the parameters, and the tokens
        per layer and expert."""
        total, loss, counts_LE = batch.targets, 0.0, None
        for windows in batch.micro(self.config.tokens_per_microbatch):
            stream = Stream.of([example for members in windows for example in members])
            share = len(stream.target) / total
            mean, out = next_token_loss(self.model, stream)
            counts = expert_counts(out.experts_NL, self.model.config.router_classes)
            (share * (mean + self._auxiliary(out, counts))).backward()
            loss += share * mean.item()
            counts_LE = counts if counts_LE is None else counts_LE + counts
        assert counts_LE is not None, "a batch holds at least one window"
        return loss, counts_LE

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
        batch = corpus.held_out(self.config.dev.windows)
        if not batch.windows:
            return
        loss = 0.0
        for windows in batch.micro(self._window):
            stream = Stream.of([example for members in windows for example in members])
            mean, _ = next_token_loss(self.model, stream)
            loss += mean.item() * len(stream.target) / batch.targets
        self.run.log(self.step, held_out_loss=loss, held_out_tokens=batch.targets)

    def facts(self) -> dict[str, Any]:
        return {**self.source.state_dict(), "left_out": self.watch.skipped}


def _open(config: DataConfig) -> Corpus:
    # Only here: training on tasks needs none of the data libraries.
    from openzaya.data.corpus import Corpus

    return Corpus.open(config)


def train(config: TrainConfig, run: RunDir, on_step: OnStep | None = None) -> StageResult:
    """Run or continue a stage in its folder; data that is not there yet is built first."""
    if config.data is not None:
        from openzaya.data.build import build

        build(config.data)
    return drive(Trainer(config, run), on_step)
