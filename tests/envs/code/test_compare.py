"""What counts as the expected answer, and what only looks like it."""

from __future__ import annotations

import math

import pytest

from openzaya.envs.code.compare import agrees, same, same_tokens
from openzaya.envs.sandbox import Run, Status

DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("expected", "got", "equal", "exact"),
    [
        (5, 5, True, True),
        (1, True, True, False),
        (1, 1.0, True, False),
        ([1], (1,), False, False),
        ("1", 1, False, False),
        (0.0, -0.0, True, False),
        (float("nan"), float("nan"), False, False),
        (math.inf, math.inf, True, True),
        (10**400, 10**400, True, True),
        (10**400, 10**400 + 1, False, False),
        ({1: 2}, {1: 2}, True, True),
        ({1, 2}, {2, 1}, True, True),
        (None, 0, False, False),
        ([], None, False, False),
        (10**309, 1e308, False, False),
        ([1], DEEP, False, False),
    ],
)
def test_values(expected: object, got: object, equal: bool, exact: bool) -> None:
    assert same(expected, got, "equal") is equal
    assert same(expected, got, "exact") is exact


def test_close() -> None:
    assert same([0.1 + 0.2], [0.3], "close")
    assert same(1.0, 1, "close")
    assert not same(1.0, 1.001, "close")
    assert not same(1.0, True, "close")
    assert not same(1.0, float("nan"), "close")


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        (b"1 2\n", b"1 2", True),
        (b"1 2\n", b"1\n2\n\n", True),
        (b"1 2", b"12", False),
        (b"5", "٥".encode(), False),
        (b"5", b"5.0", False),
        (b"5", b"+5", False),
        (b"0.5", b"0.50000001", True),
        (b"0.5", b"0.51", False),
        (b"0.5", b"nan", False),
        (b"0.5", b"1_0", False),
        (b"yes", b"YES", False),
        (b"", b"", True),
        (b"5", b"5 ALL TESTS PASSED", False),
        (b"5", b"\xff\xfe5", False),
        (b"0.5", b"." * 10_000, False),
    ],
)
def test_tokens(expected: bytes, got: bytes, right: bool) -> None:
    assert same_tokens(expected, got) is right


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_a_run_that_ended_badly_is_never_right(status: Status) -> None:
    bad = Run(status, stdout=b"5", value=5, returned=True)
    assert not agrees(5, bad, "equal")
    assert not agrees("5", bad, "tokens")
    assert not agrees(5, Run(Status.OK, value=5), "equal")  # nothing was returned
    assert agrees(5, Run(Status.OK, value=5, returned=True), "equal")
