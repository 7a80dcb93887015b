"""The RL loop: generation runs ahead as far as the orchestrator lets it, the trainer learns.

With `max_staleness` 0 that is the synchronous loop: each step is a pure function of the weights,
the curriculum, the tail buffer and (seed, step), all of them in a checkpoint, so a killed run ends
as if it had not been. Otherwise finished rollouts are kept in a journal until a checkpoint holds
them, and none is drawn twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from openzaya.config.rl import ChatRewardConfig, RLConfig
from openzaya.engine.runner import Runner
from openzaya.envs.rewards.gate import GatedReward
from openzaya.envs.rewards.judge import RubricJudge
from openzaya.envs.rewards.model import ScalarRewardModel
from openzaya.model.checkpoint import load_model
from openzaya.optim.groups import build_optimizers
from openzaya.rl import finished, gate, step_metrics
from openzaya.rl.crew import Here, Servers
from openzaya.rl.generation import Generation
from openzaya.rl.monitors import is_degenerate
from openzaya.rl.orchestrator import Group, Orchestrator
from openzaya.rl.prepare import Preparation, Writer
from openzaya.rl.prompts import Prompt, Prompts
from openzaya.rl.rollout import Judged
from openzaya.rl.solve_rate import SolveRates
from openzaya.rl.tasks import spread
from openzaya.rl.trainer import Rollout, accumulate
from openzaya.rl.weigh import LengthTerm, counted, has_contrast, weigh
from openzaya.run_dir import RunDir
from openzaya.tokenizer import Tokenizer
from openzaya.train import checkpoint
from openzaya.train.dev import DevSet
from openzaya.train.drive import OnStep, StageResult, drive
from openzaya.train.examples import difficulties, environments
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.tails import tail_ids
from openzaya.types import Completion, Environment, Request, SamplingParams, Score, ThinkIds

FINISHED_FILE = "finished.jsonl"
BEGIN_FILE = "begin.json"
"""Where the difficulties started."""
GATED = 256
"""Most completions that the mismatch gate compares."""


class RLTrainer:
    """Policy and optimizer here; prompts, samplers and what flies between them in `generation`."""

    def __init__(self, config: RLConfig, run: RunDir) -> None:
        config = config.model_copy(update={"tasks": spread(config.tasks)})
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
        length = config.advantage.length_reward
        self.rates = SolveRates(length.rate_decay if length is not None else 0.0)
        self.gated, self._chat = _gated(config.chat_reward, self.envs)
        self.gate_due, self._trusted = True, False
        """Whether the schedule wants a check; whether this process has made one."""
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
        self.finished: finished.Finished | None = None
        self.generation = Generation(
            self.orchestrator, crew, self._request, self._judge, keep=self._keep
        )
        try:
            self.generation.open()
            self._begin(settled=found is not None)
        except BaseException:
            self.close()
            raise

    def _begin(self, settled: bool) -> None:
        """What comes before the first step, then what was in flight, then new groups."""
        writer = Writer(self.generation.crew.sample, self.think_ids, self._detokenize)
        before = Preparation(self.config, self.envs, self.prompts, self.run.path)
        self.generation.do(before.run(writer, settled))
        if not settled:
            self.run.write_json(BEGIN_FILE, {"difficulty": self.prompts.curriculum.difficulties()})
        if self.config.asynchrony.max_staleness:
            path = self.run.path / FINISHED_FILE
            for group, prompt, slot, rollout in finished.read(path):
                self.orchestrator.restore(group, prompt, slot, rollout)
            self.orchestrator.restored(lambda rollout: rollout.oldest)
            self.finished = finished.Finished(path)
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
            "rates": self.rates.state_dict(),
            "gate_due": self.gate_due,
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
        self.rates.load_state_dict(state["rates"])
        self.gate_due = state["gate_due"]
        flight = state["flight"]
        for group in (*flight["flying"], *flight["ready"]):
            group["prompt"] = Prompt.of(group["prompt"])
            group["rollouts"] = {slot: Judged.of(r) for slot, r in group["rollouts"].items()}
        self.orchestrator.load_state_dict(flight)

    @property
    def total(self) -> int:
        return self.config.steps

    def close(self) -> None:
        if self._chat is not None:
            self.generation.do(self._chat.__aexit__(None, None, None))
            self._chat = None
        self.generation.close()
        self.saver.wait()
        if self.finished is not None:
            self.finished.close()

    def train_step(self) -> None:
        config, started, waited = self.config, time.perf_counter(), self.generation.waited
        groups = self.generation.batch()
        ages = [self.orchestrator.staleness(g) for g in groups]
        checked = self._check(groups)
        learnt = [self._weigh(group) for group in groups]
        rollouts = [rollout for group in learnt for rollout in group]
        stats, counts_LE = accumulate(
            self.model,
            rollouts,
            total_rollouts=config.prompts_per_step * config.group_size,
            total_tokens=sum(len(r.completion.token_ids) for g in groups for r in _in_order(g)),
            horizon=config.think.budget,
            loss=config.loss,
            tokens_per_microbatch=config.tokens_per_microbatch,
        )
        norm = self.optimizers.step(1.0, counts_LE) if rollouts else 0.0
        self._record_rates(groups)
        self.step += 1
        self.gate_due |= bool(config.gate.every) and self.step % config.gate.every == 0
        self.generation.stepped()
        seconds = {"seconds": time.perf_counter() - started}
        seconds["waited_seconds"] = self.generation.waited - waited
        self._log(groups, ages, sum(map(bool, learnt)), norm, stats.metrics() | checked | seconds)

    def _check(self, groups: list[Group[Judged]]) -> dict[str, float]:
        """The mismatch gate, where it is due and can be checked: on tokens that the weights of this
        very step drew. MismatchError stops the run before anything is learnt."""
        if (self._trusted and not self.gate_due) or self.orchestrator.serving != self.step:
            return {}
        scheduled, self.gate_due, self._trusted = self.gate_due, False, True
        drawn = [r.completion for g in groups for r in _in_order(g)]
        drawn = [c for c in drawn if (c.policy_version == self.step).all()][:GATED]
        if not drawn:  # generation has run ahead: a rollout of each prompt by today's weights
            drawn = self.generation.do(self._fresh(groups))
        crew = self.generation.crew
        runner: Runner | None = crew.engine.runner if isinstance(crew, Here) else None
        agreement = gate.check(
            self.model, drawn, self.config.gate, version=self.step, runner=runner,
            tokens_per_microbatch=self.config.tokens_per_microbatch,
        )  # fmt: skip
        # A run that goes on checks its new process too, and logs what it would have logged.
        return agreement.metrics() if scheduled else {}

    async def _fresh(self, groups: list[Group[Judged]]) -> list[Completion]:
        sample = self.generation.crew.sample
        done = await asyncio.gather(*(sample(self._request(g, 0), g.id) for g in groups[:GATED]))
        return [c for (c,) in done]

    def _log(
        self, groups: list[Group[Judged]], ages: list[int], kept: int, norm: float,
        more: dict[str, float],
    ) -> None:  # fmt: skip
        made = [_in_order(g) for g in groups]
        seen = step_metrics.step_metrics(
            [
                step_metrics.Judged(
                    g.prompt.task, [r.completion for r in m], [r.score for r in m],
                    [r.reward for r in m],
                )
                for g, m in zip(groups, made, strict=True)
            ],
            vocab_size=self.tokenizer.vocab_size,
            version=self.step - 1,
        )  # fmt: skip
        del seen["waited"]
        self.tokens += sum(len(r.completion.token_ids) for m in made for r in m)
        self.run.log(
            self.step,
            **seen
            | {
                "staleness": [ages.count(age) for age in range(max(ages) + 1)],
                "staleness_of_rollouts": seen["staleness"],
                "reward_by_depth": _mean_by(
                    [str(g.prompt.depth) for g in groups], [[r.reward for r in m] for m in made]
                ),
                "kept_groups": kept,
                "dropped": dict(sorted(self.orchestrator.dropped.items())),
                "difficulty": self.prompts.curriculum.difficulties(),
                "tokens": self.tokens,
                "grad_norm": norm,
                **more,
            },
        )

    async def _detokenize(self, token_ids: list[int]) -> str:
        return self.tokenizer.decode(token_ids)

    def _keep(self, group: Group[Judged], slot: int, judged: Judged) -> None:
        if self.finished is not None:
            self.finished.add(group, slot, judged)

    def _request(self, group: Group[Judged], slot: int) -> Request:
        params = SamplingParams(
            self.config.think.budget, seed=derived_seed(self.config.seed, group.id, slot)
        )
        return Request(self.prompts.messages(group.prompt), params, return_experts=True)

    async def _judge(self, group: Group[Judged], completion: Completion) -> Judged:
        """1 for a right answer, or what a chat reward says of it; 0 if the rollout is a loop
        (report, stability monitors)."""
        problem, task = self.prompts.problem(group.prompt), group.prompt.task
        if task in self.gated:
            score: Score = await self.gated[task].score(problem, completion.answer)
            reward = score.reward if score.correct else 0.0
        else:
            score = await asyncio.to_thread(self.envs[task].score, problem, completion.answer)
            reward = float(score.correct)
        return Judged(completion, score, 0.0 if is_degenerate(completion.token_ids) else reward)

    def _contrast(self, group: Group[Judged]) -> str | None:
        kept = counted(_in_order(group), self.config.overlong_filter)
        return None if has_contrast(kept) else "no contrast"

    def _weigh(self, group: Group[Judged]) -> list[Rollout]:
        """The rollouts of one group that say something, with their advantages."""
        config, term = self.config, None
        if (length := config.advantage.length_reward) is not None:
            longest, free = length.lengths(config.think.budget)
            term = LengthTerm(
                length.weight(self.step, config.steps), longest, free,
                self.rates.best(group.prompt.task), length.rate_tolerance,
            )  # fmt: skip
        kept = counted(_in_order(group), config.overlong_filter)
        return weigh(kept, config.advantage, term)

    def _record_rates(self, groups: list[Group[Judged]]) -> None:
        solved: dict[str, list[float]] = {}
        for group in groups:
            right = [r.score.correct for r in _in_order(group)]
            solved.setdefault(group.prompt.task, []).append(sum(right) / len(right))
        self.rates.record(solved)

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
        dropped = dict(sorted(self.orchestrator.dropped.items()))
        return {"difficulty": self.prompts.curriculum.difficulties(), "dropped": dropped}


def _gated(
    config: ChatRewardConfig | None, envs: Mapping[str, Environment]
) -> tuple[dict[str, GatedReward], ScalarRewardModel | RubricJudge | None]:
    """Tasks whose answers an endpoint scores, and the endpoint."""
    if config is None:
        return {}, None
    if config.model is not None:
        chat: ScalarRewardModel | RubricJudge = ScalarRewardModel(config.model)
    else:
        assert config.judge is not None
        chat = RubricJudge(config.judge)
    return {name: GatedReward(envs[name], chat) for name in config.tasks}, chat


def _in_order(group: Group[Judged]) -> list[Judged]:
    return [group.rollouts[slot] for slot in range(group.size)]


def _mean_by(keys: list[str], rewards: list[list[float]]) -> dict[str, float]:
    """Mean reward of the groups with each key."""
    return {
        key: float(np.mean([r for k, r in zip(keys, rewards, strict=True) if k == key]))
        for key in sorted(set(keys))
    }


def reinforce(config: RLConfig, run: RunDir, on_step: OnStep | None = None) -> StageResult:
    """Run or continue RL in its folder."""
    trainer = RLTrainer(config, run)
    try:
        return drive(trainer, on_step)
    finally:
        trainer.close()
