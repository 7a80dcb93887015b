"""Our own bank: every reference against its brute force, its C++ and its mutants."""

from __future__ import annotations

import copy
import json
import random

import pytest

from openzaya.envs.code.judge import judge
from openzaya.envs.code.layout import fits, write_input, write_output
from openzaya.envs.code.mutate import mutants
from openzaya.envs.code.own import HIDDEN, SAMPLES, module, own_bank
from openzaya.envs.code.problem import Problem
from openzaya.envs.sandbox import Sandbox
from openzaya.types import Outcome

BANK = own_bank()
BY_NAME = {problem.name: problem for problem in BANK}
CPP = [problem.name for problem in BANK if problem.reference("cpp")]


def test_there_are_enough() -> None:
    assert len(BANK) >= 40
    assert len(CPP) >= 10
    assert len({problem.statement for problem in BANK}) == len(BANK)
    assert len({problem.reference() for problem in BANK}) == len(BANK)
    assert {problem.level for problem in BANK} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", BY_NAME)
def test_reference_equals_brute_force(name: str) -> None:
    problem, made = BY_NAME[name], module(name)
    for i in range(150):
        args = made.make(random.Random(f"{name}:{i}"), 1 + i % 5)
        assert made.valid(*copy.deepcopy(args)), args
        for (_, kind), value in zip(problem.params, args, strict=True):
            assert fits(kind, value), (kind, value)
        result = made.solve(*copy.deepcopy(args))
        assert fits(problem.result, result)
        assert result == made.brute(*copy.deepcopy(args)), args


@pytest.mark.parametrize("name", BY_NAME)
def test_brute_force_sees_mutants(name: str) -> None:
    """Negative control of the test above: it would notice a reference that is wrong."""
    problem = BY_NAME[name]
    assert problem.rejected, "no mutant: run python -m openzaya.envs.code.make_mutants"
    made = module(name)
    space: dict = {}
    exec(problem.rejected[-1].code, space)
    found = False
    for i in range(400):
        args = made.make(random.Random(f"{name}:{i}"), 1 + i % 5)
        try:
            found |= space["solve"](*copy.deepcopy(args)) != made.brute(*copy.deepcopy(args))
        except Exception:
            found = True
        if found:
            break
    assert found or len(problem.rejected) > 1  # some show on larger inputs only


@pytest.mark.parametrize("name", BY_NAME)
def test_tests_are_whole(name: str) -> None:
    problem = BY_NAME[name]
    assert (len(problem.samples), len(problem.hidden)) == (SAMPLES, HIDDEN)
    shown = [repr(test.given) for test in (*problem.samples, *problem.hidden)]
    assert len(set(shown)) == len(shown)
    assert len({repr(test.expected) for test in problem.hidden}) >= 2, "a constant would pass"
    assert json.loads(json.dumps(problem.statement)) == problem.statement


def passes(problem: Problem, sandbox: Sandbox) -> None:
    verdict = judge(sandbox, problem, problem.reference() or "", "python", problem.hidden)
    assert verdict.outcome is Outcome.CORRECT, (problem.name, verdict)


@pytest.mark.parametrize("name", list(BY_NAME)[::6])
def test_references_pass_in_the_sandbox(name: str, sandbox: Sandbox) -> None:
    passes(BY_NAME[name], sandbox)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_every_reference_passes_in_the_sandbox(name: str, sandbox: Sandbox) -> None:
    passes(BY_NAME[name], sandbox)


@pytest.mark.slow
@pytest.mark.parametrize("name", CPP)
def test_every_cpp_reference_passes(name: str, sandbox: Sandbox) -> None:
    problem = BY_NAME[name]
    code = problem.reference("cpp") or ""
    verdict = judge(sandbox, problem, code, "cpp", [*problem.samples, *problem.hidden])
    assert verdict.outcome is Outcome.CORRECT, verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_every_rejected_solution_fails_a_hidden_test(name: str, sandbox: Sandbox) -> None:
    problem = BY_NAME[name]
    assert len({s.code for s in problem.rejected}) == len(problem.rejected)
    for solution in problem.rejected:
        verdict = judge(sandbox, problem, solution.code, "python", problem.hidden)
        assert verdict.outcome is Outcome.WRONG, (solution.note, verdict)


def test_a_solution_that_knows_the_samples_alone_fails(sandbox: Sandbox) -> None:
    problem = BY_NAME["edit_distance"]
    known = {repr(t.given.args): t.expected for t in problem.samples}  # type: ignore[union-attr]
    code = f"def solve(*args):\n    return {known!r}.get(repr(args), 0)\n"
    seen = judge(sandbox, problem, code, "python", problem.samples)
    assert seen.outcome is Outcome.CORRECT
    hidden = judge(sandbox, problem, code, "python", problem.hidden)
    assert hidden.outcome is Outcome.WRONG


def test_mutants_are_small_and_different() -> None:
    source = BY_NAME["fewest_coins"].reference() or ""
    made = list(mutants(source))
    assert len({m.code for m in made}) == len(made) >= 15
    notes = {m.note.split(": ", 1)[1] for m in made}
    for kind in ("off by one", "flipped comparison", "dropped case", "max for min",
                 "forgotten step", "overflow of 32 bits", "wrong operator"):  # fmt: skip
        assert kind in notes
    for mutant in made:
        compile(mutant.code, "mutant", "exec")


@pytest.mark.parametrize("text", ["", "def", "\0", "(" * 3000, "é" * 1000])
def test_mutants_of_any_text(text: str) -> None:
    assert isinstance(list(mutants(text)), list)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("int", -3, "-3\n"), ("bool", True, "yes\n"), ("str", "", "\n"),
        ("list[int]", [1, 2], "2\n1 2\n"), ("list[int]", [], "0\n\n"),
        ("list[str]", ["a", "b"], "2\na\nb\n"),
        ("list[list[int]]", [[1], [2, 3]], "2\n1 1\n2 2 3\n"),
    ],
)  # fmt: skip
def test_streams(kind: str, value: object, words: str) -> None:
    assert write_input([kind], [value]) == words
    if kind == "list[int]":
        assert write_output(kind, value) == words.split("\n", 1)[1]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int", True), ("int", 1.0), ("list[int]", [True]), ("list[int]", (1,)), ("str", 5),
     ("list[list[int]]", [1]), ("bool", 1), ("list[str]", "ab")],
)  # fmt: skip
def test_types_are_exact(kind: str, value: object) -> None:
    assert not fits(kind, value)


def test_problems_are_frozen() -> None:
    with pytest.raises(AttributeError):
        BANK[0].name = "x"  # type: ignore[misc]
    assert isinstance(BANK[0], Problem)


def test_mutants_of_one_function_leave_the_others() -> None:
    source = "def other():\n    return 1\n\ndef mine():\n    return 2\n"
    made = list(mutants(source, "mine"))
    assert made
    assert all("def other():\n    return 1\n" in mutant.code for mutant in made)
    assert any("return 0" in mutant.code for mutant in mutants(source))
