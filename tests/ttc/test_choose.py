"""One answer from many: the selections, and what stands in when there is little to choose from."""

from __future__ import annotations

import math
from typing import Any

import pytest

from openzaya.config.rsa import RSAConfig
from openzaya.ttc import Candidate, Tokens
from openzaya.ttc.choose import choose


def candidate(round_: int, slot: int, response: str | None, tail: str = "") -> Candidate:
    return Candidate(
        round_, slot, (), 0, "stop", response, response, response, "", tail, Tokens()
    )  # fmt: skip


def populations(*rounds: str) -> list[list[Candidate | None]]:
    """A letter an answer; "-" has none, "x" failed."""
    return [
        [None if a == "x" else candidate(t, s, None if a == "-" else a) for s, a in enumerate(row)]
        for t, row in enumerate(rounds)
    ]


def config(**changes: Any) -> RSAConfig:
    return RSAConfig(**({"population": 4, "candidates": 2, "rounds": 1} | changes))


@pytest.mark.parametrize(
    ("rounds", "answer", "where"),
    [
        (("aaaa", "abbc"), "b", "1.1"),
        (("aaaa", "baab"), "b", "1.0"),  # a tie: the earliest slot
        (("aaaa", "---c"), "c", "1.3"),  # whole: any vote counts
        (("aaaa", "xxxc"), "a", "0.0"),  # stopped early in round 1: one vote is not enough
        (("aaaa", "xxbc"), "b", "1.2"),  # two are
        (("a-b-", "----"), "a", "0.0"),
        (("a---", "xxxb"), "b", "1.3"),  # never enough: most, and of equals the latest
        (("ab--", "xxxb"), "a", "0.0"),
    ],
)
def test_the_last_round_with_enough_votes_decides(
    rounds: tuple[str, ...], answer: str, where: str
) -> None:
    made = choose(config(), "p1", populations(*rounds))
    assert made.chosen is not None
    assert (made.answer, made.chosen.id, made.response) == (answer, where, answer)


def test_votes_and_agreement_are_those_of_the_deciding_round() -> None:
    made = choose(config(), "p1", populations("aaaa", "cb-b"))
    assert (made.votes, list(made.votes), made.agreement) == ({"b": 2, "c": 1}, ["b", "c"], 0.5)


def test_uniform_draws_among_answers_whatever_their_number() -> None:
    cfg = config(selection="uniform")
    drawn = [choose(cfg, str(i), populations("aaaa", "bb-c")).chosen for i in range(300)]
    shares = [sum(c is not None and c.slot == s for c in drawn) for s in range(4)]
    assert shares[2] == 0 and all(70 < shares[s] < 130 for s in (0, 1, 3))
    assert choose(cfg, "7", populations("aaaa", "bb-c")).chosen == drawn[7]


def test_best_takes_the_verifier_at_its_word() -> None:
    def score(c: Candidate) -> float:
        return {"a": math.nan, "b": 1.0, "c": 1.0}[c.vote or ""]

    made = choose(config(selection="best", rounds=0), "p1", populations("aacb"), (), score)
    assert made.chosen is not None and made.chosen.id == "0.2", "the earliest of equals, never NaN"


def test_what_stands_in_for_a_vote() -> None:
    none = candidate(0, 0, None, "so \\boxed{5} or <answer>6</answer>")
    said = Candidate(0, 1, (), 0, "stop", " words ", None, None, "", "", Tokens())
    cfg = config(rounds=0, population=2)
    first = choose(cfg, "p1", [[none, said]], ["\\boxed{8}"])
    assert (first.answer, first.response, first.chosen) == ("words", " words ", said)
    second = choose(cfg, "p1", [[none, None]], ["\\boxed{8}"])
    assert (second.answer, second.chosen) == ("6", none)
    third = choose(cfg, "p1", [[None, None]], ["hm", "\\boxed{8}"])
    assert (third.answer, third.response, third.chosen) == ("8", "8", None)
    assert choose(cfg, "p1", [[None, None]], ["hm"]).answer is None
