"""Competitions and school mathematics: one answer in a box, equality by math-verify."""

from __future__ import annotations

from openzaya.answers import last_boxed
from openzaya.evals.scorers import mathematics
from openzaya.evals.tasks.spec import REASONING, Item, Row, Source, TaskSpec, ask
from openzaya.ttc.kinds import FORMS

COMPETITION_TOKENS, SCHOOL_TOKENS = 65_536, 32_768
MATHARENA = "CC-BY-NC-SA-4.0 (evaluation only)"


def competition(rows: list[Row]) -> list[Item]:
    """MathArena's and the AIME sets' columns: problem, answer, problem_idx or id."""
    return [
        _item(str(row.get("problem_idx", row.get("id", i))), row["problem"], str(row["answer"]))
        for i, row in enumerate(rows, 1)
    ]


def imo(rows: list[Row]) -> list[Item]:
    """IMO-Bench's table: Problem ID, Problem, Short Answer."""
    return [_item(row["Problem ID"], row["Problem"], row["Short Answer"]) for row in rows]


def gsm8k(rows: list[Row]) -> list[Item]:
    """question, and an answer whose value follows ####."""
    return [
        _item(str(i), row["question"], row["answer"].rsplit("####", 1)[1].strip())
        for i, row in enumerate(rows, 1)
    ]


def math500(rows: list[Row]) -> list[Item]:
    """problem, answer (or the box of `solution`), unique_id."""
    return [
        _item(
            str(row.get("unique_id", i)).replace("/", "-"), row["problem"],
            str(row.get("answer") or last_boxed(row["solution"])),
        )
        for i, row in enumerate(rows, 1)
    ]  # fmt: skip


def _item(id_: str, problem: str, answer: str) -> Item:
    return Item(id_, ask(f"{problem}\n\n{FORMS['math']}"), answer)


def _competition(name: str, about: str, source: Source, published: str = "") -> TaskSpec:
    items = imo if name == "imo-answerbench" else competition
    return TaskSpec(
        name, about, source, REASONING, 64, COMPETITION_TOKENS, "math", items, mathematics,
        published,
    )  # fmt: skip


TASKS = (
    _competition(
        "aime24", "American Invitational Mathematics Examination 2024, I and II",
        Source("HuggingFaceH4/aime_2024", "train", 30, licence="contest problems"),
    ),
    _competition(
        "aime25", "the same of 2025",
        Source("MathArena/aime_2025", "train", 30, licence=MATHARENA), "AIME'25",
    ),
    _competition(
        "aime26", "the same of 2026",
        Source("MathArena/aime_2026", "train", 30, licence=MATHARENA), "AIME'26",
    ),
    _competition(
        "hmmt25", "Harvard-MIT Mathematics Tournament, February 2025",
        Source("MathArena/hmmt_feb_2025", "train", 30, licence=MATHARENA), "HMMT'25",
    ),
    _competition(
        "hmmt26", "the same of February 2026",
        Source("MathArena/hmmt_feb_2026", "train", 33, licence=MATHARENA), "HMMT'26",
    ),
    _competition(
        "imo-answerbench", "IMO-Bench: olympiad problems with short answers",
        Source("OpenEvals/IMO-AnswerBench", "train", 400, licence="CC-BY-4.0"), "IMO-AnswerBench",
    ),
    _competition(
        "apex-shortlist", "MathArena Apex, the shortlist of 2025",
        Source("MathArena/apex-shortlist", "train", 49, licence=MATHARENA), "APEX-shortlist",
    ),
    TaskSpec(
        "math-500", "500 problems of MATH's test split",
        Source("HuggingFaceH4/MATH-500", "test", 500, licence="MIT"),
        REASONING, 4, SCHOOL_TOKENS, "math", math500, mathematics,
    ),
    TaskSpec(
        "gsm8k", "grade school word problems",
        Source("openai/gsm8k", "test", 1319, "main", licence="MIT"),
        REASONING, 1, SCHOOL_TOKENS, "math", gsm8k, mathematics,
    ),
)  # fmt: skip
