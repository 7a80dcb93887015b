"""The RL loop: generation runs ahead as far as the orchestrator lets it, the trainer learns.

With `max_staleness` 0 that is the synchronous loop: each step is a pure function of the weights,
the curriculum, the tail buffer and (seed, step), all of them in a checkpoint, so a killed run ends
as if it had not been. Otherwise finished rollouts are kept in a journal until a checkpoint holds
them, and none is drawn twice.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from openzaya.config.rl import RLConfig
from openzaya.model.checkpoint import load_model
from openzaya.optim.groups import build_optimizers
from openzaya.rl import finished
from openzaya.rl.advantage import keep_group, maxrl
from openzaya.rl.crew import Here, Servers
from openzaya.rl.generation import Generation
from openzaya.rl.monitors import is_degenerate, rare_token_fraction
from openzaya.rl.orchestrator import Group, Orchestrator
from openzaya.rl.prompts import Prompt, Prompts
from openzaya.rl.rollout import Judged
from openzaya.rl.trainer import Rollout, accumulate
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.dev import DevSet
from openzaya.train.drive import OnStep, StageResult, drive
from openzaya.train.examples import difficulties, environments
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.tails import tail_ids
from openzaya.types import Completion, FinishReason, Outcome, Request, SamplingParams, ThinkIds

FINISHED_FILE = "finished.jsonl"


class RLTrainer:
    """Policy and optimizer here; prompts, samplers and what flies between them in `generation`."""

    def __init__(self, config: RLConfig, run: RunDir) -> None:
        self.config, self.run = config, run
        self.envs = environments(config.tasks)
        levels = difficulties(config.tasks)
        self.saver = checkpoint.Saver(run.path / "checkpoints", config.checkpoint)
        found = checkpoint.latest(self.saver.folder)
        source = found or checkpoint.weights_folder(config.init_from)
        self.tokenizer = Tokenizer.load(source)
        t = self.tokenizer
        self.think_ids = ThinkIds(t.think_id, t.end_think_id, t.im_end_id)
        self.model = load_model(source)
        self.optimizers = build_optimizers(self.model, config.optim)
        self.prompts = Prompts(config, self.envs, levels)
        self.orchestrator: Orchestrator[Judged] = Orchestrator(
            config.asynchrony, config.prompts_per_step, config.group_size,
            draw=self.prompts.draw, judge=self._contrast, learn=self._learn,
        )  # fmt: skip
        self.step = self.tokens = 0
        if found:
            checkpoint.verify(found)
            self._restore(checkpoint.load_state(found))
        self.dev = DevSet(self.envs, config.dev, config.think.budget, levels)
        run.rewind(self.step)
        remote = config.samplers.processes or config.samplers.urls
        crew = (
            Servers(config.samplers, self.model, self.tokenizer, run.path / "published")
            if remote
            else Here(self.model, self.tokenizer, self.step)
        )
        self.finished = None
        if config.asynchrony.max_staleness:
            for group, prompt, slot, rollout in finished.read(run.path / FINISHED_FILE):
                self.orchestrator.restore(group, prompt, slot, rollout)
            self.orchestrator.restored(lambda rollout: rollout.oldest)
            self.finished = finished.Finished(run.path / FINISHED_FILE)
        self.generation = Generation(
            self.orchestrator, crew, self._request, self._judge,
            keep=self.finished.add if self.finished is not None else None,
        )  # fmt: skip
        self.generation.begin()

    def save(self) -> str:
        return self.generation.do(self._save())

    async def _save(self) -> str:
        """In generation's thread: nothing ends meanwhile."""
        flight = self.orchestrator.state_dict()
        for group in (*flight["flying"], *flight["ready"]):
            group["prompt"] = group["prompt"].plain()
            group["rollouts"] = {slot: r.plain() for slot, r in group["rollouts"].items()}
        state = {
            "tokens": self.tokens,
            "optimizers": self.optimizers.state_dict(),
            "prompts": self.prompts.state_dict(),
            "flight": flight,
        }
        folder = str(self.saver.save(self.step, self.model, self.tokenizer, state))
        if self.finished is not None:
            self.saver.wait()
            self.finished.clear()
        return folder

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.tokens = state["step"], state["tokens"]
        self.optimizers.load_state_dict(state["optimizers"])
        self.prompts.load_state_dict(state["prompts"])
        flight = state["flight"]
        for group in (*flight["flying"], *flight["ready"]):
            group["prompt"] = Prompt.of(group["prompt"])
            group["rollouts"] = {slot: Judged.of(r) for slot, r in group["rollouts"].items()}
        self.orchestrator.load_state_dict(flight)

    @property
    def total(self) -> int:
        return self.config.steps

    def close(self) -> None:
        self.generation.close()
        self.saver.wait()
        if self.finished is not None:
            self.finished.close()

    def train_step(self) -> None:
        config, started, waited = self.config, time.perf_counter(), self.generation.waited
        groups = self.generation.batch()
        ages = [self.orchestrator.staleness(g) for g in groups]
        learnt = [self._weigh(group) for group in groups]
        rollouts = [rollout for group in learnt for rollout in group]
        stats, counts_LE = accumulate(
            self.model,
            rollouts,
            total_rollouts=config.prompts_per_step * config.group_size,
            horizon=config.think.budget,
            delta=config.delta,
            ratio_cap=config.ratio_cap,
            tokens_per_microbatch=config.tokens_per_microbatch,
        )
        norm = self.optimizers.step(1.0, counts_LE) if rollouts else 0.0
        self.step += 1
        self.generation.stepped()
        self._log(groups, ages, sum(map(bool, learnt)), started, waited, norm, stats.metrics())

    def _log(
        self, groups: list[Group[Judged]], ages: list[int], kept: int, started: float,
        waited: float, norm: float, stats: dict[str, float],
    ) -> None:  # fmt: skip
        made = [r for g in groups for r in _in_order(g)]
        drawn = [r.completion for r in made]
        rewards_PG = np.array([[r.reward for r in _in_order(g)] for g in groups])
        prompts = [g.prompt for g in groups]
        self.tokens += sum(len(c.token_ids) for c in drawn)
        outcomes = [r.score.outcome for r in made]
        dropped = self.orchestrator.dropped
        self.run.log(
            self.step,
            reward=float(rewards_PG.mean()),
            reward_by_task=_mean_by([p.task for p in prompts], rewards_PG),
            reward_by_depth=_mean_by([str(p.depth) for p in prompts], rewards_PG),
            outcomes={str(o): outcomes.count(o) for o in Outcome if o in outcomes},
            groups=len(groups),
            kept_groups=kept,
            dropped_all_wrong=int((rewards_PG.max(1) == 0).sum()),
            dropped_all_right=int((rewards_PG.min(1) == 1).sum()),
            dropped={reason: n for reason, n in sorted(dropped.items())},
            staleness=[ages.count(age) for age in range(max(ages) + 1)],
            difficulty=self.prompts.curriculum.difficulties(),
            response_tokens=sum(len(c.token_ids) for c in drawn) / len(drawn),
            truncated=sum(c.finish_reason is FinishReason.LENGTH for c in drawn) / len(drawn),
            rare_tokens=rare_token_fraction(
                np.concatenate([c.token_ids for c in drawn]), self.tokenizer.vocab_size, top=0.1
            ),
            tokens=self.tokens,
            grad_norm=norm,
            waited_seconds=self.generation.waited - waited,
            seconds=time.perf_counter() - started,
            **stats,
        )

    def _request(self, group: Group[Judged], slot: int) -> Request:
        params = SamplingParams(
            self.config.think.budget, seed=derived_seed(self.config.seed, group.id, slot)
        )
        return Request(self.prompts.messages(group.prompt), params, return_experts=True)

    def _judge(self, group: Group[Judged], completion: Completion) -> Judged:
        """1 for a right answer, unless the rollout is a loop (report, stability monitors)."""
        problem = self.prompts.problem(group.prompt)
        score = self.envs[group.prompt.task].score(problem, completion.answer)
        sound = score.correct and not is_degenerate(completion.token_ids)
        return Judged(completion, score, float(sound))

    def _counted(self, group: Group[Judged]) -> list[Judged]:
        """Its rollouts that are evidence: a verifier that failed says nothing of them, and the
        overlong filter leaves out what the budget cut."""
        return [
            r
            for r in _in_order(group)
            if r.score.outcome is not Outcome.VERIFIER_ERROR
            and not (
                self.config.overlong_filter and r.completion.finish_reason is FinishReason.LENGTH
            )
        ]

    def _contrast(self, group: Group[Judged]) -> str | None:
        rewards = {r.reward for r in self._counted(group)}
        return None if len(rewards) > 1 else "no contrast"

    def _weigh(self, group: Group[Judged]) -> list[Rollout]:
        """The rollouts of one group that say something, with their advantages."""
        counted = self._counted(group)
        reward_1G = torch.tensor([[r.reward for r in counted]])
        if not counted or not keep_group(reward_1G)[0]:
            return []
        advantage = maxrl(reward_1G)[0].tolist()
        return [Rollout(r.completion, a) for r, a in zip(counted, advantage, strict=True)]

    def _learn(self, group: Group[Judged]) -> None:
        think, made = self.config.think, _in_order(group)
        cut = [tail_ids(r.completion, think.tail, think.tail_scope, self.think_ids) for r in made]
        tails = [self.tokenizer.decode(ids) for ids in cut]
        self.prompts.learn(group.prompt, [r.reward for r in made], tails)

    def evaluate(self) -> float:
        """By the weights that the samplers have."""
        measuring = self.dev.measure(self.generation.crew.sampler, self.run, self.step)
        return self.generation.do(measuring)

    def facts(self) -> dict[str, Any]:
        return {}


def _in_order(group: Group[Judged]) -> list[Judged]:
    return [group.rollouts[slot] for slot in range(group.size)]


def _mean_by(keys: list[str], rewards_PG: np.ndarray) -> dict[str, float]:
    return {
        key: float(rewards_PG[[i for i, k in enumerate(keys) if k == key]].mean())
        for key in sorted(set(keys))
    }


def reinforce(config: RLConfig, run: RunDir, on_step: OnStep | None = None) -> StageResult:
    """Run or continue RL in its folder."""
    trainer = RLTrainer(config, run)
    try:
        return drive(trainer, on_step)
    finally:
        trainer.close()
