r"""Judges: a model's text against a published answer. Strict about where an answer may stand.

An answer counts where the prompt asked for it, or where the benchmark's own format has it (`####`,
"answer is (C)"). A text that merely mentions the right number or letter is no answer: guessing at
it would score "I am not sure" as the option I.
"""

from __future__ import annotations

import re

from openzaya.answers import choice, last_boxed, last_tagged
from openzaya.envs.math.verify import plain_number, tidy, verify
from openzaya.evals.tasks.spec import Item, Verdict
from openzaya.ttc.kinds import normalised
from openzaya.types import Outcome, Score

LETTERS = "ABCDEFGHIJ"
LONGEST_VOTE = 1000
_HASHES = re.compile(r"####\s*(.+)")
_SAID = re.compile(
    r"[Aa]nswer(?:\s+is)?\s*:?\s*\*{0,2}(?:\(([A-J])\)|([B-HJ])\b(?!')|([AI])\b(?!'|\s+[a-z]))"
)


def no_answer(why: str) -> Verdict:
    return Verdict(Score(0.0, Outcome.UNPARSEABLE, False, why), None)


def binary(right: bool, answer: str | None, reason: str = "") -> Verdict:
    outcome = Outcome.CORRECT if right else Outcome.WRONG
    return Verdict(Score(float(right), outcome, True, reason), answer)


def mathematics(item: Item, response: str | None) -> Verdict:
    r"""`item.target` against the last \boxed{}, tag or `####`, else against a text that is nothing
    but a number. Equality is math-verify's."""
    if not response or not response.strip():
        return no_answer("no answer")
    found = last_boxed(response) or last_tagged(response)
    if found is None and (said := _HASHES.findall(response)):
        found = said[-1].strip()
    if found is None and len(response) < 50 and plain_number(tidy(response)) is not None:
        found = response.strip()
    if not found:
        return no_answer("no \\boxed{}")
    score = verify(item.target, f"\\boxed{{{found}}}")
    return Verdict(score, normalised("math", found) if len(found) <= LONGEST_VOTE else None)


def letter(item: Item, response: str | None) -> Verdict:
    """One of the letters A to J, in a box or a tag, else behind the word "answer"."""
    if not response or not response.strip():
        return no_answer("no answer")
    found = None
    for inner in (last_boxed(response), last_tagged(response)):
        if inner is not None and len(inner) < 200 and found is None:
            found = choice(f"\\boxed{{{inner}}}", LETTERS)
    if found is None and (said := _SAID.findall(response)):
        found = next(filter(None, said[-1]))
    if found is None:
        return no_answer("no letter is marked as the answer")
    return binary(found == item.target, found)
