"""Schedulers against simulated solvers with a logistic pass curve, and moves worked by hand."""

from __future__ import annotations

import json
import math
import random

import pytest

from openzaya.config.curriculum import CalibrationConfig, CurriculumConfig
from openzaya.rl.calibration import Calibrator
from openzaya.rl.curriculum import Curriculum

G = 16


def solver(mu: float, s: float, d: float) -> float:
    return 1 / (1 + math.exp((d - mu) / s))


def rolled(rng: random.Random, rate: float) -> list[float]:
    return [float(rng.random() < rate) for _ in range(G)]


def curriculum(kind: str, start: int = 0, most: int | None = None, **more: object) -> Curriculum:
    config = CurriculumConfig.model_validate({"kind": kind, **more})
    return Curriculum(config, {"a": start}, {"a": most}, {"a": 1.0})


def test_equation_11_by_hand() -> None:
    c = curriculum("zaya", 5)
    for difficulty, solved, then in [
        (5, 12, 6),  # 0.75 > 0.7
        (6, 11, 6),  # 0.6875
        (5, 16, 6),  # drawn before the move: says nothing of 6
        (6, 1, 6),
        (6, 0, 5),
        (6, 0, 5),  # again a late one
        (5, 0, 4),
    ]:
        c.record("a", difficulty, [1.0] * solved + [0.0] * (G - solved))
        assert c.levels["a"].difficulty == then, (difficulty, solved)


def test_a_late_failure_counts_only_where_asked() -> None:
    for anywhere, then in ((False, 5), (True, 4)):
        c = curriculum("zaya", 5, lower_anywhere=anywhere)
        c.record("a", 9, [0.0] * G)
        assert c.levels["a"].difficulty == then


def test_stays_within_its_ends() -> None:
    c = curriculum("zaya", 0, most=1)
    c.record("a", 0, [0.0] * G)
    assert c.levels["a"].difficulty == 0
    c.record("a", 0, [1.0] * G)
    c.record("a", 1, [1.0] * G)
    assert c.levels["a"].difficulty == 1


def test_rlve_needs_enough_groups_at_the_highest() -> None:
    c = curriculum("rlve", 3)
    for _ in range(20):
        c.record("a", 2, [1.0] * G)  # below the highest: no evidence
    for _ in range(7):
        c.record("a", 3, [1.0] * G)
    assert c.levels["a"].difficulty == 3
    c.record("a", 3, [0.0] * G)  # 7 of 8 solved: 0.875 < 0.9, and all counts begin anew
    assert (c.levels["a"].difficulty, c.levels["a"].trials) == (3, 0)
    for _ in range(8):
        c.record("a", 3, [1.0] * G)
    assert c.levels["a"].difficulty == 4
    drawn = {c.draw(random.Random(i))[1] for i in range(200)}
    assert drawn == {1, 2, 3, 4}


@pytest.mark.parametrize("kind", ["zaya", "rlve"])
def test_climbs_to_what_the_solver_can(kind: str) -> None:
    """zaya settles between its two thresholds, rlve where nine of ten are solved; a solver that
    cannot solve anything stays at 0: the control."""
    mu, s = 12.0, 1.5
    rng = random.Random(0)
    for able, low, high in ((mu, 8, 14), (-50.0, 0, 0)):
        c = curriculum(kind)
        seen = []
        for _ in range(1500):
            name, d = c.draw(rng)
            c.record(name, d, rolled(rng, solver(able, s, d)))
            seen.append(c.levels["a"].difficulty)
        assert low <= min(seen[-200:]) and max(seen[-200:]) <= high, (kind, seen[-200:])


def test_the_least_sampled_come_first() -> None:
    names = [f"e{i}" for i in range(8)]
    start, most = dict.fromkeys(names, 0), dict.fromkeys(names)
    c = Curriculum(CurriculumConfig(kind="zaya"), start, most, dict.fromkeys(names, 1.0))
    c.levels["e0"].drawn = 300
    rng = random.Random(1)
    drawn = [c.draw(rng)[0] for _ in range(400)]
    assert drawn.count("e0") < 10
    counts = [drawn.count(n) for n in names[1:]]
    assert max(counts) - min(counts) < 20  # independent draws would spread by about 40


def test_goes_on_from_its_state() -> None:
    a = curriculum("rlve", 2)
    rng = random.Random(2)
    for _ in range(50):
        name, d = a.draw(rng)
        a.record(name, d, rolled(rng, 0.95))
    b = curriculum("rlve", 0)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    one, two = random.Random(3), random.Random(3)
    for _ in range(50):
        assert a.draw(one) == b.draw(two)
        for c in (a, b):
            c.record("a", c.levels["a"].difficulty, [1.0] * G)
    assert a.state_dict() == b.state_dict()


@pytest.mark.parametrize("mu", [0.5, 4.0, 15.0, 30.0])
def test_calibration_finds_half(mu: float) -> None:
    s = 2.0
    errors = []
    for seed in range(6):
        c = Calibrator(CalibrationConfig(), seed)
        rng = random.Random(seed)
        for _ in range(24):
            d = c.propose()
            c.record(d, G, sum(map(int, rolled(rng, solver(mu, s, d)))))
        errors.append(c.estimate() - mu)
    assert abs(sum(errors) / len(errors)) < 1.5 and max(map(abs, errors)) < 4, errors


def test_calibration_of_the_impossible_and_the_trivial() -> None:
    rng = random.Random(0)
    for mu, check in ((-60.0, lambda d: d == 0), (60.0, lambda d: d > 25)):
        c = Calibrator(CalibrationConfig(), 1)
        for _ in range(32):
            d = c.propose()
            c.record(d, G, sum(map(int, rolled(rng, solver(mu, 2.0, d)))))
        assert check(c.estimate()), (mu, c.estimate())


def test_calibration_goes_on_from_its_state() -> None:
    a = Calibrator(CalibrationConfig(), 5)
    for k in (3, 9, 16, 0):
        a.record(a.propose(), G, k)
    b = Calibrator(CalibrationConfig(), 6)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    for k in (8, 8, 2):
        d = a.propose()
        assert d == b.propose()
        a.record(d, G, k)
        b.record(d, G, k)
    assert a.estimate() == b.estimate() and a.pass_rate(7) == b.pass_rate(7)
