"""Training text for the tiny family: worked solutions, and aggregation prompts with tails.

Every batch is a pure function of (seed, step), so a resumed run sees what the killed one would
have seen, and nothing about data is stored in a checkpoint.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from openzaya.config.tasks import TaskConfig
from openzaya.config.train import ExamplesConfig, ThinkConfig
from openzaya.data.batch import Batch
from openzaya.data.example import encode_conversation
from openzaya.data.packing import pack_best_fit
from openzaya.data.trimming import TrimReport, trim_conversation
from openzaya.envs import Problems, WorkedEnvironment, admitted, build, worked
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer
from openzaya.ttc.prompts import aggregation_messages, fixed_phrases
from openzaya.types import Environment, Message, Problem

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz+-=. \n"
_PHRASE_SAMPLES = 64


def environments(tasks: Mapping[str, TaskConfig]) -> dict[str, Environment]:
    """The environments of a recipe, by the name the recipe gives them."""
    envs = {}
    for name, task in tasks.items():
        envs[name] = build(task.environment, task.params)
        if not task.admit_anyway:
            admitted(envs[name])
    return envs


def difficulties(tasks: Mapping[str, TaskConfig]) -> dict[str, int]:
    """Where the problems of every task start."""
    return {name: task.difficulty for name, task in tasks.items()}


def build_tokenizer(envs: Mapping[str, Environment], think: ThinkConfig) -> Tokenizer:
    """Characters plus one token per constant phrase of a prompt, seen on training problems."""
    prompts = {
        name: [Problems(env, "train").draw(i).prompt for i in range(_PHRASE_SAMPLES)]
        for name, env in envs.items()
    }
    roles = ["user\n", "assistant\n", "system\n"]
    return build_phrase_tokenizer(
        prompts, roles + fixed_phrases(think.template, think.candidates), _ALPHABET
    )


class ExampleSource:
    """Draws the examples of any step."""

    def __init__(
        self,
        tasks: dict[str, TaskConfig],
        envs: Mapping[str, Environment],
        tokenizer: Tokenizer,
        examples: ExamplesConfig,
        think: ThinkConfig,
        seed: int,
    ) -> None:
        self.names = list(tasks)
        self.weights = [task.weight for task in tasks.values()]
        self.problems = {
            name: Problems(worked(env), "train", tasks[name].difficulty)
            for name, env in envs.items()
        }
        self.tokenizer = tokenizer
        self.config, self.think, self.seed = examples, think, seed
        self.trimmed = TrimReport()

    def batch(self, index: int) -> Batch:
        """Batch `index`, best-fit packed; samples that cannot be trimmed are left out."""
        rng = random.Random(f"batch:{self.seed}:{index}")
        examples = []
        for _ in range(self.config.per_step):
            trimmed = trim_conversation(self._conversation(rng), self.config.window, self.tokenizer)
            self.trimmed.add(trimmed)
            if trimmed.messages is not None:
                examples.append(
                    encode_conversation(trimmed.messages, self.tokenizer, self.config.loss_on)
                )
        lengths = [len(e) for e in examples]
        bins = pack_best_fit(lengths, self.config.window)
        return Batch([[examples[i] for i in members] for members in bins], self.config.window)

    def state_dict(self) -> dict[str, Any]:
        return {"trimmed": asdict(self.trimmed)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trimmed = TrimReport(**state["trimmed"])

    def _conversation(self, rng: random.Random) -> tuple[Message, ...]:
        name = rng.choices(self.names, self.weights)[0]
        problems = self.problems[name]
        problem = problems.draw(rng.getrandbits(40))
        user = (Message("user", problem.prompt),)
        if rng.random() >= self.config.aggregation_share:
            return (*user, problems.env.oracle(problem))
        tails, written = self._tails(problems, problem, rng)
        prompt = aggregation_messages(user, tails, self.think.template)
        return (*prompt, problems.env.resume(problem, written))

    def _tails(
        self, problems: Problems[WorkedEnvironment], problem: Problem, rng: random.Random
    ) -> tuple[list[str], int]:
        """Synthetic tails, and how far the furthest right one got (characters of reasoning).

        Right and wrong, finished and not, sometimes of another problem: an aggregator that only
        ever saw good tails trusts any tail.
        """
        env, think = problems.env, self.think
        wrong_share = rng.choices((0.0, 0.25, 0.5, 0.75, 1.0), (7, 6, 4, 2, 1))[0]
        truth = env.oracle(problem)
        begins = self._begins(env, problem, truth)
        # Rollouts of one round mostly begin, and so stop, at one place; some lag behind.
        front = rng.randrange(len(begins))
        tails, furthest = [], 0
        for _ in range(think.candidates):
            foreign = rng.random() < 0.05
            of = problems.draw(rng.getrandbits(40)) if foreign else problem
            message = env.mistake(of, rng) if rng.random() < wrong_share else env.oracle(of)
            begin = begins[front] if rng.random() < 0.85 else begins[rng.randint(0, front)]
            reasoning = (message.reasoning or "")[: begin + think.budget]
            # What a mistake spoils may lie beyond the cut: the text decides what is right.
            if (truth.reasoning or "").startswith(reasoning):
                furthest = max(furthest, len(reasoning))
            written = reasoning[begin:]
            if think.tail_scope == "full" and reasoning == message.reasoning:
                written += message.content[: max(0, think.budget - len(written) - 1)]
            tails.append(written[-think.tail :])
        return tails, furthest

    def _begins(self, env: WorkedEnvironment, problem: Problem, truth: Message) -> list[int]:
        """Where rollouts of round 0, 1, .. begin if all goes well: each goes on where one budget
        of the round before ended (characters, which are tokens in this family), and the last
        from a finished solution."""
        begins, whole = [0], len(truth.reasoning or "")
        while True:
            reach = min(begins[-1] + self.think.budget, whole)
            begin = whole - len(env.resume(problem, reach).reasoning or "")
            if begin <= begins[-1]:
                return begins  # nothing left, or an environment that always starts over
            begins.append(begin)
