"""The page of evaluations: small, offline, honest about gaps, and its comparisons by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from openzaya.errors import RunError
from openzaya.evals.scorers import mathematics
from openzaya.evals.tally import tally
from openzaya.evals.tasks import TASKS
from openzaya.report import published, write_reports
from openzaya.report.compare import compare


class Sample:
    """What the tally reads of inspect's samples."""

    def __init__(self, id_: str, epoch: int, rewards: list[float], **run: Any) -> None:
        self.id, self.epoch, self.error, self.total_time = id_, epoch, None, 1.0
        draws = [
            {"answer": "7" if r else "8", "outcome": "correct" if r else "wrong", "reward": r,
             "reason": "", "said": "<script>alert(1)</script>", "cut": False, "written": 100}
            for r in rewards
        ]  # fmt: skip
        totals = {"written": 100 * len(rewards), "read": 10, "cached": 0, "lost": 0} | run
        self.scores = {"s": type("S", (), {"metadata": {"draws": draws, "run": totals}})}


def result(samples: list[Any], epochs: int, method: str = "single", n: int = 4) -> dict[str, Any]:
    task = TASKS["aime26"]
    items = task.items([{"problem": f"p{i}", "answer": 7, "id": i} for i in range(n)])
    facts = {
        "published": "AIME'26", "digest": "d", "origin": "o", "notes": [], "temperature": 1.0,
        "top_p": 0.95, "top_k": 0, "max_tokens": 100, "method": method, "log": "l", "kind": "math",
        "rsa": {k: 1 for k in ("T", "N", "C", "beta", "tau")},
    }  # fmt: skip
    made = tally(task, items, epochs, samples, facts)
    return {"model": "m", "method": method, "seconds": 1.0, "environment": {"commit": "c"},
            "tasks": {"aime26": made.to_json()}}  # fmt: skip


def single() -> dict[str, Any]:
    """Of four problems: 1, 1/2, 0 and 0 of two samples."""
    rows = [[1, 1], [1, 0], [0, 0], [0, 0]]
    return result([Sample(str(i), e + 1, [float(v)]) for i, r in enumerate(rows)
                   for e, v in enumerate(r)], 2)  # fmt: skip


def reasoned() -> dict[str, Any]:
    chosen = {"answer": "7", "reward": 1.0, "outcome": "correct", "reason": "", "said": ""}
    return result([
        Sample(str(i), 1, [1.0, float(i < 2)], chosen=chosen, rounds=[0.5, 0.75], written=150)
        for i in range(4)
    ], 1, "light")  # fmt: skip


def save(folder: Path, run: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps(run))
    return folder


def test_a_tally_by_hand() -> None:
    task = single()["tasks"]["aime26"]
    assert task["score"]["mean"] == pytest.approx(3 / 8)
    assert task["pass"]["2"]["mean"] == pytest.approx(0.5)
    assert task["majority"]["mean"] == pytest.approx(0.5), "ties go to the earliest"
    assert task["tokens"]["written"] == 800 and task["whole"]


def test_what_is_missing_is_counted_and_bounds_the_score() -> None:
    failed = Sample("1", 1, [1.0])
    failed.error = type("E", (), {"message": "no room"})
    task = result([Sample("0", 1, [1.0]), failed, Sample("2", 1, [0.0])], 1)["tasks"]["aime26"]
    assert task["n_scored"] == 2 and not task["whole"] and task["failed_samples"] == 2
    assert [f["why"] for f in task["failures"]] == ["no room", "it was never run"]
    assert task["score"]["mean"] == 0.5 and task["score"]["bounds"] == [0.25, 0.75]
    assert task["pass"] == {} and task["majority"] is None
    nothing = result([], 1)["tasks"]["aime26"]
    assert nothing["score"] is None and nothing["failed_samples"] == 4


def test_a_lost_verdict_is_no_wrong_answer() -> None:
    sample = Sample("0", 1, [1.0, 0.0, 0.0])
    sample.scores["s"].metadata["draws"][2]["outcome"] = "verifier-error"
    task = result([sample], 1, n=1)["tasks"]["aime26"]
    assert task["score"]["mean"] == 0.5 and task["lost_draws"] == 1 and not task["whole"]
    assert task["score"]["bounds"] == pytest.approx([1 / 3, 2 / 3])


def test_comparisons_by_hand() -> None:
    mean, matched = compare([("rsa", reasoned()), ("one", single())])
    # Problem means 1, 1, 1/2, 1/2 against 1, 1/2, 0, 0.
    assert mean.gap == pytest.approx(0.375) and mean.problems == 4
    # 150 tokens pay for one rollout of 100: its answers are 1, 1, 0, 0; the run's all right.
    assert matched.gap == pytest.approx(0.5) and matched.tokens == (150.0, 100.0)
    other = single()
    other["tasks"]["aime26"]["digest"] = "e"
    assert compare([("a", single()), ("b", other)]) == [], "other questions are not compared"


def test_the_page(tmp_path: Path) -> None:
    folders = [save(tmp_path / "one", single()), save(tmp_path / "rsa", reasoned())]
    page = write_reports(folders, tmp_path / "page")
    text = page.read_text()
    assert len(text) < 2_000_000 and "http://" not in re.sub(r'xmlns[:\w]*="[^"]*"', "", text)
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert '<span class="pub">89.1</span>' in text and "37.5 ± " in text
    markdown = (tmp_path / "page" / "report.md").read_text()
    assert "[89.1]" in markdown and "not measured" in markdown
    row = next(line for line in markdown.splitlines() if line.startswith("| AIME'26"))
    assert row.split("|")[2].strip().startswith("37.5"), "measured first, without brackets"


def test_many_long_problems_stay_below_two_megabytes(tmp_path: Path) -> None:
    task = TASKS["aime26"]
    run = single()
    p = run["tasks"]["aime26"]["problems"][0]
    p["question"] = p["target"] = "<" * 4000
    p["draws"] = [d | {"said": "<&" * 300, "answer": "<" * 1000} for d in p["draws"]] * 32
    run["tasks"]["aime26"]["problems"] = [p | {"id": str(i)} for i in range(400)]
    assert task.judge is mathematics
    page = write_reports([save(tmp_path / "big", run)], None)
    assert page.stat().st_size < 2_000_000


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(RunError, match="has not come to its end"):
        write_reports([save(tmp_path / "one", single()), tmp_path / "x"], None)


def test_published_tables_are_whole() -> None:
    assert all(len(row) == len(published.MAIN_COLUMNS) for row in published.MAIN.values())
    assert all(len(row) == len(published.LARGER_COLUMNS) for row in published.LARGER.values())
    named = {t.published for t in TASKS.values() if t.published}
    assert named - {"AIME'25", "HMMT'25"} <= published.MAIN.keys()
