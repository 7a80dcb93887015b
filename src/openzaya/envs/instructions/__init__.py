"""Instruction following: rules that a program can check, composed into environments.

`base` says what a rule is, `length` .. `language` hold the rules, `compose` draws sets that can be
kept together, `environments` makes problems of them. `INSTRUCTION_ENVIRONMENTS` builds by name.
"""

from __future__ import annotations

from collections.abc import Callable

from openzaya.envs.instructions import (
    data,
    keywords,
    language,
    length,
    letters,
    markdown,
    numerals,
    order,
    position,
    punctuation,
    structure,
)
from openzaya.envs.instructions.base import KINDS, Constraint, from_json
from openzaya.envs.instructions.environments import (
    ComposedInstructions,
    InstructionEnvironment,
    SimpleInstructions,
    StandingInstructions,
)

ROOMS = (
    length, keywords, position, letters, punctuation, markdown, data, structure, numerals, order,
    language,
)  # fmt: skip
"""The modules of rules, as the documentation lists them."""

INSTRUCTION_ENVIRONMENTS: dict[str, Callable[[], InstructionEnvironment]] = {
    kind.name: kind for kind in (SimpleInstructions, ComposedInstructions, StandingInstructions)
}

__all__ = ["INSTRUCTION_ENVIRONMENTS", "KINDS", "ROOMS", "Constraint", "from_json"]
