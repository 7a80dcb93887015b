"""Public forms: small hand-made rows in each of them, what goes wrong, and HumanEval itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openzaya.envs.code.asserts import all_equalities
from openzaya.envs.code.importers import Imported, import_bank
from openzaya.envs.code.judge import judge
from openzaya.envs.code.mutate import killed_mutants, mutants
from openzaya.envs.code.own import own_bank
from openzaya.envs.code.problem import load_bank, save_bank
from openzaya.envs.sandbox import Call, Sandbox
from openzaya.errors import EnvError
from openzaya.types import Outcome

ROOT = Path(__file__).parents[3]
HUMANEVAL = Path(
    os.environ.get("OPENZAYA_HUMANEVAL", ROOT.parent / "shared/data/humaneval/HumanEval.jsonl.gz")
)
EVAL = {
    "task_id": "Mine/0",
    "prompt": 'def halves(xs: list) -> tuple:\n    """ Halve each. """\n',
    "entry_point": "halves",
    "canonical_solution": "    return tuple(x / 2 for x in xs)\n",
    "test": "def check(candidate):\n"
    "    assert candidate([1, 2]) == (0.5, 1.0)\n    assert candidate([]) == (), 'empty'\n",
}
TOLERANT = EVAL | {
    "task_id": "Mine/1",
    "test": "import random\ndef check(candidate):\n    for _ in range(5):\n"
    "        x = random.randint(1, 99)\n        assert abs(candidate([x])[0] - x / 2) < 1e-6\n",
}
MBPP = {
    "task_id": 2,
    "text": "Write a function to find the shared elements of two lists.",
    "code": "def shared(a, b):\r\n  return tuple(sorted(set(a) & set(b)))",
    "test_list": [
        "assert shared((3, 4, 5), (5, 7, 4)) == (4, 5)",
        "assert shared((1,), (2,)) == ()",
    ],
    "test_setup_code": "",
    "challenge_test_list": [],
}
LEETCODE = {
    "task_id": "two-sum",
    "prompt": "from typing import *\n",
    "completion": "class Solution:\n"
    "    def twoSum(self, nums: List[int], target: int) -> List[int]:\n"
    "        d = {}\n        for i, x in enumerate(nums):\n"
    "            if target - x in d: return [d[target - x], i]\n            d[x] = i\n",
    "entry_point": "Solution().twoSum",
    "test": "def check(candidate):\n    assert candidate(nums = [2, 7], target = 9) == [0, 1]\n"
    "    assert candidate(nums = [3, 3], target = 6) == [0, 1]\n",
    "problem_description": "Find two numbers that add up to the target.",
    "starter_code": "class Solution:\n    def twoSum(self, nums, target):\n        ",
    "difficulty": "Easy",
}
CONTESTS = {
    "name": "1_A. Sum",
    "description": "Add two numbers.",
    "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
    "private_tests": {"input": ["5 6\n", "-1 1\n"], "output": ["11\n", "0\n"]},
    "generated_tests": {"input": [], "output": []},
    "solutions": {
        "language": [3, 2, 4],
        "solution": [
            "print(sum(map(int, input().split())))",
            "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }",
            "class Java {}",
        ],
    },
    "incorrect_solutions": {
        "language": [3], "solution": ["a, b = map(int, input().split())\nprint(abs(a) + b)"]
    },
    "time_limit": {"seconds": 1, "nanos": 500000000},
    "memory_limit_bytes": 268435456,
}  # fmt: skip

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def rows(*rows: dict[str, Any]) -> Path:
        path = tmp_path / "bank.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return rows


def accepted(sandbox: Sandbox, made: Imported) -> list[Outcome]:
    return [
        judge(sandbox, p, s.code, s.language, p.hidden).outcome
        for p in made.problems
        for s in p.accepted
    ]


@pytest.mark.parametrize(
    ("form", "row", "tests"),
    [("humaneval", EVAL, 2), ("humaneval", TOLERANT, 5), ("mbpp", MBPP, 2),
     ("leetcode", LEETCODE, 2), ("code_contests", CONTESTS, 2)],
)  # fmt: skip
def test_each_form(
    form: str, row: dict[str, Any], tests: int, write: Write, sandbox: Sandbox, tmp_path: Path
) -> None:
    made = import_bank(write(row), form, sandbox)
    (problem,) = made.problems
    assert len(problem.hidden) == tests
    assert made.refused == {}
    assert set(accepted(sandbox, made)) == {Outcome.CORRECT}
    save_bank(made.problems, tmp_path / "saved.jsonl")
    assert load_bank(tmp_path / "saved.jsonl") == made.problems


def test_a_mutant_fails(write: Write, sandbox: Sandbox) -> None:
    """Negative control: imported tests can fail, those that compare in their own way too."""
    for row, form in ((EVAL, "humaneval"), (TOLERANT, "humaneval"), (MBPP, "mbpp")):
        (problem,) = import_bank(write(row), form, sandbox).problems
        assert killed_mutants(sandbox, problem, 3, 20) or any(
            judge(sandbox, problem, m.code, "python", problem.hidden).outcome is Outcome.WRONG
            for m in mutants(problem.reference() or "")
        )


def test_tests_of_their_own_kind_never_meet_the_candidate(write: Write, sandbox: Sandbox) -> None:
    (problem,) = import_bank(write(TOLERANT), "humaneval", sandbox).problems
    assert problem.judge is not None
    for code in (
        "class Yes(float):\n    def __sub__(self, o): return 0.0\n    __rsub__ = __sub__\n"
        "def halves(xs): return (Yes(0),)",
        "import builtins\nbuiltins.abs = lambda x: 0\ndef halves(xs): return (0.0,)",
        "def halves(xs):\n    import os\n    os._exit(0)",
        "def halves(xs): return None",
    ):
        assert judge(sandbox, problem, code, "python", problem.hidden).outcome is Outcome.WRONG
    fine = "def halves(xs): return [x / 2 + 1e-9 for x in xs]"
    assert judge(sandbox, problem, fine, "python", problem.hidden).outcome is Outcome.CORRECT


def test_incorrect_solutions_of_contests_fail(write: Write, sandbox: Sandbox) -> None:
    (problem,) = import_bank(write(CONTESTS), "code_contests", sandbox).problems
    (wrong,) = problem.rejected
    assert judge(sandbox, problem, wrong.code, "python", problem.hidden).outcome is Outcome.WRONG
    assert problem.limits is not None
    assert problem.limits.cpu_seconds == 3.0


def test_what_cannot_be_read_is_named(write: Write, sandbox: Sandbox) -> None:
    tree = "class Node: pass\n"
    rows = (
        EVAL,
        EVAL | {"task_id": "wrong", "canonical_solution": "    return 5\n"},
        EVAL | {"task_id": "object", "prompt": tree + EVAL["prompt"],
                "test": "def check(candidate):\n    assert candidate([Node()]) == 1\n"},
        EVAL | {"task_id": "silent", "test": "def check(candidate):\n    assert True\n"},
        {"task_id": "empty"},
    )  # fmt: skip
    made = import_bank(write(*rows), "humaneval", sandbox)
    assert [p.name for p in made.problems] == ["Mine/0"]
    assert set(made.refused) == {"wrong", "object", "silent", "empty"}
    assert "AssertionError" in made.refused["wrong"]


def test_errors_for_people(write: Write, sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(EnvError, match="no such file"):
        import_bank(tmp_path / "none.jsonl", "mbpp", sandbox)
    with pytest.raises(EnvError, match="has the form"):
        import_bank(write(EVAL), "klingon", sandbox)
    with pytest.raises(EnvError, match="no problem of the form mbpp"):
        import_bank(write(EVAL), "mbpp", sandbox)
    (tmp_path / "bad.jsonl").write_text("{]\n")
    with pytest.raises(EnvError, match=r"bad.jsonl:1: not JSON"):
        load_bank(tmp_path / "bad.jsonl")
    with pytest.raises(EnvError, match=r"bank.jsonl:1: no problem: unknown field colour"):
        load_bank(write({"colour": 1}))
    with pytest.raises(EnvError, match="no problem"):
        load_bank(write({"name": "x", "statement": "y"}))


def test_our_own_bank_survives_its_file(tmp_path: Path) -> None:
    save_bank(own_bank(), tmp_path / "own.jsonl")
    assert load_bank(tmp_path / "own.jsonl") == list(own_bank())


def test_equalities_are_told_from_other_assertions() -> None:
    assert all_equalities("def check(candidate):\n    assert candidate(1) == 2\n", 1)
    for body in (
        "assert candidate(1)", "assert not candidate(1)", "assert 2 == candidate(1)",
        "assert candidate(1) == candidate(1)", "assert candidate(1) < 2",
        "assert abs(candidate(1) - 2) < 1", "assert candidate(1) == 2 == 2",
        "for x in (1, 2):\n        assert candidate(x) == 2",
    ):  # fmt: skip
        assert not all_equalities(f"def check(candidate):\n    {body}\n", 2), body


@pytest.fixture(scope="module")
def humaneval(sandbox: Sandbox) -> Imported:
    if not HUMANEVAL.is_file():
        pytest.fail(f"{HUMANEVAL} is missing: name the file with OPENZAYA_HUMANEVAL=PATH")
    return import_bank(HUMANEVAL, "humaneval", sandbox)


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.timeout(1800)
def test_every_canonical_solution_of_humaneval_passes(
    humaneval: Imported, sandbox: Sandbox
) -> None:
    assert len(humaneval.problems) == 164
    assert humaneval.refused == {}
    assert set(accepted(sandbox, humaneval)) == {Outcome.CORRECT}


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.timeout(3600)
def test_mutants_of_humaneval_fail_where_its_tests_can_tell(
    humaneval: Imported, sandbox: Sandbox
) -> None:
    """Four mutants each; bench/sandbox.py takes all. The set's own assertions, in process, are what
    is compared with: these mutants are mistaken, not hostile."""
    import random

    from openzaya.envs.code.problem import read_jsonl
    from openzaya.envs.sandbox import Program

    tests = {row["task_id"]: row["test"] for _, row in read_jsonl(HUMANEVAL)}
    told = 0
    for problem in humaneval.problems:
        made = list(mutants(problem.reference() or "", problem.entry))
        for mutant in random.Random(problem.name).sample(made, min(4, len(made))):
            tail = "\ndef as_written():\n    import random\n    random.seed(0)\n    try:\n"
            tail += (
                f"        check({problem.entry})\n    except BaseException:\n        return False\n"
            )
            text = f"{mutant.code}\n{tests[problem.name]}\n{tail}    return True\n"
            run = sandbox.run(Program("python", text, "as_written"), [Call()])[0]
            ours = judge(sandbox, problem, mutant.code, "python", problem.hidden)
            assert (ours.outcome is Outcome.CORRECT) == (run.value is True), (problem.name, mutant)
            told += run.value is not True
    assert told > 300
