"""Instruction following as environments: a request, rules for the answer, one binary reward.

The reward says nothing about whether the answer is any good, only whether it keeps all rules:
`openzaya.envs.rewards.gate` multiplies it with a chat reward.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from openzaya.envs.base import fingerprint
from openzaya.envs.instructions.base import Constraint, Setting, from_json
from openzaya.envs.instructions.compose import compose, junk, satisfy
from openzaya.envs.instructions.lexicon import READERS, TOPICS, draft
from openzaya.envs.instructions.text import words
from openzaya.types import Message, Outcome, Problem, Score

LONGEST_ANSWER = 1_000_000
"""Characters. Longer answers are not judged."""

_FORMS = (
    "{request}\n\nKeep to these rules:\n{bullets}",
    "{request} {sentences}",
    "{request}\n\n{sentences}",
    "Rules for your answer:\n{bullets}\n\n{request}",
)


class InstructionEnvironment(ABC):
    """Problems are pure functions of (name, version, difficulty, seed).

    A change of what a seed yields, or of what a rule accepts, is a new `version`.
    """

    name: ClassVar[str]
    family: ClassVar[str] = "instructions"
    source: ClassVar[str] = "openzaya"
    licence: ClassVar[str] = "Apache-2.0"
    version: ClassVar[str] = "1"
    open_ended: ClassVar[bool] = True
    """Many texts are right: one that holds right answers to other problems may be, too."""

    @abstractmethod
    def make(self, rng: random.Random, difficulty: int) -> tuple[str, list[Constraint], str]:
        """(prompt, rules, an answer that keeps them)."""

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        rng = random.Random(f"{self.name}:{self.version}:{difficulty}:{seed}")
        while True:
            prompt, rules, oracle = self.make(rng, difficulty)
            if not any(all(r.check(text.strip()) for r in rules) for text in junk(prompt, rng)):
                break
        private = {"rules": [rule.to_json() for rule in rules], "oracle": oracle}
        return Problem(self.name, seed, prompt, private, fingerprint(prompt), difficulty)

    def score(self, problem: Problem, answer: str | None) -> Score:
        """1 if every rule is kept, else 0; the reason tells how many are, and which are not."""
        text = (answer or "").replace("\r\n", "\n").strip()
        if not text:
            return Score(0.0, Outcome.UNPARSEABLE, False, "no answer")
        if len(text) > LONGEST_ANSWER:
            return Score(0.0, Outcome.UNPARSEABLE, False, f"{len(text)} characters")
        try:
            rules = [from_json(stored) for stored in problem.private["rules"]]
            broken = [rule.kind for rule in rules if not rule.check(text)]
        except Exception as error:  # the one boundary: whatever a text does to a check is a score
            return Score(0.0, Outcome.VERIFIER_ERROR, True, f"{type(error).__name__}: {error}")
        reason = f"{len(rules) - len(broken)} of {len(rules)} rules kept"
        if broken:
            return Score(0.0, Outcome.WRONG, True, f"{reason}; broken: {', '.join(broken)}")
        return Score(1.0, Outcome.CORRECT, True, reason)

    def oracle(self, problem: Problem) -> Message:
        """A text that keeps all rules. It proves that they can be kept; it says nothing."""
        return Message("assistant", problem.private["oracle"])

    def size(self, private: Mapping[str, Any]) -> float:
        """Rules, and what they ask for: the oracle's words."""
        return len(private["rules"]) + len(words(private["oracle"])) / 100


class SimpleInstructions(InstructionEnvironment):
    """One or two rules; with the difficulty, two become likelier and their numbers larger."""

    name = "instructions_simple"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, list[Constraint], str]:
        topic = rng.choice(TOPICS)
        count = 1 + (rng.random() < (1 + difficulty) / (4 + difficulty))
        rules, oracle = compose(count, Setting(rng, difficulty, topic))
        return _asked(topic.request, rules, rng), rules, oracle


class ComposedInstructions(InstructionEnvironment):
    """Three rules and one more for each step of difficulty, all to be kept at once."""

    name = "instructions_composed"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, list[Constraint], str]:
        topic = rng.choice(TOPICS)
        rules, oracle = compose(3 + difficulty, Setting(rng, difficulty, topic))
        return _asked(topic.request, rules, rng), rules, oracle


class StandingInstructions(InstructionEnvironment):
    """A conversation in one prompt: numbered rules of its first turn hold for its last answer too,
    except for one that the last turn changes; the last turn adds one more.

    The answer shown in between keeps the rules of the first turn and is no answer to the last.
    """

    name = "instructions_standing"

    def make(self, rng: random.Random, difficulty: int) -> tuple[str, list[Constraint], str]:
        while True:
            first, last = rng.sample(TOPICS, 2)
            setting = Setting(rng, difficulty, last)
            rules, oracle = compose(3 + difficulty // 2, setting, without={"repeat_request"})
            place, old = _changed(rules[:-1], setting)
            if old is None:
                continue
            standing = [*rules[:place], old, *rules[place + 1 : -1]]
            shown = satisfy(standing, draft(rng), rng)
            if shown is not None and not all(rule.check(shown) for rule in rules):
                break
        numbered = "\n".join(f"{i}. {r.instruction()}" for i, r in enumerate(standing, 1))
        prompt = (
            "Below is a conversation. Write the assistant's next answer and nothing else.\n\n"
            f"System: Every answer in this conversation keeps these rules.\n{numbered}\n\n"
            f"User: {first.request}\n\n"
            f"Assistant: {shown}\n\n"
            f"User: {last.request}{rng.choice(READERS)} From now on, rule {place + 1} no longer "
            f"holds; this one takes its place: {rules[place].instruction()} For this answer, one "
            f"more rule: {rules[-1].instruction()}"
        )
        return prompt, rules, oracle


def _changed(rules: Sequence[Constraint], setting: Setting) -> tuple[int, Constraint | None]:
    """(which rule replaces another, the one it replaces): of its kind, with other parameters."""
    places = [i for i, rule in enumerate(rules) if fields(rule)]  # type: ignore[arg-type]
    if not places:
        return 0, None
    place = setting.rng.choice(places)
    old = type(rules[place]).draw(setting)
    return place, None if old == rules[place] else old


def _asked(request: str, rules: Sequence[Constraint], rng: random.Random) -> str:
    request += rng.choice(READERS)
    told = [rule.instruction() for rule in rules]
    return rng.choice(_FORMS).format(
        request=request, bullets="\n".join(f"- {line}" for line in told), sentences=" ".join(told)
    )
