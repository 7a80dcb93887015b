"""The six families: pure, solvable, not fooled, and never raising."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openzaya.envs.code import CODE_ENVIRONMENTS, extract
from openzaya.envs.code.own import own_bank
from openzaya.envs.code.problem import Case, Solution, save_bank
from openzaya.envs.code.problem import Problem as Task
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.sandbox import Sandbox
from openzaya.errors import EnvError
from openzaya.types import Environment, Outcome, Problem

NAMES = list(CODE_ENVIRONMENTS)
CHEAP = [name for name in NAMES if name != "code_solve_cpp"]
JUNK = (
    "", "   ", "0", "1", "True", "None", "<answer></answer>", "<answer>0</answer>",
    "<answer>1</answer>", "<answer>[]</answer>", "<answer>True</answer>", "the answer is clear",
    "```python\n```", "```python\nprint('ALL TESTS PASSED')\n```", 
    "```\nimport os; os._exit(0)\n```",
    "```java\nclass Main {}\n```", "```cpp\nint main() {}\n```", 
    "```python\ndef solve(*a): return 0\n```",
    "\0", "<answer>\0</answer>", "```python\n\0\n```", "\ud800", "```python\n\ud800 = 1\n```",
    "<answer>\ud800</answer>", "<answer>" + "[" * 5000 + "</answer>", "٣", "<answer>٣</answer>",
    "<answer>" + "9" * 10000 + "</answer>", "<answer>__import__('os').system('true')</answer>",
    "```python\ndef solve(*a):\n    return type('R', (int,), {'__eq__': lambda *_: True})(0)\n```",
)  # fmt: skip
HUGE = (
    "```python\n" * 200_000, "<answer>" * 300_000, "\\boxed{" * 300_000, "x" * 3_000_000,
    "```python\n" + "x = 1\n" * 300_000 + "```", "`" * 1_000_000,
    "<answer>" + "1," * 10**6 + "</answer>",
)  # fmt: skip


@pytest.fixture(scope="module")
def environments(sandbox: Sandbox) -> dict[str, Environment]:
    return {name: make(sandbox=sandbox) for name, make in CODE_ENVIRONMENTS.items()}


@pytest.mark.parametrize("name", NAMES)
def test_generation_is_pure_and_json(name: str, environments: dict[str, Environment]) -> None:
    environment, state = environments[name], random.getstate()
    for seed in range(20):
        for difficulty in (0, 3, 10, 200):
            problem = environment.generate(seed, difficulty)
            assert problem == environment.generate(seed, difficulty)
            assert json.loads(json.dumps(problem.private)) == problem.private
            assert problem.env == name
    assert random.getstate() == state
    prompts = {environment.generate(seed, 3).fingerprint for seed in range(60)}
    assert len(prompts) > (20 if name == "code_solve_cpp" else 30)


def test_problems_are_the_same_in_every_process() -> None:
    code = (
        "from openzaya.envs.code import CODE_ENVIRONMENTS as E\n"
        "print([E[n]().generate(s, d).fingerprint for n in E for s in (0, 7) for d in (0, 5)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


@pytest.mark.parametrize("name", CHEAP)
def test_the_oracle_is_right_and_a_stranger_is_not(
    name: str, environments: dict[str, Environment]
) -> None:
    environment = environments[name]
    for seed, difficulty in ((0, 0), (1, 3), (2, 10)):
        problem = environment.generate(seed, difficulty)
        solved = environment.oracle(problem)
        assert solved is not None
        assert environment.score(problem, solved.content).outcome is Outcome.CORRECT
        hidden = json.dumps(problem.private.get("expected"))
        assert "expected" not in problem.prompt or hidden not in problem.prompt
        other = environment.oracle(environment.generate(seed + 50, 0))
        assert other is not None
        if other.content != solved.content:
            environment.score(problem, other.content)


@pytest.mark.slow
def test_cpp(environments: dict[str, Environment]) -> None:
    environment = environments["code_solve_cpp"]
    for seed in range(4):
        problem = environment.generate(seed, 4)
        solved = environment.oracle(problem)
        assert solved is not None
        assert environment.score(problem, solved.content).outcome is Outcome.CORRECT
        wrong = "```cpp\n#include <iostream>\nint main() { std::cout << -7; }\n```"
        assert environment.score(problem, wrong).outcome is Outcome.WRONG
        python = "```python\nprint(1)\n```"
        assert environment.score(problem, python).outcome is Outcome.UNPARSEABLE
        broken = environment.score(problem, "```cpp\nint main( {\n```")
        assert broken.outcome is Outcome.WRONG
        assert "not compiled" in broken.reason


@pytest.mark.parametrize("name", CHEAP)
def test_junk_is_a_score(name: str, environments: dict[str, Environment]) -> None:
    environment = environments[name]
    problem = environment.generate(3, 3)
    for text in (None, problem.prompt, *JUNK):
        score = environment.score(problem, text)
        assert score.outcome is not Outcome.CORRECT, text
        assert score.outcome is not Outcome.VERIFIER_ERROR, (text, score)
        assert score.reward == 0.0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
def test_megabytes_are_a_score(name: str, environments: dict[str, Environment]) -> None:
    environment = environments[name]
    problem = environment.generate(3, 3)
    for text in HUGE:
        assert environment.score(problem, text).outcome is Outcome.UNPARSEABLE, text[:20]


def problem_of(environment: Environment, task: str) -> Problem:
    for seed in range(3000):
        problem = environment.generate(seed, 4)
        if problem.private["task"] == task:
            return problem
    raise AssertionError(task)


def test_solve_it_tells_outcomes_apart(environments: dict[str, Environment]) -> None:
    environment = environments["code_solve_python"]
    problem = problem_of(environment, "longest_plateau")
    for body, outcome in (
        ("return 3", Outcome.WRONG),
        ("raise ValueError", Outcome.WRONG),
        ("while True: pass", Outcome.TIMEOUT),
        ("return bytearray(1 << 32)", Outcome.SANDBOX_KILLED),
        ("import os; os._exit(0)", Outcome.WRONG),
        ("print('x' * 10**8)", Outcome.SANDBOX_KILLED),
    ):
        score = environment.score(problem, f"```python\ndef solve(numbers):\n    {body}\n```")
        assert score.outcome is outcome, (body, score)
    again = "First:\n```python\nx\n```\nNo:\n```py\n" + (own("longest_plateau").reference() or "")
    assert environment.score(problem, again + "```\nDone.").outcome is Outcome.CORRECT


def own(name: str) -> Task:
    return next(task for task in own_bank() if task.name == name)


def test_a_value_of_another_type_is_wrong(environments: dict[str, Environment]) -> None:
    problem = problem_of(environments["code_solve_python"], "two_teams")
    code = (own("two_teams").reference() or "").replace("def solve", "def inner")
    text = f"```python\n{code}\ndef solve(*a):\n    return int(inner(*a))\n```"
    assert environments["code_solve_python"].score(problem, text).outcome is Outcome.WRONG


def test_any_input_with_that_output_counts(environments: dict[str, Environment]) -> None:
    environment = environments["code_input_prediction"]
    problem = problem_of(environment, "longest_plateau")
    wanted = problem.private["expected"]
    for text, outcome in (
        ([4] * wanted, Outcome.CORRECT),
        ([10**6, *[5] * wanted], Outcome.CORRECT),
        ([4] * (wanted + 1), Outcome.WRONG),
        ([10**7] * wanted, Outcome.WRONG),
    ):
        assert environment.score(problem, f"<answer>{text}</answer>").outcome is outcome
    for text in ("[True]", "[1.0]", "(1, 1)", "[1], 2", "numbers", "'x'"):
        score = environment.score(problem, f"<answer>{text}</answer>")
        assert score.outcome is Outcome.UNPARSEABLE, text


def test_falsification_wants_an_allowed_input(environments: dict[str, Environment]) -> None:
    environment = environments["code_falsification"]
    problem = problem_of(environment, "fewest_coins")
    assert environment.score(problem, "<answer>[0], 5</answer>").outcome is Outcome.WRONG
    assert environment.score(problem, "<answer>[1], -1</answer>").outcome is Outcome.WRONG
    assert "not an allowed" in environment.score(problem, "<answer>[], 5</answer>").reason
    solved = environment.oracle(problem)
    assert solved is not None
    assert environment.score(problem, solved.content).outcome is Outcome.CORRECT
    agree = "<answer>[1], 0</answer>"
    reference = Problem(
        problem.env, 0, "", {**problem.private, "faulty": own("fewest_coins").reference()}
    )
    assert environment.score(reference, agree).reason == "both agree"
    assert environment.score(reference, solved.content).outcome is Outcome.WRONG  # the control


def test_hidden_tests_are_not_in_prompts(environments: dict[str, Environment]) -> None:
    for name in ("code_solve_python", "code_reconstruction"):
        problem = problem_of(environments[name], "edit_distance")
        shown = problem.private["shown"]
        assert 0 < len(shown) < 12
        text = "```python\ndef solve(a, b):\n    return 1\n```"
        assert environments[name].score(problem, text).outcome is Outcome.WRONG
        assert name == "code_solve_python" or own("edit_distance").statement not in problem.prompt


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[str]:
    """A bank of whole programs, as CodeContests has them."""
    tests = tuple(Case(f"{i} {i * i}\n".encode(), f"{i + i * i}\n") for i in range(2, 9))
    right = Solution("python", "a, b = map(int, input().split())\nprint(a + b)\n")
    wrong = Solution("python", "a, b = map(int, input().split())\nprint(a + min(b, 30))\n")
    cpp = "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }\n"
    task = Task(
        "sum", "Add two numbers.", None, accepted=(right, Solution("cpp", cpp)), rejected=(wrong,),
        samples=tests[:2], hidden=tests, comparison="tokens", source="mine", licence="CC0",
    )  # fmt: skip
    save_bank([task], tmp_path / "streams.jsonl")
    yield str(tmp_path / "streams.jsonl")


def test_every_family_works_on_a_foreign_bank(streams: str, sandbox: Sandbox) -> None:
    for name, make in CODE_ENVIRONMENTS.items():
        if name == "code_reconstruction":  # needs types
            with pytest.raises(EnvError, match="no problem of the bank"):
                make(bank=streams, sandbox=sandbox)
            continue
        environment = make(bank=streams, sandbox=sandbox)
        assert (environment.source, environment.licence) == ("mine", "CC0")
        problem = environment.generate(1)
        solved = environment.oracle(problem)
        assert solved is not None
        assert environment.score(problem, solved.content).outcome is Outcome.CORRECT, name
        assert environment.score(problem, "<answer>x</answer>").outcome is not Outcome.CORRECT


def test_programs_are_found() -> None:
    assert extract.program("a\n```python\nx = 1\n```\nb", "python") == "x = 1\n"
    assert extract.program("```\nx\n```\n```python\ny\n```\n```cpp\nz\n```", "python") == "y\n"
    assert extract.program("```c++\nz\n```", "cpp") == "z\n"
    assert extract.program("  ```py\n  x\n  ```", "python") == "  x\n"
    for text in ("```python\nx", "x = 1", "```java\nx\n```", "```python x```"):
        with pytest.raises(Unparseable):
            extract.program(text, "python")


def test_the_names_need_nothing_heavy() -> None:
    code = (
        "import sys, openzaya.envs.code as c; assert len(c.CODE_ENVIRONMENTS) == 6;"
        "sys.exit('torch' in sys.modules or 'openzaya.envs.code.own' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_environments_travel_to_other_processes(environments: dict[str, Environment]) -> None:
    for environment in environments.values():
        again = pickle.loads(pickle.dumps(environment))
        assert again.generate(5, 2) == environment.generate(5, 2)
