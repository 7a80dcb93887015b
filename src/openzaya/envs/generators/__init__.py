"""Our own problem generators, a module per family. None is imported before it is asked for."""

from __future__ import annotations

import importlib
from functools import cache

from openzaya.envs.generators.base import Generator

FAMILIES = (
    "arithmetic",
    "quantities",
    "algebra",
    "polynomials",
    "number_theory",
    "diophantine",
    "combinatorics",
    "counting",
    "arrangements",
    "geometry",
    "figures",
    "areas",
    "strings",
    "brackets",
    "words",
    "codes",
    "programs",
    "machines",
    "memory",
    "graphs",
    "graph_structure",
    "graph_choices",
    "dynamic",
    "dynamic_trees",
    "dynamic_grids",
    "logic",
    "formulas",
    "clues",
    "grids",
    "placements",
    "mazes",
    "grid_puzzles",
    "games",
    "move_puzzles",
    "board_puzzles",
    "sets",
    "assignments",
    "schedules",
)
"""Modules of this package; each holds its classes in `GENERATORS`."""


@cache
def load_all() -> tuple[type[Generator], ...]:
    """Every generator, in the order of FAMILIES."""
    modules = [importlib.import_module(f"{__name__}.{family}") for family in FAMILIES]
    return tuple(generator for module in modules for generator in module.GENERATORS)


@cache
def by_name() -> dict[str, type[Generator]]:
    """Every generator under its name; names are unique."""
    named = {generator.name: generator for generator in load_all()}
    assert len(named) == len(load_all()), "two generators share a name"
    return named
