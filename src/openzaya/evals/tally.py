"""From the samples of a log to numbers: what was right, how sure that is, and what is missing.

A score is the mean over problems of the mean over a problem's draws. What has no verdict (a sample
that failed, a rollout that was lost, a verifier that broke) is never in it; it is named and
counted, and the score stands between two bounds: all of that wrong, all of that right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from openzaya.evals.stats import (
    Estimate,
    avg_at_k,
    cluster_bootstrap,
    even_interval,
    maj_at_k,
    pass_at_k,
)
from openzaya.evals.tasks.spec import Item, TaskSpec
from openzaya.types import Outcome

QUESTION, NAMED = 4000, 20
"""Characters of a question that are kept; failures that are named."""


class LoggedSample(Protocol):
    """What is read of inspect's EvalSample."""

    id: Any
    epoch: Any
    error: Any
    scores: Any
    total_time: Any


@dataclass(slots=True)
class ProblemRow:
    """One problem: its draws by epoch, in order."""

    id: str
    question: str
    target: str
    draws: list[dict[str, Any]] = field(default_factory=list)
    votes: list[dict[str, Any]] = field(default_factory=list)
    """Markovian RSA: the answer that each run gives."""
    rounds: list[list[float | None]] = field(default_factory=list)
    written: int = 0
    read: int = 0
    cached: int = 0
    runs: int = 0
    """Samples that ended well."""
    seconds: float = 0.0

    @property
    def rewards(self) -> list[float]:
        return [d["reward"] for d in self.draws]

    @property
    def answers(self) -> list[str | None]:
        return [d["answer"] for d in self.draws]


@dataclass(slots=True)
class Tally:
    """One task under one method."""

    name: str
    facts: dict[str, Any]
    epochs: int
    graded: bool
    problems: list[ProblemRow]
    failures: list[dict[str, Any]]
    """Samples without a verdict: id, epoch, why. Those that were never begun are among them."""
    lost: int
    """Draws without a verdict inside samples that have one."""

    @property
    def whole(self) -> bool:
        return not self.failures and not self.lost

    @property
    def scored(self) -> list[ProblemRow]:
        return [p for p in self.problems if p.draws]

    @property
    def _dependent(self) -> bool:
        """Draws that are no independent samples of right or wrong: members of one population have
        read each other."""
        return self.graded or any(p.votes for p in self.problems)

    def to_json(self) -> dict[str, Any]:
        rows = self.scored
        draws = [d for p in rows for d in p.draws]
        return {
            **self.facts,
            "epochs": self.epochs,
            "graded": self.graded,
            "n_problems": len(self.problems),
            "n_scored": len(rows),
            "n_draws": len(draws),
            "whole": self.whole,
            "failed_samples": len(self.failures),
            "lost_draws": self.lost,
            "failures": self.failures[:NAMED],
            "score": self._score(),
            "pass": self._pass(),
            "majority": self._majority(),
            "vote": self._vote(),
            "rounds": self._rounds(),
            "truncated": _share([d["cut"] for d in draws]),
            "unparseable": _share([d["outcome"] == Outcome.UNPARSEABLE for d in draws]),
            "outcomes": dict(Counter(d["outcome"] for d in draws)),
            "tokens": {
                "written": sum(p.written for p in rows), "read": sum(p.read for p in rows),
                "cached": sum(p.cached for p in rows),
                "written_per_run": _ratio(sum(p.written for p in rows), sum(p.runs for p in rows)),
            },
            "sample_seconds": sum(p.seconds for p in rows),
            "problems": [asdict(p) for p in self.problems],
        }  # fmt: skip

    def _score(self) -> dict[str, Any] | None:
        """Also the standard error of independent draws, to be seen beside the right one."""
        rows = self.scored
        if not rows:
            return None
        means = [[float(np.mean(p.rewards))] for p in rows]
        flat = np.array([r for p in rows for r in p.rewards])
        plain = float(flat.std(ddof=1)) / math.sqrt(len(flat)) if len(flat) > 1 else math.nan
        return estimated(avg_at_k(means), means) | {
            "plain_stderr": _finite(plain),
            "bounds": self._bounds(),
        }

    def _bounds(self) -> list[float]:
        """The score with everything that is missing wrong, and with all of it right."""
        missing = Counter(f["id"] for f in self.failures)
        low, high = [], []
        for p in self.problems:
            per_run = len(p.draws) / p.runs if p.runs else 1.0
            gone = missing[p.id] * max(per_run, 1.0) + sum(d.get("gone", 0) for d in p.draws)
            total = len(p.draws) + gone
            right = sum(p.rewards)
            low.append(right / total if total else 0.0)
            high.append((right + gone) / total if total else 1.0)
        return [float(np.mean(low)), float(np.mean(high))]

    def _pass(self) -> dict[str, Any]:
        """pass@k for powers of two, where every problem has equally many draws."""
        rows = self.scored
        n = min((len(p.draws) for p in rows), default=0)
        if self._dependent or not self.whole or n < 2:
            return {}
        correct = [p.rewards[:n] for p in rows]
        ks = [2**i for i in range(1, n.bit_length()) if 2**i <= n]
        return {
            str(k): {"mean": e.mean, "stderr": _finite(e.standard_error) or None}
            for k in ks
            for e in [pass_at_k(correct, k)]
        }

    def _majority(self) -> dict[str, Any] | None:
        """maj@k over a problem's draws; k is their number."""
        rows = self.scored
        n = min((len(p.draws) for p in rows), default=0)
        if self._dependent or not self.whole or n < 2:
            return None
        answers = [p.answers[:n] for p in rows]
        made = maj_at_k(answers, [p.rewards[:n] for p in rows])
        return {"k": n, "mean": made.mean, "stderr": _finite(made.standard_error) or None}

    def _vote(self) -> dict[str, Any] | None:
        """Markovian RSA: how often the chosen answer is right."""
        rows = [p for p in self.scored if p.votes]
        if not rows:
            return None
        means = [[float(np.mean([v["reward"] for v in p.votes]))] for p in rows]
        return estimated(avg_at_k(means), means)

    def _rounds(self) -> list[float]:
        """Mean correctness of the population after each round; problems count alike."""
        per_problem = [
            np.nanmean(
                np.array([[math.nan if v is None else v for v in run] for run in p.rounds]), 0
            )
            for p in self.scored
            if p.rounds
        ]
        if not per_problem or len({len(r) for r in per_problem}) != 1:
            return []
        return [float(v) for v in np.nanmean(np.array(per_problem), 0)]


def tally(
    task: TaskSpec,
    items: Sequence[Item],
    epochs: int,
    samples: Sequence[LoggedSample],
    facts: dict[str, Any],
) -> Tally:
    """Count the samples of a log against all that should be there."""
    rows = {i.id: ProblemRow(i.id, i.question[:QUESTION], i.target[:QUESTION]) for i in items}
    found = {(str(s.id), int(s.epoch)): s for s in samples}
    failures, lost = [], 0
    for item in items:
        for epoch in range(1, epochs + 1):
            sample = found.get((item.id, epoch))
            why = _failure(sample)
            if why is not None or sample is None:
                failures.append({"id": item.id, "epoch": epoch, "why": why or "missing"})
            else:
                lost += _add(rows[item.id], sample)
    return Tally(task.name, facts, epochs, task.graded, list(rows.values()), failures, lost)


def _failure(sample: LoggedSample | None) -> str | None:
    """Why a sample has no verdict; None if it has one."""
    if sample is None:
        return "it was never run"
    if sample.error is not None:
        # inspect writes the request in front of what the endpoint said, as Python shows a string.
        said = str(sample.error.message).rpartition("\\n}\\n\\n")[2]
        return " ".join(said.split())[-300:]
    if not sample.scores:
        return "it was not scored"
    return None


def _add(row: ProblemRow, sample: LoggedSample) -> int:
    """Take a sample over; returns its draws without a verdict."""
    (score,) = sample.scores.values()
    run, draws = score.metadata["run"], score.metadata["draws"]
    valid = [d | {"epoch": sample.epoch} for d in draws if d["outcome"] != Outcome.VERIFIER_ERROR]
    lost = run["lost"] + len(draws) - len(valid)
    if lost and valid:
        valid[-1]["gone"] = lost
    row.draws += valid
    row.runs += 1
    row.written += run["written"]
    row.read += run["read"]
    row.cached += run["cached"]
    row.seconds += sample.total_time or 0.0
    if "chosen" in run:
        row.votes.append(run["chosen"] | {"written": run["written"]})
        row.rounds.append(run["rounds"])
    return lost


def estimated(estimate: Estimate, values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """A mean with its standard error and its 95% interval, both over problems. Where all problems
    are alike there is no spread to go by: no error, and an interval by their number alone."""
    n, mean = len(values), estimate.mean
    if len({row[0] for row in values}) == 1:
        found = even_interval(mean, n)
        return {"mean": mean, "stderr": None, "interval": None if found is None else list(found)}
    return {
        "mean": mean, "stderr": _finite(estimate.standard_error),
        "interval": list(cluster_bootstrap(values)),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    """JSON has no NaN: the error of a single problem is not known."""
    return value if math.isfinite(value) else None


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if flags else 0.0


def _ratio(a: int, b: int) -> float:
    return a / b if b else 0.0
