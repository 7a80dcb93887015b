"""Every gold answer in its benchmark's own format scores 1, near misses 0; garbage never raises."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from openzaya.envs.sandbox import open_sandbox
from openzaya.errors import EnvError
from openzaya.evals.tasks import TASKS, Item, Verdict
from openzaya.types import Outcome

Judge = Callable[[str | None], Verdict]
GARBAGE = [
    None,
    "",
    " \n",
    "\\boxed{",
    "\\boxed{" * 3000,
    "```python\n" * 2000,
    "####",
    "answer is " * 5000,
    "\\boxed{" + "9" * 5000 + "}",
    "\\boxed{9^{9^{9^{9}}}}",
    "\x00\ud800",
    "<answer>" * 1000,
    "{" * 9999,
    "\\boxed{\\frac{1}{0}}",
    "(" * 5000,
    "A" * 100_000,
]


def item(task: str, **row: Any) -> Item:
    (made,) = TASKS[task].items([row])
    return made


def right(task: str, made: Item, *texts: str) -> None:
    for text in texts:
        verdict = TASKS[task].judge(made, text)
        assert verdict.score.correct, (made.target, text[-80:], verdict)
        assert verdict.score.reward == 1.0


def wrong(task: str, made: Item, *texts: str | None) -> None:
    for text in texts:
        verdict = TASKS[task].judge(made, text)
        shown = None if text is None else text[-80:]
        assert not verdict.score.correct, (made.target, shown, verdict)
        assert verdict.score.outcome is not Outcome.VERIFIER_ERROR, (shown, verdict)


COMPETITION = [
    # Gold as published, the same in other words, near misses.
    (
        "aime26",
        277,
        ["277", "\\boxed{277}", "so \\boxed{ 277 }.", "\\boxed{277.0}"],
        ["\\boxed{276}", "\\boxed{2770}", "\\boxed{-277}", "\\boxed{2.77}", "\\boxed{277, 278}"],
    ),
    ("aime24", "033", ["\\boxed{33}", "\\boxed{033}"], ["\\boxed{330}", "\\boxed{3}"]),
    (
        "hmmt25",
        "\\frac{1}{576}",
        ["\\boxed{\\frac{1}{576}}", "\\boxed{1/576}", "\\boxed{\\dfrac1{576}}"],
        ["\\boxed{\\frac{1}{567}}", "\\boxed{576}", "\\boxed{0.0017}", "\\boxed{-\\frac{1}{576}}"],
    ),
    (
        "hmmt26",
        "8\\sqrt{10}",
        ["\\boxed{8\\sqrt{10}}", "\\boxed{8 \\sqrt {10}}", "\\boxed{\\sqrt{640}}"],
        ["\\boxed{8\\sqrt{11}}", "\\boxed{10\\sqrt{8}}", "\\boxed{25.29}", "\\boxed{80}"],
    ),
    (
        "apex-shortlist",
        "2^{99}",
        ["\\boxed{2^{99}}", "\\boxed{2\\cdot 2^{98}}"],
        ["\\boxed{2^{98}}", "\\boxed{99^2}", "\\boxed{2\\cdot 99}"],
    ),
    (
        "math-500",
        "\\left( 3, \\frac{\\pi}{2} \\right)",
        ["\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}", "\\boxed{(3, \\pi/2)}"],
        ["\\boxed{(\\frac{\\pi}{2}, 3)}", "\\boxed{(3, \\pi)}", "\\boxed{3}"],
    ),
    (
        "math-500",
        "x \\in [-2,7]",
        ["\\boxed{x \\in [-2,7]}", "\\boxed{[-2,7]}"],
        ["\\boxed{(-2,7)}", "\\boxed{[-2,8]}", "\\boxed{[-7,2]}"],
    ),
]


@pytest.mark.parametrize(("task", "gold", "yes", "no"), COMPETITION)
def test_competitions(task: str, gold: Any, yes: list[str], no: list[str]) -> None:
    made = item(task, problem="How many?", answer=gold, problem_idx=1)
    right(task, made, *yes, f"\\boxed{{{gold}}}")
    unmarked = [f"I get {gold} or so, maybe less.", f"It is {gold}, I think, but {gold} is odd."]
    wrong(task, made, *no, *unmarked, "\\boxed{}", "\\boxed{\\text{no idea}}")
    # The last box counts, and only it.
    wrong(task, made, f"\\boxed{{{gold}}}, no: \\boxed{{12345}}")


def test_imo_answerbench_has_its_own_columns() -> None:
    row = {"Problem ID": "imo-1", "Problem": "Find all n.", "Short Answer": "$\\{1, 2\\}$"}
    made = item("imo-answerbench", **row)
    assert made.id == "imo-1"
    right("imo-answerbench", made, "\\boxed{\\{1, 2\\}}", "\\boxed{\\{2,1\\}}")
    wrong("imo-answerbench", made, "\\boxed{\\{1, 3\\}}", "\\boxed{1}", "\\boxed{\\{1,2,3\\}}")


def test_gsm8k_takes_what_follows_the_hashes() -> None:
    made = item("gsm8k", question="Eggs?", answer="16 - 3 = <<16-3=13>>13\n#### 1,450")
    assert made.target == "1,450"
    right(
        "gsm8k", made, "#### 1,450", "so\n#### 1450", "\\boxed{1450}", "\\boxed{\\$1,450}", "1450"
    )
    wrong(
        "gsm8k",
        made,
        "#### 1,451",
        "#### 145",
        "\\boxed{14.50}",
        "1450 eggs or 1451 eggs, who knows",
        "\\boxed{1450} and then \\boxed{7}",
    )


LETTER_TEXTS = [
    "\\boxed{@}",
    "\\boxed{(@)}",
    "\\boxed{\\text{@}}",
    "<answer>@</answer>",
    "The answer is (@).",
    "answer is @",
    "Answer: @",
    "**Answer: @**",
    "The answer is: **@**",
]


@pytest.mark.parametrize("gold", ["A", "D", "I"])
def test_mmlu_pro_letters(gold: str) -> None:
    options = [f"option {n}" for n in range(10)]
    made = item("mmlu-pro", question="Which?", options=options, answer=gold, question_id=7)
    assert f"{gold}. option {'ABCDEFGHIJ'.index(gold)}" in made.question
    right("mmlu-pro", made, *(t.replace("@", gold) for t in LETTER_TEXTS))
    others = [o for o in "ABCDEFGHIJ" if o != gold]
    wrong("mmlu-pro", made, *(t.replace("@", o) for t in LETTER_TEXTS for o in others))
    wrong(
        "mmlu-pro",
        made,
        "I don't know",
        "A hard one. I am lost",
        f"{gold} is wrong",
        "The answer is a",
        "The answer I found is unclear",
        "answer: A number of options fit",
        "\\boxed{K}",
        f"\\boxed{{{gold}}} is wrong, it is \\boxed{{{others[0]}}}",
    )


def test_gpqa_is_shuffled_alike_in_every_run() -> None:
    rows = [
        {
            "Question": f"Q{n}?",
            "Correct Answer": "right",
            "Incorrect Answer 1": "one",
            "Incorrect Answer 2": "two",
            "Incorrect Answer 3": "three",
            "Record ID": f"r{n}",
        }
        for n in range(200)
    ]
    items, again = TASKS["gpqa-diamond"].items(rows), TASKS["gpqa-diamond"].items(rows)
    assert items == again
    counts = {letter: sum(i.target == letter for i in items) for letter in "ABCD"}
    assert min(counts.values()) > 25, "the published order has the right answer first"
    for made in items[:20]:
        assert f"{made.target}. right" in made.question
        right("gpqa-diamond", made, f"\\boxed{{{made.target}}}")
        wrong("gpqa-diamond", made, *(f"\\boxed{{{o}}}" for o in "ABCD" if o != made.target))


def test_ifeval_by_upstreams_checkers() -> None:
    pytest.importorskip("lm_eval")
    made = item(
        "ifeval",
        key=1,
        prompt="Write without commas, at least three times 'cat'.",
        instruction_id_list=["punctuation:no_comma", "keywords:frequency"],
        kwargs=[{}, {"keyword": "cat", "frequency": 3, "relation": "at least", "num_words": None}],
    )
    right("ifeval", made, "cat cat cat")
    wrong("ifeval", made, "cat, cat, cat", "cat cat", "dog", None, "")
    broken = item("ifeval", key=2, prompt="p", instruction_id_list=["no:such"], kwargs=[{}])
    assert TASKS["ifeval"].judge(broken, "text").score.outcome is Outcome.VERIFIER_ERROR


def test_eq_bench_by_upstreams_scale() -> None:
    pytest.importorskip("lm_eval")
    reference = {f"emotion{n}": e for n, e in enumerate(("Joy", "Fear", "Envy", "Calm"), 1)}
    reference |= {f"emotion{n}_score": n for n in range(1, 5)}
    made = item("eq-bench", prompt="Rate.", reference_answer_fullscale=str(reference))
    right("eq-bench", made, "Joy: 1\nFear: 2\nEnvy: 3\nCalm: 4")
    off = TASKS["eq-bench"].judge(made, "Joy: 2\nFear: 2\nEnvy: 3\nCalm: 4").score
    assert 0.9 < off.reward < 1 and not off.correct
    wrong("eq-bench", made, "Joy: 1", "Joy: 1\nFear: 2\nEnvy: 3\nRage: 4", "Joy Fear Envy Calm")


ADD = {
    "task_id": "T/0",
    "entry_point": "add",
    "prompt": 'def add(a, b):\n    """Sum."""\n',
    "canonical_solution": "    return a + b\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n"
    "    assert candidate(-1, 1) == 0\n",
}
LCB = {
    "question_id": "x1",
    "question_content": "Double it.",
    "contest_date": "2025-03-01T00:00:00",
    "starter_code": "",
    "metadata": "{}",
    "public_test_cases": json.dumps([{"input": "2\n", "output": "4\n", "testtype": "stdin"}]),
}


def hidden(tests: list[dict[str, str]]) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def block(code: str) -> str:
    return f"Here:\n```python\n{code}```\nDone."


@pytest.fixture(scope="module")
def sandbox() -> Any:
    try:
        return open_sandbox()
    except EnvError as error:
        pytest.skip(f"no sandbox here: {error}")


def test_humaneval_and_mbpp_in_the_sandbox(sandbox: Any) -> None:
    made = item("humaneval", **ADD)
    assert "return a + b" not in made.question
    right("humaneval", made, block(ADD["prompt"] + ADD["canonical_solution"]))
    wrong(
        "humaneval",
        made,
        block("def add(a, b):\n    return a - b\n"),
        block("def add(a, b): pass\n"),
        block("import os\nos._exit(0)\n"),
        ADD["prompt"] + ADD["canonical_solution"],
        block("def add(a, b):\n    return a + b + 0.1\n"),
        block("def sub(a, b): return a + b\n"),
        "```python\ndef add(a, b): return a + b\n",
    )
    row = {
        "task_id": 11,
        "text": "Add.",
        "code": "def add(a, b):\n    return a + b",
        "test_list": ["assert add(1, 2) == 3", "assert add(5, 5) == 10"],
    }
    made = item("mbpp", **row)
    right("mbpp", made, block(row["code"] + "\n"))
    wrong("mbpp", made, block("def add(a, b):\n    return 3\n"), row["code"])


def test_livecodebench_reads_its_hidden_tests(sandbox: Any) -> None:
    row = LCB | {"private_test_cases": hidden([{"input": "5\n", "output": "10\n"}])}
    made = item("livecodebench-v6", **row)
    right("livecodebench-v6", made, block("print(2 * int(input()))\n"))
    wrong("livecodebench-v6", made, block("print(4)\n"), block("print(input())\n"))
    row |= {
        "starter_code": "class Solution:\n    def double(self, n: int) -> int:\n        ",
        "metadata": json.dumps({"func_name": "double"}),
        "public_test_cases": json.dumps([{"input": "2", "output": "4"}]),
        "private_test_cases": hidden([{"input": "[1]", "output": "[1, 1]"}]),
    }
    made = item("livecodebench-v6", **row)
    good = "class Solution:\n    def double(self, n: List[int]) -> int:\n        return n * 2\n"
    right("livecodebench-v6", made, block(good))
    wrong("livecodebench-v6", made, block(good.replace("2", "3")))
    with pytest.raises(ValueError, match="no problem from"):
        TASKS["livecodebench-v6"].items([row | {"contest_date": "2025-01-31"}])


def test_a_pickled_class_is_never_looked_up(sandbox: Any) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("it ran",)

    bad = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    made = item("livecodebench-v6", **LCB, private_test_cases=bad)
    score = TASKS["livecodebench-v6"].judge(made, block("print(1)\n")).score
    assert score.outcome is Outcome.VERIFIER_ERROR and "in a test case" in score.reason


def test_a_row_that_cannot_be_judged_is_no_wrong_answer(sandbox: Any) -> None:
    made = item("humaneval", **ADD | {"test": "def check(candidate):\n    assert undefined\n"})
    score = TASKS["humaneval"].judge(made, block("def add(a, b): return a + b\n")).score
    assert score.outcome is Outcome.VERIFIER_ERROR and "recorded" in score.reason


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_wrong_and_never_raises(text: str | None) -> None:
    pytest.importorskip("lm_eval")
    for task, made in (
        ("aime26", item("aime26", problem="p", answer=5)),
        ("gsm8k", item("gsm8k", question="q", answer="#### 5")),
        ("mmlu-pro", item("mmlu-pro", question="q", options=["a", "b"], answer="B", question_id=1)),
        (
            "eq-bench",
            item(
                "eq-bench",
                prompt="p",
                reference_answer_fullscale=str({f"emotion{n}": str(n) for n in range(1, 5)}),
            ),
        ),
    ):
        wrong(task, made, text)


def test_the_table_has_the_reports_settings() -> None:
    for name in ("aime25", "aime26", "hmmt25", "hmmt26", "imo-answerbench", "apex-shortlist"):
        task = TASKS[name]
        assert (task.k, task.sampling.temperature, task.sampling.top_p) == (64, 1.0, 0.95)
    for name in ("livecodebench-v6", "humaneval", "mbpp"):
        task = TASKS[name]
        assert (task.k, task.sampling.temperature, task.sampling.top_k) == (16, 0.6, 20)
    assert TASKS["gpqa-diamond"].k == 16 and TASKS["mmlu-pro"].k == TASKS["ifeval"].k == 1
