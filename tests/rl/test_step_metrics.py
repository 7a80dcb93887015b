"""A step of two small groups, counted by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from openzaya.rl.step_metrics import Judged, staleness_histogram, step_metrics
from openzaya.types import Completion, FinishReason, Outcome, Score

V = 200


def completion(tokens: list[int], versions: list[int], cut: bool = False) -> Completion:
    reason = FinishReason.LENGTH if cut else FinishReason.STOP
    return Completion(
        np.array([1]), np.array(tokens), np.full(len(tokens), -1.0), np.array(versions), reason,
        "", "", None,
    )  # fmt: skip


def score(outcome: Outcome, format_ok: bool = True) -> Score:
    return Score(float(outcome is Outcome.CORRECT), outcome, format_ok)


RIGHT, WRONG = Outcome.CORRECT, Outcome.WRONG
GROUPS = [
    Judged("sums", [
        completion([10, 20], [5, 5]), completion([10, 199], [3, 4]),
        completion([10] * 4, [4, 4, 5, 5], cut=True), completion([181] * 8, [5] * 8),
    ], [score(RIGHT), score(WRONG), score(Outcome.UNPARSEABLE, False), score(WRONG)]),
    Judged("words", [completion([1], [5]) for _ in range(4)], [score(RIGHT)] * 4),
]  # fmt: skip


def test_by_hand() -> None:
    m = step_metrics(GROUPS, vocab_size=V, version=6, waited={"trainer": 1.5})
    assert (m["groups"], m["rollouts"]) == (2, 8)
    assert m["response_tokens"] == 20 / 8
    assert m["response_p50"] == 1.5 and m["response_p90"] == pytest.approx(5.2)
    assert m["truncated"] == 1 / 8 and m["format_ok"] == 7 / 8
    assert m["reward"] == 5 / 8 and m["reward_by_source"] == {"sums": 0.25, "words": 1.0}
    assert (m["all_wrong"], m["all_right"]) == (0, 1)
    assert m["outcomes"] == {"correct": 5, "unparseable": 1, "wrong": 2}
    # 1 of 4 right: 1/4, 1 - C(3,2)/C(4,2) = 1/2, 1; all of 4: 1
    assert m["pass_at"] == pytest.approx({"1": 0.625, "2": 0.75, "4": 1.0})
    # of 20 tokens 9 are at 180 or above, 1 at 190 or above
    assert m["rare_tokens"] == {"10": 9 / 20, "5": 1 / 20, "2": 1 / 20, "1": 1 / 20}
    assert m["waited"] == {"trainer": 1.5}
    json.dumps(m, allow_nan=False)


def test_staleness_has_two_parts() -> None:
    done = [c for g in GROUPS for c in g.completions]
    assert staleness_histogram(done, 6) == {
        "total": {"1": 6, "2": 1, "3": 1},
        "in_flight": {"0": 6, "1": 2},
        "queue": {"1": 7, "2": 1},
    }
    for c in done:  # the parts add up
        (total,), (a,), (b,) = (
            staleness_histogram([c], 6)[k] for k in ("total", "in_flight", "queue")
        )
        assert int(total) == int(a) + int(b)


def test_rewards_may_differ_from_verdicts() -> None:
    """A canary took a reward; pass@k is about verdicts."""
    zeroed = dataclasses.replace(GROUPS[1], rewards=[0.0, 1.0, 1.0, 1.0])
    m = step_metrics([zeroed], vocab_size=V, version=6)
    assert m["reward"] == 0.75 and m["pass_at"]["1"] == 1.0


def test_loops_and_gibberish_are_counted() -> None:
    loop = completion([7] * 2000, [5] * 2000)
    noise = completion([150], [5])
    noise.logprobs[:] = -math.log(V) - 3
    m = step_metrics(
        [Judged("t", [loop, noise], [score(WRONG)] * 2)], vocab_size=V, version=5,
        gibberish_above=100,
    )  # fmt: skip
    assert m["degenerate"] == 0.5 and m["gibberish"] == 0.5
    assert m["compressibility_min"] < 0.05
    assert step_metrics(GROUPS, vocab_size=V, version=6, gibberish_above=100)["gibberish"] == 0


def test_nothing_to_count() -> None:
    assert step_metrics([], vocab_size=V, version=0) == {}
    empty = Judged("t", [completion([], [])] * 2, [score(WRONG)] * 2)
    m = step_metrics([empty], vocab_size=V, version=0)
    assert m["response_tokens"] == 0 and m["staleness"]["total"] == {}
