"""Answers of every kind: found, and compared with caution."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.config.rsa import Kind
from openzaya.ttc.kinds import FORMS, find, find_marked, normalised
from openzaya.ttc.prompts import NEWEST, TEMPLATES

KINDS: list[Kind] = ["math", "choice", "code", "free", "puzzle"]
PROGRAM = "Like this:\n```python\ndef f(x):\n    return x\n```\nDone."


@pytest.mark.parametrize(
    ("kind", "response", "answer"),
    [
        ("math", "So \\boxed{3} - no, \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("math", "19", "19"),
        ("math", "I thought for long about it,\nbut who knows", None),
        ("choice", "The answer is (C).", "C"),
        ("choice", "\\boxed{B}", "B"),
        ("code", PROGRAM, "def f(x):\n    return x\n"),
        ("code", "no program", None),
        ("free", "  Paris, of course. ", "Paris, of course."),
        ("free", "<answer>Paris</answer>", "Paris"),
        ("puzzle", "<answer>1 2\n3 4</answer>", "1 2\n3 4"),
        ("puzzle", "1 2 3 4", None),
        *((kind, nothing, None) for kind in KINDS for nothing in (None, "", " \n")),
    ],
)
def test_answers_are_found(kind: Kind, response: str | None, answer: str | None) -> None:
    assert find(kind, response) == answer


SAME: list[tuple[Kind, list[str]]] = [
    ("math", ["1/2", "0.5", ".50", "\\frac{1}{2}", "\\dfrac12", "$ \\frac{2}{4} $", "x = 0.5"]),
    ("math", ["1000", "1,000", "1000.0", "\\text{1000}", "1000."]),
    ("math", ["-3", "-3.0", "- 3", "\\left(-3\\right)"]),
    ("math", ["(1,2)", "( 1, 2 )", "\\left(1,\\,2\\right)"]),
    ("math", ["\\frac{\\sqrt{2}}{2}", "\\dfrac{ \\sqrt{2} }{2}", "\\tfrac{\\sqrt{2}}{2}"]),
    ("choice", ["A", "a", " A "]),
    ("code", ["f(1)\n", "f(1)  \n\n", "\n    f(1)"]),
    ("free", ["so it  is", "so\nit is "]),
    ("puzzle", ["1 2\n3 4", "1  2 \n3 4\n"]),
]


@pytest.mark.parametrize(("kind", "answers"), SAME, ids=str)
def test_equal_answers_give_one_vote(kind: Kind, answers: list[str]) -> None:
    assert len({normalised(kind, a) for a in answers}) == 1


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("math", ["2\\frac12", "21/2", "2 1/2", "1", "-1", "1/0", "0", "2 3", "23", "3(1/2)"]),
        ("math", ["(1,2)", "(1,23)", "[1,2]", "1.2", "12", "x", "y", "50\\%", "50"]),
        ("code", ["f(1)", "f(2)", "if x:\n    f(1)", "if x:\n  f(1)"]),
        ("free", ["Paris", "paris", "Paris."]),
        ("puzzle", ["1 2\n3 4", "1 2 3 4"]),
    ],
)
def test_other_answers_stay_apart(kind: Kind, answers: list[str]) -> None:
    assert len({normalised(kind, a) for a in answers}) == len(answers)


def test_every_kind_has_a_template_that_asks_in_its_form() -> None:
    for kind in KINDS:
        words = TEMPLATES[NEWEST[kind]]
        assert FORMS[kind] in words.head and FORMS[kind] in words.close
        assert words.header.count("{number}") == 1
        assert find(kind, FORMS[kind]) in (None, FORMS[kind], "", "A", "F", "I"), "no leak"


@given(st.text(), st.sampled_from(KINDS))
def test_any_string_has_a_vote_or_none(text: str, kind: Kind) -> None:
    answer = find(kind, text)
    if answer is not None:
        vote = normalised(kind, answer)
        assert normalised(kind, vote) == vote or kind in ("math", "code")
    find_marked(text)


@pytest.mark.parametrize(
    "piece", ["\\frac{1}{", "\\boxed{", "<answer>", "9", "1,", " ", "```\n", "$"]
)
def test_hostile_text_takes_no_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.monotonic()
    for kind in KINDS:
        find(kind, text)
        normalised(kind, text)
    find_marked(text)
    assert time.monotonic() - began < 20, "a hang, on any machine"
