"""What a rule for an answer is: an instruction, a check, an oracle and a near miss."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from openzaya.envs.instructions.lexicon import KEYWORDS, Topic, invented
from openzaya.errors import EnvError


@dataclass
class Setting:
    """What a rule's parameters are drawn from."""

    rng: random.Random
    level: int
    """The problem's difficulty: numbers grow with it."""
    topic: Topic
    used: set[str] = field(default_factory=set)
    """Words that rules of this problem already speak about: no two rules share one."""

    def number(self, low: int, high: int) -> int:
        return self.rng.randint(low, high + self.level)

    def word(self) -> str:
        """A word that no other rule speaks about: of the topic, common, or invented."""
        for pool in (self.topic.words, KEYWORDS, KEYWORDS):
            word = self.rng.choice(pool)
            if word not in self.used:
                break
        else:
            word = invented(self.rng)
            while word in self.used:
                word = invented(self.rng)
        self.used.add(word)
        return word


class Constraint(ABC):
    """One rule. Subclasses are frozen dataclasses whose fields are its parameters: JSON values.

    Two rules clash when they share a claim, when one names the other's kind in `conflicts`, or when
    one fixes the whole format and the other cannot live inside it. What does not clash may still be
    unsatisfiable together; the composed oracle decides.
    """

    kind: ClassVar[str]
    claims: ClassVar[frozenset[str]] = frozenset()
    """Sides of a text that only one rule may settle: "case", "start", "words"."""
    conflicts: ClassVar[frozenset[str]] = frozenset()
    """Further kinds that it cannot stand beside."""
    phase: ClassVar[int] = 2
    """When oracles make it: 0 whole formats, 1 blocks, 2 words, 3 counts, 4 case, 5 edges."""
    whole: ClassVar[bool] = False
    """It fixes the format of the whole answer."""
    inside: ClassVar[bool] = False
    """It can be met inside any format."""
    most: ClassVar[int | None] = 1
    """How often one problem may have it, with other parameters; None: any number of times."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        assert cls.kind not in KINDS, cls.kind
        KINDS[cls.kind] = cls

    @classmethod
    @abstractmethod
    def draw(cls, s: Setting) -> Self:
        """Parameters for a problem."""

    @abstractmethod
    def instruction(self) -> str:
        """The rule as a user would state it: whole sentences."""

    @abstractmethod
    def check(self, text: str) -> bool:
        """Whether `text` keeps the rule. Never raises; linear in the text."""

    @abstractmethod
    def make(self, text: str, rng: random.Random) -> str:
        """`text`, changed as little as possible so that it keeps the rule: a step of an oracle."""

    @abstractmethod
    def violate(self, text: str) -> str:
        """A near miss: `text`, which keeps the rule, changed so that it just breaks it."""

    def clashes(self, other: Constraint | type[Constraint]) -> bool:
        """Whether the two kinds cannot stand in one problem, whatever their parameters."""
        if self.claims & other.claims:
            return True
        if other.kind in self.conflicts or self.kind in other.conflicts:
            return True
        return (self.whole and not other.inside) or (other.whole and not self.inside)

    def to_json(self) -> dict[str, Any]:
        params = {f.name: _listed(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind, "params": params}


KINDS: dict[str, type[Constraint]] = {}
"""Every rule by its kind."""


def from_json(stored: Mapping[str, Any]) -> Constraint:
    """The rule that `to_json` wrote. EnvError for a kind that is not ours."""
    if stored["kind"] not in KINDS:
        raise EnvError(f"no constraint is called {stored['kind']!r}")
    params = {name: _tupled(value) for name, value in stored["params"].items()}
    return KINDS[stored["kind"]](**params)


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list | tuple) else value
