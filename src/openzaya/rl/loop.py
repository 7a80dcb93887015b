"""The synchronous RL loop (staleness 0): draw prompts, roll out, judge, learn.

Each step is a pure function of the weights, the tail buffer and (seed, step); all three are in a
checkpoint, so a killed run continues as if it had not been.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from openzaya.config.rl import RLConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.envs import Problems
from openzaya.model.checkpoint import load_model
from openzaya.optim.groups import build_optimizers
from openzaya.rl.advantage import keep_group, maxrl
from openzaya.rl.monitors import is_degenerate, rare_token_fraction
from openzaya.rl.tails import TailBuffer, TailGroup
from openzaya.rl.trainer import Rollout, accumulate
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.dev import DevSet
from openzaya.train.drive import OnStep, StageResult, drive
from openzaya.train.examples import environments
from openzaya.ttc.prompts import aggregation_messages
from openzaya.ttc.rsa import derived_seed
from openzaya.ttc.tails import tail_ids
from openzaya.types import Completion, FinishReason, Message, Problem, Request, SamplingParams


@dataclass(frozen=True, slots=True)
class Prompt:
    """One group's prompt. depth 0 is the plain problem."""

    task: str
    index: int
    problem: Problem
    messages: tuple[Message, ...]
    depth: int


class RLTrainer:
    """Policy, sampler on the same weights, optimizer and the buffer of own tails."""

    def __init__(self, config: RLConfig, run: RunDir) -> None:
        self.config, self.run = config, run
        self.envs = environments(config.tasks)
        self.problems = {name: Problems(env, "train") for name, env in self.envs.items()}
        self.saver = checkpoint.Saver(run.path / "checkpoints", config.checkpoint)
        found = checkpoint.latest(self.saver.folder)
        source = found or checkpoint.weights_folder(config.init_from)
        self.tokenizer = Tokenizer.load(source)
        self.model = load_model(source)
        self.optimizers = build_optimizers(self.model, config.optim)
        self.buffer = TailBuffer(config.tail_buffer)
        self.step = self.tokens = 0
        if found:
            checkpoint.verify(found)
            state = checkpoint.load_state(found)
            self.step, self.tokens = state["step"], state["tokens"]
            self.optimizers.load_state_dict(state["optimizers"])
            self.buffer.load_state_dict(state["buffer"])
        self.dev = DevSet(self.envs, config.dev, config.think.budget)
        run.rewind(self.step)
        self.engine = Engine(self.model, self.tokenizer.im_end_id, version=self.step)
        self.sampler = EngineSampler(self.engine, self.tokenizer)

    def save(self) -> str:
        state = {
            "tokens": self.tokens,
            "optimizers": self.optimizers.state_dict(),
            "buffer": self.buffer.state_dict(),
        }
        return str(self.saver.save(self.step, self.model, self.tokenizer, state))

    @property
    def total(self) -> int:
        return self.config.steps

    def close(self) -> None:
        self.saver.wait()

    def train_step(self) -> None:
        config, started = self.config, time.perf_counter()
        rng = random.Random(f"rl:{config.seed}:{self.step}")
        prompts = [self._prompt(rng) for _ in range(config.prompts_per_step)]
        groups = self._roll_out(prompts)
        rewards_PG = torch.tensor(
            [[self._reward(p, c) for c in group] for p, group in zip(prompts, groups, strict=True)]
        )
        learnt = [
            self._weigh(group, reward_G) for group, reward_G in zip(groups, rewards_PG, strict=True)
        ]
        rollouts = [rollout for group in learnt for rollout in group]
        stats, counts_LE = accumulate(
            self.model,
            rollouts,
            total_rollouts=rewards_PG.numel(),
            horizon=config.think.budget,
            delta=config.delta,
            ratio_cap=config.ratio_cap,
            tokens_per_microbatch=config.tokens_per_microbatch,
        )
        norm = self.optimizers.step(1.0, counts_LE) if rollouts else 0.0
        self.step += 1
        self.engine.load(self.model, self.step)
        for prompt, group in zip(prompts, groups, strict=True):
            self._remember(prompt, group)
        generated = [c for group in groups for c in group]
        self.tokens += sum(len(c.token_ids) for c in generated)
        self.run.log(
            self.step,
            reward=rewards_PG.mean().item(),
            reward_by_task=_mean_by([p.task for p in prompts], rewards_PG),
            reward_by_depth=_mean_by([str(p.depth) for p in prompts], rewards_PG),
            groups=len(prompts),
            kept_groups=sum(map(bool, learnt)),
            dropped_all_wrong=int((rewards_PG.amax(1) == 0).sum()),
            dropped_all_right=int((rewards_PG.amin(1) == 1).sum()),
            response_tokens=sum(len(c.token_ids) for c in generated) / len(generated),
            truncated=sum(c.finish_reason is FinishReason.LENGTH for c in generated)
            / len(generated),
            rare_tokens=rare_token_fraction(
                np.concatenate([c.token_ids for c in generated]), self.tokenizer.vocab_size, top=0.1
            ),
            tokens=self.tokens,
            grad_norm=norm,
            seconds=time.perf_counter() - started,
            **stats.metrics(),
        )

    def _reward(self, prompt: Prompt, completion: Completion) -> float:
        """1 for a right answer, unless the rollout is a loop (report, stability monitors)."""
        right = self.envs[prompt.task].score(prompt.problem, completion.answer).correct
        return float(right and not is_degenerate(completion.token_ids))

    def _weigh(self, group: list[Completion], reward_G: torch.Tensor) -> list[Rollout]:
        """The rollouts of one group that say something, with their advantages."""
        skip_cut = self.config.overlong_filter
        counted = [
            i
            for i, c in enumerate(group)
            if not (skip_cut and c.finish_reason is FinishReason.LENGTH)
        ]
        reward_1G = reward_G[None, counted]
        if not counted or not keep_group(reward_1G)[0]:
            return []
        advantage = maxrl(reward_1G)[0].tolist()
        return [Rollout(group[i], a) for i, a in zip(counted, advantage, strict=True)]

    def _prompt(self, rng: random.Random) -> Prompt:
        """A fresh problem, or an aggregation of the model's own earlier tails."""
        config = self.config
        group = self.buffer.draw(rng) if rng.random() < config.aggregation_share else None
        if group is None:
            weights = [task.weight for task in config.tasks.values()]
            task = rng.choices(list(config.tasks), weights)[0]
            index = rng.getrandbits(40)
            problem = self.problems[task].draw(index)
            return Prompt(task, index, problem, (Message("user", problem.prompt),), 0)
        problem = self.problems[group.task].draw(group.index)
        tails = rng.sample(group.tails, min(config.think.candidates, len(group.tails)))
        user = (Message("user", problem.prompt),)
        messages = aggregation_messages(user, tails, config.think.template)
        return Prompt(group.task, group.index, problem, messages, group.depth + 1)

    def _roll_out(self, prompts: list[Prompt]) -> list[list[Completion]]:
        size = self.config.group_size
        requests = [
            Request(
                prompt.messages,
                SamplingParams(
                    self.config.think.budget, seed=derived_seed(self.config.seed, self.step, i, j)
                ),
                return_experts=True,
            )
            for i, prompt in enumerate(prompts)
            for j in range(size)
        ]
        done = asyncio.run(self.sampler.sample(requests))
        return [done[i : i + size] for i in range(0, len(done), size)]

    def _remember(self, prompt: Prompt, group: list[Completion]) -> None:
        if prompt.depth >= self.config.max_depth:
            return
        think = self.config.think
        tails = tuple(
            self.tokenizer.decode(tail_ids(c, think.tail, think.tail_scope, self.sampler.think_ids))
            for c in group
        )
        self.buffer.add(TailGroup(prompt.task, prompt.index, tails, prompt.depth))

    def evaluate(self) -> float:
        return self.dev.accuracy(self.sampler, self.run, self.step)

    def facts(self) -> dict[str, Any]:
        return {}


def _mean_by(keys: list[str], rewards_PG: torch.Tensor) -> dict[str, float]:
    means = {}
    for key in sorted(set(keys)):
        rows = [i for i, k in enumerate(keys) if k == key]
        means[key] = rewards_PG[rows].mean().item()
    return means


def reinforce(config: RLConfig, run: RunDir, on_step: OnStep | None = None) -> StageResult:
    """Run or continue RL in its folder."""
    return drive(RLTrainer(config, run), on_step)
