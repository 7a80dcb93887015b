"""Verifiable instructions: IFEval by the checkers that lm-eval ships."""

from __future__ import annotations

import json
from typing import Any

from openzaya.evals.scorers import binary, no_answer
from openzaya.evals.tasks.spec import REASONING, Item, Refused, Row, Source, TaskSpec, Verdict, ask
from openzaya.types import Outcome, Score

TOKENS = 16_384


def ifeval(rows: list[Row]) -> list[Item]:
    """key, prompt, instruction_id_list, kwargs (one table per instruction)."""
    items = []
    for row in rows:
        names, tables = list(row["instruction_id_list"]), list(row["kwargs"])
        if len(names) != len(tables):
            raise ValueError(f"row {row['key']}: {len(names)} instructions, {len(tables)} kwargs")
        private = {"names": names, "kwargs": tables, "key": row["key"]}
        items.append(Item(str(row["key"]), ask(row["prompt"]), json.dumps(names), private))
    return items


def follows(item: Item, response: str | None) -> Verdict:
    """Strict, by prompt: whether all instructions are followed."""
    if response is None or not response.strip():
        return no_answer("no answer")
    from lm_eval.tasks.ifeval import utils

    private: dict[str, Any] = item.private
    given = utils.InputExample(private["key"], private["names"], item.question, private["kwargs"])
    try:
        followed = utils.test_instruction_following_strict(given, response)
    except Exception as error:  # a checker that lacks its data, or a name that it does not know
        reason = f"{type(error).__name__}: {error}".strip().replace("\n", " ")[:200]
        return Verdict(Score(0.0, Outcome.VERIFIER_ERROR, True, reason), None)
    broken = [
        n
        for n, ok in zip(private["names"], followed.follow_instruction_list, strict=True)
        if not ok
    ]
    return binary(not broken, None, f"not followed: {', '.join(broken)}" if broken else "")


TASKS = (
    TaskSpec(
        "ifeval", "25 kinds of verifiable instructions",
        Source("google/IFEval", "train", 541, licence="Apache-2.0"),
        REASONING, 1, TOKENS, "free", ifeval, follows, "IFEval", "lm-eval",
    ),
)  # fmt: skip
REFUSED = (
    Refused(
        "ifbench", "58 kinds of instructions that no training has seen",
        "its checkers are in github.com/allenai/IFBench and on no package index",
        "use its own script against `zaya serve`; our own constraints, none of them among "
        "the 58, are tasks as well: `zaya envs list --source instructions`",
        1, "IFBench",
    ),
)  # fmt: skip
