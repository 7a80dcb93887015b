"""The table: rows of JSON that training reads, and the Markdown that the docs show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openzaya.envs.admission.checks import failures
from openzaya.envs.admission.probe import Seen
from openzaya.errors import EnvError

Row = dict[str, Any]

COUNTED = {
    "own": "generators of this repository",
    "code": "code families of this repository",
    "instructions": "instruction families of this repository",
    "reasoning-gym": "reasoning-gym (PyPI)",
    "rlve": "RLVE-Gym (from a checkout)",
    "enigmata": "Enigmata (from a checkout)",
}
"""Sources are counted apart wherever a number is given."""


def row_of(seen: Seen, source: str) -> Row:
    """What is kept of one environment. `source` is the registry's name for where it comes from."""
    return {
        "source": source,
        "family": seen.family,
        "licence": seen.licence,
        "version": seen.version,
        "max_difficulty": seen.max_difficulty,
        "failed": failures(seen),
        "oracle": any(level.oracles for level in seen.levels.values()),
        "timeouts": seen.timeouts,
        "levels": {
            str(d): {
                "problems": level.problems,
                "distinct": level.distinct,
                "guess": round(level.guess, 3),
                "guess_text": level.guess_text,
                "sizes": {name: round(value, 1) for name, value in level.sizes.items()},
                "generate_p99_ms": round(level.generate_p99_ms, 2),
                "score_p99_ms": round(level.score_p99_ms, 2),
            }
            for d, level in seen.levels.items()
        },
    }


def refused(source: str, error: EnvError) -> Row:
    """The row of an environment that cannot be built."""
    return {"source": source, "family": "", "version": "", "failed": [error.message], "levels": {}}


def merge(path: Path, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Put `rows` into the table at `path`, which may not exist yet; returns all of them."""
    old = json.loads(path.read_text())["environments"] if path.is_file() else {}
    merged = dict(sorted((old | dict(rows)).items()))
    path.write_text(json.dumps({"environments": merged}, indent=1, ensure_ascii=False) + "\n")
    return merged


def counts(rows: Mapping[str, Row]) -> dict[str, tuple[int, int]]:
    """Source to (admitted, measured), in the order of COUNTED."""
    measured = Counter(row["source"] for row in rows.values())
    passed = Counter(row["source"] for row in rows.values() if not row["failed"])
    return {source: (passed[source], measured[source]) for source in COUNTED if measured[source]}


def markdown(rows: Mapping[str, Row]) -> str:
    """The counts, every environment with its figures, and why others were not admitted."""
    lines = ["| source | admitted | measured |", "|---|---|---|"]
    for source, (passed, measured) in counts(rows).items():
        lines.append(f"| {COUNTED[source]} | {passed} | {measured} |")
    for source in counts(rows):
        members = {name: row for name, row in rows.items() if row["source"] == source}
        lines += ["", f"### {COUNTED[source]}", ""]
        lines += ["| environment | family | difficulties | guess | generate p99 | score p99 |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [_line(name, row) for name, row in members.items() if not row["failed"]]
        if any(row["failed"] for row in members.values()):
            lines += ["", "Not admitted:", ""]
            for name, row in members.items():
                if row["failed"]:
                    lines.append(f"- `{name}`: {'; '.join(row['failed'])}")
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- admission: written by zaya envs admit -->", "<!-- end of admission -->"


def show_in(page: Path, rows: Mapping[str, Row]) -> None:
    """Put the Markdown between the two marks of `page`, or make a page of it."""
    text = page.read_text() if page.is_file() else f"{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise EnvError(f"{page} does not say where the table goes", f"add {BEGIN} and {END} to it")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(rows)}\n{END}{after}")


def _line(name: str, row: Row) -> str:
    levels = row["levels"]
    top = row["max_difficulty"]
    cells = (
        f"`{name}`",
        row["family"],
        "any" if top is None else f"0 to {top}" if top else "one",
        " / ".join(f"{level['guess']:.0%}" for level in levels.values()),
        f"{max(level['generate_p99_ms'] for level in levels.values()):.1f} ms",
        f"{max(level['score_p99_ms'] for level in levels.values()):.1f} ms",
    )
    return f"| {' | '.join(cells)} |"
