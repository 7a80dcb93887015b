"""Arithmetic: every judge against an enumeration of answers, or another way to compute."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import arithmetic, quantities

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def right_if(texts, rule):
    return [(text, 0.0 if rule(text) else None) for text in texts]


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 12))
def test_nested_expression(seed, difficulty, enumerated, drawn):
    env = arithmetic.NestedExpression()
    p = drawn(env, seed, difficulty)
    value = eval(re.sub(r"\d+", r"Fraction(\g<0>)", p["text"]))  # our own text
    others = {value + 1, -value, value * 2 + 1, value + Fraction(1, 97), Fraction(0)} - {value}
    doubled = f"{2 * value.numerator}/{2 * value.denominator}"
    table = [(str(v), None) for v in others]
    enumerated(env, p, [(str(value), 0.0), (doubled, 0.0), *table])


@FEW
@given(base=st.integers(3, 16), a=st.integers(1, 10**6), b=st.integers(1, 10**6))
def test_base_product(base, a, b, enumerated):
    def digits(n):
        return [*digits(n // base), n % base] if n >= base else [n]

    def text(n):
        return "".join("0123456789ABCDEF"[d] for d in digits(n))

    p = {"base": base, "factors": [digits(a), digits(b)]}
    wrong = [text(n) for n in (a, b, a * b + 1, a * b - 1, a + b, 0) if n != a * b]
    right = [text(a * b), text(a * b).lower(), "0" + text(a * b)]
    table = [*((t, None) for t in wrong), *((t, 0.0) for t in right)]
    enumerated(arithmetic.BaseProduct(), p, [*table, ("Z", None), (text(a * b) + ".0", None)])


@FEW
@given(planted=st.sets(st.integers(2, 9), min_size=2, max_size=3))
def test_egyptian_fractions(planted, enumerated):
    total = sum(Fraction(1, d) for d in planted)
    p = {"total": str(total), "largest": 9, "planted": sorted(planted)}

    def right(said):
        inside = len(set(said)) == len(planted) and all(2 <= d <= 9 for d in said)
        return inside and abs(sum(1 / d for d in said) - float(total)) < 1e-12

    every = product(range(-1, 11), repeat=len(planted))
    table = [(", ".join(map(str, s)), 0.0 if right(s) else None) for s in every]
    enumerated(arithmetic.EgyptianFractions(), p, [*table, ("3", None), ("2, 3, 4, 5", None)])


def trees(numbers):
    """(text, value) of every expression in these numbers, in this order."""
    if len(numbers) == 1:
        yield str(numbers[0]), Fraction(numbers[0])
    for cut in range(1, len(numbers)):
        for (a, x), (b, y) in product(trees(numbers[:cut]), trees(numbers[cut:])):
            known = x is not None and y is not None
            yield f"({a} + {b})", x + y if known else None
            yield f"({a} - {b})", x - y if known else None
            yield f"({a}*{b})", x * y if known else None
            yield f"({a} / {b})", x / y if known and y else None


@settings(max_examples=8, deadline=None, derandomize=True)
@given(numbers=st.lists(st.integers(1, 9), min_size=3, max_size=3), pick=st.integers(0, 10**6))
def test_target_expression(numbers, pick, enumerated):
    every = [tree for order in set(permutations(numbers)) for tree in trees(order)]
    whole = sorted({v for _, v in every if v is not None and v.denominator == 1})
    target = int(whole[pick % len(whole)])
    planted = next(text for text, value in every if value == target)
    p = {"numbers": numbers, "target": target, "planted": planted}
    table = {text: 0.0 if value == target else None for text, value in every}
    fewer = [text for text, value in trees(numbers[:2])]
    more = [text for text, value in trees([*numbers, 1])]
    junk = [
        str(target),
        "1**2",
        "9//2",
        "__import__('os')",
        "()",
        "1 + + ",
        f"{planted} = {target}",
    ]
    table |= dict.fromkeys([*fewer, *more[:50], *junk])
    enumerated(arithmetic.TargetExpression(), p, table.items())


@FEW
@given(
    ratios=st.lists(st.integers(2, 4), min_size=2, max_size=2),
    raw=st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=2),
    times=st.integers(1, 2),
)
def test_mixed_radix_sum(ratios, raw, times, enumerated):
    amounts = [[times, list(amount)] for amount in raw]
    r, s = ratios
    worth = [r * s, s, 1]
    total = sum(times * sum(n * w for n, w in zip(a, worth, strict=True)) for a in raw)

    def right(said):
        return (
            sum(n * w for n, w in zip(said, worth, strict=True)) == total
            and said[1] in range(r)
            and said[2] in range(s)
        )

    every = product(range(30), range(-1, 6), range(-1, 6))
    table = [(", ".join(map(str, said)), 0.0 if right(said) else None) for said in every]
    assert (
        enumerated(arithmetic.MixedRadixSum(), {"ratios": ratios, "amounts": amounts}, table) == 1
    )


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 10))
def test_weekday_clock(seed, difficulty, enumerated, drawn):
    env = quantities.WeekdayClock()
    p = drawn(env, seed, difficulty)
    now = datetime(2024, 1, 1) + timedelta(seconds=p["start"])  # a Monday
    for sign, parts in p["moves"]:
        names = ("days", "hours", "minutes", "seconds")
        now += sign * sum((timedelta(**{names[u]: n}) for n, u in parts), timedelta())
    right = f"{now:%A %H:%M:%S}"
    near = [now + timedelta(seconds=s) for s in (1, -1, 60, 3600, 43200, 86400, -86400)]
    wrong = [f"{other:%A %H:%M:%S}" for other in near] + [f"{now:%A %H:%M}", f"{now:%H:%M:%S}"]
    alike = [right.lower(), right.replace(" ", ", ", 1), f" {right}. "]
    enumerated(env, p, [(t, None) for t in wrong] + [(t, 0.0) for t in [right, *alike]])


@FEW
@given(start=st.fractions(1, 20, max_denominator=4), seed=SEEDS, difficulty=st.integers(0, 4))
def test_percent_chain(start, seed, difficulty, enumerated, drawn):
    env = quantities.PercentChain()
    p = drawn(env, seed, difficulty)
    end = start
    for percent, litres in p["steps"]:
        end = end * (100 + percent) / 100 + litres
    p["end"] = str(end)
    every = {Fraction(n, d) for n in range(1, 81) for d in range(1, 5)}
    enumerated(env, p, [(str(x), 0.0 if x == start else None) for x in every])


def expanded(whole, fixed, period):
    """The first 60 digits behind the point, as a number."""
    return Fraction(int(whole + (fixed + (period or "0") * 60)[:60]), 10**60)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(below=st.sampled_from([2, 3, 6, 7, 11, 12, 15, 25, 90]), above=st.integers(1, 60))
def test_repeating_decimal(below, above, enumerated):
    number = Fraction(above, below)
    p = {"above": number.numerator, "below": number.denominator}
    env = quantities.RepeatingDecimal()
    blocks = ["", *(f"{n:0{w}}" for w in (1, 2) for n in range(10**w))]
    spelled = {(str(above // below), fixed, period) for fixed in blocks[:31] for period in blocks}
    spelled |= {
        ("0", "9", "9"),
        (str(above // below), "", "142857"),
        (str(above // below), "1", "6"),
    }
    table = {}
    for whole, fixed, period in spelled:
        text = f"{whole}.{fixed}({period})" if period else f"{whole}.{fixed}"
        near = abs(expanded(whole, fixed, period) - number) < Fraction(1, 10**50)
        table[text] = 0.0 if near else None
    solved = re.fullmatch(r"(\d+)(?:\.(\d*)(?:\((\d+)\))?)?", env.solve(p))
    off = expanded(solved[1], solved[2] or "", solved[3] or "") - number
    table[env.solve(p)] = 0.0 if abs(off) < Fraction(1, 10**50) else None
    enumerated(env, p, table.items())


@FEW
@given(above=st.integers(1, 40), below=st.integers(1, 15))
def test_continued_fraction(above, below, enumerated):
    number = Fraction(above, below)

    def value(terms):
        if len(terms) == 1:
            return Fraction(terms[0])
        rest = value(terms[1:])
        return terms[0] + 1 / rest if rest else None

    def right(terms):
        return all(t >= 1 for t in terms[1:]) and value(terms) == number

    env = quantities.ContinuedFraction()
    p = {"number": str(number), "terms": 6}
    every = [t for n in range(1, 5) for t in product(range(-1, 5), repeat=n)]
    every.append(tuple(map(int, env.solve(p).split(","))))
    last = every[-1]
    every.append((*last[:-1], last[-1] - 1, 1))
    table = {", ".join(map(str, t)): 0.0 if right(t) else None for t in every}
    assert enumerated(env, p, table.items()) == 2  # [...; a] and [...; a - 1, 1]
