"""The training loop of pretraining and SFT: batch, loss, step, balance, log, evaluate, save."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from openzaya.config.train import TrainConfig
from openzaya.data.trimming import TrimReport
from openzaya.engine import Engine, EngineSampler
from openzaya.envs import WorkedEnvironment
from openzaya.model.checkpoint import load_model
from openzaya.model.zaya import ZayaForCausalLM
from openzaya.optim.balance import BiasBalancer, auxiliary_loss, load_metrics
from openzaya.optim.groups import build_optimizers
from openzaya.optim.schedule import lr_factor
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.dev import DevSet
from openzaya.train.drive import OnStep, StageResult, drive
from openzaya.train.examples import ExampleSource, build_tokenizer, environments
from openzaya.train.loss import Stream, expert_counts, next_token_loss


class Trainer:
    """All state of one run; `save` and `restore` cover every piece of it."""

    def __init__(self, config: TrainConfig, run: RunDir) -> None:
        self.config, self.run = config, run
        self.envs: dict[str, WorkedEnvironment] = environments(config.tasks)
        self.step = self.tokens = 0
        self.folder = run.path / "checkpoints"
        found = checkpoint.latest(self.folder)
        source = found or (config.init_from and checkpoint.weights_folder(config.init_from))
        if source:
            self.tokenizer = Tokenizer.load(source)
            self.model: ZayaForCausalLM = load_model(source)
        else:
            assert config.model is not None
            self.tokenizer = build_tokenizer(self.envs, config.think)
            shape = config.model.model_copy(
                update={
                    "vocab_size": self.tokenizer.vocab_size,
                    "bos_token_id": self.tokenizer.bos_id,
                    "eos_token_id": self.tokenizer.im_end_id,
                    "pad_token_id": self.tokenizer.pad_id,
                }
            )
            self.model = ZayaForCausalLM(shape).initialise(config.seed)
        shape = self.model.config
        self.optimizers = build_optimizers(self.model, config.optim)
        self.balancer = BiasBalancer(shape.num_hidden_layers, shape.num_experts, config.balance)
        self.source = ExampleSource(
            config.tasks, self.envs, self.tokenizer, config.data, config.think, config.seed
        )
        self.dev = DevSet(self.envs, config.dev, config.think.budget)
        if found:
            state = checkpoint.load_state(found)
            self.step, self.tokens = state["step"], state["tokens"]
            self.optimizers.load_state_dict(state["optimizers"])
            self.balancer.load_state_dict(state["balancer"])
            self.source.trimmed = TrimReport(**state["trimmed"])
        run.rewind(self.step)  # steps after the checkpoint, or all of a run killed before its first

    def save(self) -> str:
        state = {
            "tokens": self.tokens,
            "optimizers": self.optimizers.state_dict(),
            "balancer": self.balancer.state_dict(),
            "trimmed": asdict(self.source.trimmed),
        }
        return str(checkpoint.save(self.folder, self.step, self.model, self.tokenizer, state))

    def train_step(self) -> None:
        """One optimizer step on the batch of `self.step`."""
        started = time.perf_counter()
        batch = self.source.batch(self.step)
        stream = Stream.of(batch.examples)
        loss, out = next_token_loss(self.model, stream)
        counts_LE = expert_counts(out.experts_NL, self.model.config.router_classes)
        experts = self.model.config.num_experts
        objective = loss
        if self.config.balance.kind == "aux":
            assert out.mean_prob_LE is not None
            aux = auxiliary_loss(out.mean_prob_LE[:, :experts], counts_LE[:, :experts])
            objective = loss + self.config.balance.aux_coefficient * aux
        objective.backward()
        factor = lr_factor(self.step, self.config.steps, self.config.schedule)
        norm = self.optimizers.step(factor, counts_LE)
        self.balancer.update(self.model.balancing_biases, counts_LE)
        self.step += 1
        self.tokens += stream.layout.tokens
        seconds = time.perf_counter() - started
        real_LE = counts_LE[:, :experts]
        self.run.log(
            self.step,
            loss=loss.item(),
            lr=self.config.optim.lr * factor,
            grad_norm=norm,
            tokens=self.tokens,
            tokens_per_second=stream.layout.tokens / seconds,
            seconds=seconds,
            fill=batch.fill,
            load=(real_LE / real_LE.sum(1, keepdim=True).clamp(min=1)).tolist(),
            **load_metrics(real_LE),
        )

    def evaluate(self) -> float:
        sampler = EngineSampler(Engine(self.model, self.tokenizer.im_end_id), self.tokenizer)
        return self.dev.accuracy(sampler, self.run, self.step)

    def facts(self) -> dict[str, Any]:
        return {"trimmed": asdict(self.source.trimmed)}


def train(config: TrainConfig, run: RunDir, on_step: OnStep | None = None) -> StageResult:
    """Run or continue a stage in its folder."""
    return drive(Trainer(config, run), on_step)
