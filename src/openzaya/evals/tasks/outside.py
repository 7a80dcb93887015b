"""Benchmarks that come with a world or a judge of their own, and EQ-Bench 2, which needs none."""

from __future__ import annotations

import ast
import contextlib
import io
import re

from openzaya.evals.scorers import no_answer
from openzaya.evals.tasks.spec import CODE, Item, Refused, Row, Source, TaskSpec, Verdict, ask
from openzaya.types import Outcome, Score

TOKENS = 16_384
_RATING = re.compile(r"\w+:\s+\d+")


def eq_bench(rows: list[Row]) -> list[Item]:
    """prompt, reference_answer_fullscale (four emotions and their strength)."""
    items = []
    for i, row in enumerate(rows, 1):
        reference = row["reference_answer_fullscale"]
        if not {f"emotion{n}" for n in range(1, 5)} <= set(ast.literal_eval(reference)):
            raise ValueError(f"row {i} does not name four emotions")
        items.append(Item(str(i), ask(row["prompt"]), reference, dict(row)))
    return items


def emotions(item: Item, response: str | None) -> Verdict:
    """EQ-Bench 2's scale, as a share of its 100: below 0 for ratings worse than random ones. Only
    its full mark is `correct`."""
    if response is None or len(_RATING.findall(response[-20_000:])) < 4:
        return no_answer("no four ratings")
    from lm_eval.tasks.eq_bench.utils import calculate_score_fullscale

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it cannot read
        made = calculate_score_fullscale(item.private, [response[-20_000:]])
    if not made["percent_parseable"]:
        return no_answer("other emotions than those that were asked for")
    share = made["eqbench"] / 100
    return Verdict(Score(share, Outcome.CORRECT if share > 0.999 else Outcome.WRONG), None)


TASKS = (
    TaskSpec(
        "eq-bench", "emotions in a dialogue, EQ-Bench 2.1 (the report names no version)",
        Source("pbevan11/EQ-Bench", "validation", 171, licence="MIT"),
        CODE, 1, TOKENS, "free", eq_bench, emotions, needs="lm-eval", graded=True,
    ),
)  # fmt: skip
SERVE = "run it against `zaya serve MODEL port=8000`: "
REFUSED = (
    Refused(
        "bfcl-v4", "Berkeley Function Calling Leaderboard, version 4",
        "its tools, state machines and web search are the package bfcl-eval's",
        SERVE + "pip install bfcl-eval, then `bfcl generate` with its OpenAI-compatible handler",
        1, "BFCL-v4",
    ),
    Refused(
        "tau2", "customer service with tools and a simulated user",
        "its simulator, and the model that plays the user, are in github.com/sierra-research/"
        "tau2-bench",
        SERVE + "`tau2 run --agent-llm openai/NAME` with OPENAI_BASE_URL set to the server",
        16, "tau2",
    ),
    Refused(
        "creative-writing", "Creative Writing v3, judged by claude-3.7-sonnet",
        "its prompts and rubric are in github.com/EQ-bench/creative-writing-bench, and a score by "
        "another judge is another score",
        SERVE + "its script takes the server as the test model, and the judge's own key",
        1, "Creative Writing",
    ),
)  # fmt: skip
