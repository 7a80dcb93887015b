"""Equivalence of mathematical answers: what is equal is right, and no LaTeX hangs the judge."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from openzaya.envs import Problems, build
from openzaya.envs.math import verify as module
from openzaya.envs.math.verify import extract, plain_number, verify
from openzaya.errors import EnvError
from openzaya.types import Outcome

EQUAL = [
    ("42", "\\boxed{42}"),
    ("42", "so 41, no: \\boxed{41} wait \\boxed{42}"),
    ("42", "42"),
    ("$42$", "<answer>42</answer>"),
    ("1,234", "It is 1234.\n#### 1234"),
    ("18", "\\boxed{18.0}"),
    ("\\frac{1}{2}", "\\boxed{0.5}"),
    ("\\frac12", "\\boxed{\\dfrac{2}{4}}"),
    ("x+1", "\\boxed{1+x}"),
    ("2^{100}", "\\boxed{1267650600228229401496703205376}"),
    ("\\{1,2\\}", "\\boxed{\\{2, 1\\}}"),
    ("\\sqrt{8}", "\\boxed{2\\sqrt{2}}"),
    ("\\frac{\\pi}{2}", "\\boxed{\\pi/2}"),
    ("[0,1)", "\\boxed{\\left[0, 1\\right)}"),
    ("90^\\circ", "\\boxed{90}"),
    ("\\text{A}", "\\boxed{A}"),
    ("-\\frac{3}{4}", "\\boxed{-0.75}"),
    ("(x-1)(x+1)", "\\boxed{x^2-1}"),
]
DIFFERENT = [
    ("42", "\\boxed{43}"),
    ("42", "\\boxed{42} no, \\boxed{41}"),
    ("(1,2)", "\\boxed{(2,1)}"),
    ("[0,1)", "\\boxed{[0,1]}"),
    ("\\pi", "\\boxed{3.14159}"),
    ("3", "\\boxed{1,2,3,4,5}"),
    ("1/3", "\\boxed{0.3333}"),
    ("x+1", "\\boxed{x-1}"),
    ("100", "\\boxed{10 0 1}"),
    ("123456789012345678901", "\\boxed{123456789012345678902}"),
]


@pytest.mark.parametrize(("gold", "text"), EQUAL)
def test_equal(gold: str, text: str) -> None:
    assert verify(gold, text).correct


@pytest.mark.parametrize(("gold", "text"), DIFFERENT)
def test_different(gold: str, text: str) -> None:
    score = verify(gold, text)
    assert score.outcome is Outcome.WRONG and score.reward == 0.0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "I do not know. " * 30,
        "\\boxed{",
        "\\boxed{\\frac{}{!}}",
        "\\boxed{9^{9^{9}}}",
        "\\boxed{42\ud800}",
        "\\boxed{" + "1" * 2000 + "}",
    ],
)
def test_unparseable_is_not_wrong(text: str | None) -> None:
    assert verify("42", text).outcome is Outcome.UNPARSEABLE


ATTACKS = [
    "9^{9^{9}}",
    "9^{9^9}-9^{9^9}+42",
    "(10^8)!",
    "10000!",
    "42!!!!",
    "9" * 900 + "^{9999}",
    "\\sum_{k=1}^{10^9} k",
    "\\prod_{k=1}^{100000000} k",
    "(x+1)^{9999}",
    "{" * 300 + "42" + "}" * 300,
    "\\int_0^1 \\sin(\\sin(\\sin(x^{x}))) dx",
    "\\frac{1}{" * 90 + "1" + "}" * 90,
    "\\sqrt" * 150,
    "\\begin{pmatrix}" + "1&" * 400 + "\\end{pmatrix}",
    "((((" * 200,
    "|" * 900,
    "٤٢",
    "\\left" * 150,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_adversarial_latex_ends(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 1.5)
    started = time.perf_counter()
    score = verify("42", f"\\boxed{{{attack}}}")
    assert not score.correct and score.outcome is not Outcome.VERIFIER_ERROR
    assert time.perf_counter() - started < 60  # a process under load may take its time to start
    assert verify("\\sqrt{4}", "\\boxed{2}").correct, "the next answer is served"


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 140_000,
        "{" * 1_000_000,
        "\\boxed{1" + "}" * 1_000_000,
        "####" * 250_000,
        "$" * 1_000_000,
    ],
)
def test_a_megabyte_is_a_score(text: str) -> None:
    started = time.perf_counter()
    assert verify("42", text).reward == 0.0
    assert time.perf_counter() - started < 10


def test_threads_may_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda n=n: found.append(verify(f"{n}+x", f"\\boxed{{x+{n}}}").correct)
        )
        for n in range(6)
    ]  # math-verify itself raises here: its time limit is a signal
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6


def test_verdicts_are_kept_but_not_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Counting:
        def call(self, function: str, **arguments: object) -> dict[str, bool]:
            calls.append(arguments)
            if arguments["answer"] == "slow":
                raise module.CallTimeout("no reply")
            return {"equal": True}

    monkeypatch.setattr(module, "pool", Counting)
    for _ in range(3):
        assert verify("kept-1", "\\boxed{kept-2}").correct
        assert verify("kept-1", "\\boxed{slow}").outcome is Outcome.TIMEOUT
    assert len(calls) == 1 + 3


def test_numbers_and_extraction() -> None:
    assert plain_number("1{,}234.50") == plain_number("1234.5") == plain_number("\\frac{2469}{2}")
    assert plain_number("\\frac{1}{0}") is None and plain_number("1e5") is None
    assert extract("a \\boxed{1} <answer>2</answer>") == ("1", True)
    assert extract("x" * 300) == (None, False)


def test_a_file_of_problems(tmp_path: Path) -> None:
    file = tmp_path / "math.jsonl"
    rows = [
        {"question": f"What is {n} + {n}?", "answer": f"{n} and {n}.\n#### {2 * n}"}
        for n in range(60)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    env = build("math_problems", {"path": str(file)})
    problem = Problems(env, "train").draw(0)
    oracle = env.oracle(problem)
    assert oracle is not None and env.score(problem, oracle.content).correct
    assert not env.score(problem, "\\boxed{-1}").correct
    assert len(Problems(env, "test").distinct(3)) == 3
    rows = [{"problem": "1/2?", "solution": "It is \\boxed{\\frac{1}{2}}."}]
    file.write_text(json.dumps(rows[0]))
    other = build("math_problems", {"path": str(file), "question": "problem", "answer": "solution"})
    assert other.version != env.version
    assert other.score(other.generate(0), "\\boxed{0.5}").correct


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no rows"), ("[1]", "line 1"), ('{"question": 1}\n', "no 'question' or no 'answer'")],
)
def test_bad_files_are_named(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(text)
    with pytest.raises(EnvError, match=said):
        build("math_problems", {"path": str(file)})
    with pytest.raises(EnvError, match="no file"):
        build("math_problems", {"path": str(tmp_path / "none.jsonl")})
