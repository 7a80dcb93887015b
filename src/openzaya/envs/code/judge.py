"""A program against tests: run in the sandbox, compared here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openzaya.envs.code.compare import Comparison, agrees
from openzaya.envs.code.layout import write_input, write_output
from openzaya.envs.code.problem import Case, Problem
from openzaya.envs.sandbox import Call, Input, Language, Program, Run, Sandbox, Status
from openzaya.types import Outcome, Score

OUTCOMES = {
    Status.OK: Outcome.WRONG,
    Status.ERROR: Outcome.WRONG,
    Status.TIMEOUT: Outcome.TIMEOUT,
    Status.KILLED: Outcome.SANDBOX_KILLED,
    Status.FAILED: Outcome.VERIFIER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    reason: str
    passed: int
    """Tests passed before the first that was not."""

    def score(self) -> Score:
        correct = self.outcome is Outcome.CORRECT
        return Score(float(correct), self.outcome, True, self.reason)


def judge(
    sandbox: Sandbox,
    problem: Problem,
    code: str,
    language: Language,
    tests: Sequence[Case],
    *,
    keep_going: bool = False,
) -> Verdict:
    """Whether `code` passes all `tests`, which stay here. It stops at the first failure, unless
    `keep_going`: then `passed` counts all that pass, up to a limit that is broken."""
    program, tests, comparison = prepared(problem, code, language, tests)

    def accept(number: int, run: Run) -> bool:
        if keep_going:
            return run.status in (Status.OK, Status.ERROR)
        if problem.judge is not None:
            return run.status is Status.OK and run.returned
        return agrees(tests[number].expected, run, comparison)

    runs = sandbox.run(program, [test.given for test in tests], problem.limits, accept)
    if problem.judge is not None:
        return _replayed(sandbox, problem, tests, runs)
    right = [agrees(test.expected, run, comparison) for test, run in zip(tests, runs, strict=False)]
    broken = keep_going and runs[-1].status not in (Status.OK, Status.ERROR)
    for number, (run, fine) in enumerate(zip(runs, right, strict=True)):
        if not fine and (not broken or number == len(runs) - 1):
            return failed(run, number, sum(right))
    return Verdict(Outcome.CORRECT, f"{len(tests)} tests", len(tests))


def failed(run: Run, number: int, passed: int) -> Verdict:
    reason = run.reason or ("another result" if run.returned or run.stdout else "no result")
    return Verdict(OUTCOMES[run.status], f"test {number + 1}: {reason}", passed)


def prepared(
    problem: Problem, code: str, language: Language, tests: Sequence[Case]
) -> tuple[Program, Sequence[Case], Comparison]:
    """(what is run, its tests, how they are compared). Functions in other languages than Python
    are whole programs, their arguments on standard input."""
    if problem.entry is None:
        return Program(language, code), tests, "tokens"
    if language == "python":
        code = f"{problem.prelude}\n{code}" if problem.prelude else code
        return Program("python", code, problem.entry), tests, problem.comparison
    return Program(language, code), [as_streams(problem, test) for test in tests], "tokens"


def as_streams(problem: Problem, test: Case) -> Case:
    assert isinstance(test.given, Call)
    types = list(dict(problem.params).values())
    stdin = write_input(types, test.given.args)
    return Case(stdin.encode(), write_output(problem.result, test.expected))


def _replayed(
    sandbox: Sandbox, problem: Problem, tests: Sequence[Case], runs: Sequence[Run]
) -> Verdict:
    """Tests that compare in their own way see what the candidate returned, not the candidate."""
    for number, run in enumerate(runs):
        if run.status is not Status.OK or not run.returned:
            return failed(run, number, number)
    calls = [(t.given.args, dict(t.given.kwargs)) for t in tests if isinstance(t.given, Call)]
    given: list[Input] = [Call((calls, [run.value for run in runs]))]
    assert problem.judge is not None
    run = sandbox.run(Program("python", problem.judge, "replay"), given, problem.limits)[0]
    if run.status is not Status.OK or not isinstance(run.value, bool):
        return Verdict(Outcome.VERIFIER_ERROR, f"the tests failed: {run.reason}"[:200], 0)
    if run.value:
        return Verdict(Outcome.CORRECT, f"{len(tests)} tests", len(tests))
    return Verdict(Outcome.WRONG, "an assertion fails", 0)
