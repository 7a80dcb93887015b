"""Multiple choice: the letter of an option, in a box."""

from __future__ import annotations

import random
from collections.abc import Sequence

from openzaya.evals.scorers import LETTERS, letter
from openzaya.evals.tasks.spec import REASONING, Item, Row, Source, TaskSpec, ask
from openzaya.ttc.kinds import FORMS

TOKENS = 32_768


def mmlu_pro(rows: list[Row]) -> list[Item]:
    """question, options (3 to 10), answer (a letter), question_id."""
    return [
        _item(str(row["question_id"]), row["question"], row["options"], str(row["answer"]))
        for row in rows
    ]


def gpqa(rows: list[Row]) -> list[Item]:
    """Question, Correct Answer, Incorrect Answer 1 to 3. The published order puts the right one
    first, so each question is shuffled by a seed of its own: the same in every run."""
    items = []
    for i, row in enumerate(rows, 1):
        right = row["Correct Answer"].strip()
        options = [right, *(row[f"Incorrect Answer {n}"].strip() for n in (1, 2, 3))]
        random.Random(f"gpqa:{row['Question']}").shuffle(options)
        id_ = str(row.get("Record ID") or i)
        items.append(_item(id_, row["Question"].strip(), options, LETTERS[options.index(right)]))
    return items


def _item(id_: str, question: str, options: Sequence[str], answer: str) -> Item:
    if not 2 <= len(options) <= len(LETTERS) or answer not in LETTERS[: len(options)]:
        raise ValueError(f"question {id_}: {len(options)} options, answer {answer!r}")
    listed = "\n".join(f"{mark}. {text}" for mark, text in zip(LETTERS, options, strict=False))
    return Item(id_, ask(f"{question}\n\n{listed}\n\n{FORMS['choice']}"), answer)


TASKS = (
    TaskSpec(
        "gpqa-diamond", "graduate-level questions that a search does not answer",
        Source("Idavidrein/gpqa", "train", 198, "gpqa_diamond", licence="CC-BY-4.0", gated=True),
        REASONING, 16, TOKENS, "choice", gpqa, letter, "GPQA-Diamond",
    ),
    TaskSpec(
        "mmlu-pro", "knowledge of 14 fields, up to ten options",
        Source("TIGER-Lab/MMLU-Pro", "test", 12_032, licence="MIT"),
        REASONING, 1, TOKENS, "choice", mmlu_pro, letter, "MMLU-Pro",
    ),
)  # fmt: skip
