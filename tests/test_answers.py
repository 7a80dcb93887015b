"""Answers in texts: the last one counts, and no text makes finding it long."""

from __future__ import annotations

import time

import pytest

from openzaya.answers import choice, final_answer, last_boxed, last_code, last_tagged


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        (r"a \boxed{1} b \boxed{x^{2}}", "x^{2}"),
        (r"\boxed{a \{ b} c", r"a \{ b"),
        (r"\boxed{ok} \boxed{bad", "ok"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"}} \fbox {7}", "7"),
        (r"\boxed{}", ""),
        ("no box", None),
        (r"\boxed 5", None),
    ],
)
def test_the_last_box_whose_braces_balance(text: str, inner: str | None) -> None:
    assert last_boxed(text) == inner


def test_tags_and_code() -> None:
    assert last_tagged("<answer>1</answer> <Answer> 2 </ANSWER> <answer>3") == "2"
    assert last_tagged("</answer> <answer>a <answer>b</answer>") == "b"
    text = "```python\na\n\n```\n x\n```cpp\nb\n```\n"
    assert last_code(text) == "b\n" and last_code(text, "python") == "a\n\n"
    assert last_code("```py\nopen") is None and last_code("```\n```") == ""
    assert final_answer(" plain ") == ("plain", False)
    assert final_answer(r"\boxed{1} <answer>2</answer>") == ("2", True)
    assert choice("The answer is (b).") == "B" and choice("nothing") is None


ATTACKS = [
    "\\boxed{",
    "<answer>",
    "```a\n",
    "answer is",
    "{",
    "\\boxed",
    "(A",
    "\\",
    "`",
    "</answer>",
]


@pytest.mark.parametrize("piece", ATTACKS)
def test_a_megabyte_takes_no_time(piece: str) -> None:
    for text in (piece * (1_000_000 // len(piece)), piece + " " * 1_000_000):
        started = time.perf_counter()
        final_answer(text)
        last_code(text)
        choice(text)
        assert time.perf_counter() - started < 10
