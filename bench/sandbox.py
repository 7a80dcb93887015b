"""The sandbox on HumanEval: what passes, what fails, how fast; and how long a start takes.

    python bench/sandbox.py [HumanEval.jsonl.gz] [--quick] [--mutants N] [--starts N]

Each canonical solution is checked by our tests, and so are its mutants. What the tests that came
with the set say of a mutant, run as they are written, in the mutant's own process (mutants are
mistaken, not hostile), is compared with what we say: a mutant that they can tell must fail here.
Results are not cached. --quick takes every eighth problem and two mutants of each. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.code.importers import import_bank
from openzaya.envs.code.judge import judge
from openzaya.envs.code.mutate import mutants
from openzaya.envs.code.problem import Problem, read_jsonl
from openzaya.envs.sandbox import Call, Program, Sandbox, Status, open_sandbox
from openzaya.types import Outcome

DATA = Path(__file__).parents[2] / "shared" / "data" / "humaneval" / "HumanEval.jsonl.gz"
GOAL = 5.0
"""Problems a second on two cores."""
LIMITS = LimitsConfig(cpu_seconds=2, wall_seconds=20)
AS_WRITTEN = """
def as_written():
    import random
    random.seed(0)
    try:
        check({entry})
    except BaseException:
        return False
    return True
"""


def starts(sandbox: Sandbox, count: int) -> list[float]:
    """Milliseconds from a program to its result, one after the other, for one that does nothing."""
    times = []
    for i in range(count):
        program = Program("python", f"def solve(): return {i}", "solve")
        started = time.perf_counter()
        (run,) = sandbox.backend.execute(program, [Call()], LIMITS, lambda *_: True)
        times.append(1000 * (time.perf_counter() - started))
        assert run.value == i, run
    return sorted(times)


def told_by_the_tests(sandbox: Sandbox, problem: Problem, tests: str, code: str) -> Outcome:
    """What the set's own assertions say, in the candidate's process."""
    text = f"{code}\n{tests}\n{AS_WRITTEN.format(entry=problem.entry)}"
    (run,) = sandbox.run(Program("python", text, "as_written"), [Call()], LIMITS)
    if run.status is Status.TIMEOUT:
        return Outcome.TIMEOUT
    return Outcome.CORRECT if run.value is True else Outcome.WRONG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=DATA, help="HumanEval.jsonl.gz")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--mutants", type=int, default=10_000, help="of each problem, at most")
    parser.add_argument("--starts", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.mutants, arguments.starts = 2, 40

    sandbox = open_sandbox(SandboxConfig(cache_mb=0.001))
    times = starts(sandbox, arguments.starts)
    p50, p99 = statistics.median(times), times[int(0.99 * len(times))]
    print(f"start   p50 {p50:.0f} ms  p99 {p99:.0f} ms  ({len(times)} starts)", flush=True)

    problems = import_bank(arguments.file, "humaneval", sandbox).problems
    tests = {row["task_id"]: row["test"] for _, row in read_jsonl(arguments.file)}
    if arguments.quick:
        problems = problems[::8]
    jobs = [(p, p.reference() or "", "") for p in problems]
    rng = random.Random(0)
    for problem in problems:
        made = list(mutants(problem.reference() or "", problem.entry))
        rng.shuffle(made)
        jobs += [(problem, m.code, m.note) for m in made[: arguments.mutants]]

    with ThreadPoolExecutor(sandbox.workers) as threads:
        started = time.perf_counter()
        ours = list(
            threads.map(lambda job: judge(sandbox, job[0], job[1], "python", job[0].hidden), jobs)
        )
        seconds = time.perf_counter() - started
        theirs = list(
            threads.map(lambda j: told_by_the_tests(sandbox, j[0], tests[j[0].name], j[1]), jobs)
        )
    passed = killed = alike = 0
    missed, harsh = [], []
    for (problem, _, note), we, they in zip(jobs, ours, theirs, strict=True):
        right = we.outcome is Outcome.CORRECT
        if not note:
            passed += right
            continue
        killed += they is not Outcome.CORRECT
        alike += right == (they is Outcome.CORRECT)
        if right and they is not Outcome.CORRECT:
            missed.append(f"{problem.name} {note}")
        if not right and they is Outcome.CORRECT:
            harsh.append(f"{problem.name} {note}: {we.reason}")
    total = len(jobs) - len(problems)
    print(f"canonical solutions   {passed} of {len(problems)} pass")
    print(
        f"mutants   {killed} of {total} can be told by the tests, {len(missed)} of them pass here"
    )
    print(f"mutants   {total - killed} cannot be told, {len(harsh)} of them fail here")
    for line in (*missed[:20], *harsh[:20]):
        print(f"  {line}")
    rate = len(jobs) / seconds
    print(f"speed   {rate:.1f} programs a second on {sandbox.workers} cores")
    ok = passed == len(problems) and not missed and rate >= GOAL
    print(
        json.dumps(
            {
                "name": "humaneval-programs-per-second",
                "value": round(rate, 2),
                "unit": "1/s",
                "goal": GOAL,
                "ok": ok,
                "canonical": f"{passed}/{len(problems)}",
                "mutants_told": killed,
                "mutants_missed": len(missed),
                "start_p50_ms": round(p50, 1),
                "start_p99_ms": round(p99, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
