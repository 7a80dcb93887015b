"""Algebra: every judge against an enumeration of answers, or another way to compute."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import algebra, polynomials

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)
SMALL = st.integers(-3, 3)


def commas(values):
    return ", ".join(map(str, values))


@FEW
@given(x=st.tuples(SMALL, SMALL), matrix=st.tuples(*[SMALL] * 4), below=st.integers(1, 2))
def test_linear_system(x, matrix, below, enumerated):
    a, b, c, d = matrix
    assume(a * d != b * c)
    rows = [
        [below * a, below * b, a * x[0] + b * x[1]],
        [below * c, below * d, c * x[0] + d * x[1]],
    ]
    halves = [Fraction(n, d) for n in range(-4, 5) for d in (1, 2)]
    wanted = (Fraction(x[0], below), Fraction(x[1], below))
    table = {commas(s): 0.0 if s == wanted else None for s in product(halves, repeat=2)}
    enumerated(algebra.LinearSystem(), {"rows": rows}, table.items())


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 10))
def test_linear_system_is_regular(seed, difficulty, drawn):
    rows = np.array(drawn(algebra.LinearSystem(), seed, difficulty)["rows"], dtype=float)
    assert np.linalg.matrix_rank(rows[:, :-1]) == len(rows)


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 12))
def test_quadratic_inequalities(seed, difficulty, enumerated, drawn):
    env = algebra.QuadraticInequalities()
    p = drawn(env, seed, difficulty)

    def holds(x):
        values = ((a * x * x + b * x + c, sign) for a, b, c, sign in p["system"])
        return all(value >= 0 if sign > 0 else value <= 0 for value, sign in values)

    found = [x for x in range(-500, 501) if holds(x)]
    right = (len(found), sum(found))
    near = {(right[0] + i, right[1] + j) for i in (-1, 0, 1) for j in (-3, -1, 0, 1, 4)}
    near |= {(right[1], right[0]), (0, 0)}
    enumerated(env, p, [(commas(pair), 0.0 if pair == right else None) for pair in near])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(functions=st.lists(st.tuples(*[st.integers(-2, 2)] * 4), min_size=1, max_size=2))
def test_moebius_composition(functions, enumerated):
    assume(all(a * d != b * c for a, b, c, d in functions))

    def applied(f, x):
        a, b, c, d = f
        return (a * x + b) / (c * x + d) if x is not None and c * x + d else None

    images = []
    for x in map(Fraction, range(3, 30)):
        y = x
        for f in reversed(functions):
            y = applied(f, y)
        if y is not None:
            images.append((x, y))

    def right(f):
        return f[0] * f[3] != f[1] * f[2] and all(applied(f, x) == y for x, y in images)

    env, p = algebra.MoebiusComposition(), {"functions": [list(f) for f in functions]}
    solved = tuple(map(int, env.solve(p).split(",")))
    every = {*product(range(-3, 4), repeat=4), solved, tuple(-3 * x for x in solved)}
    assert enumerated(env, p, [(commas(f), 0.0 if right(f) else None) for f in every]) >= 2


@FEW
@given(matrix=st.tuples(*[st.integers(0, 2)] * 4))
def test_matrix_inverse_mod(matrix, enumerated):
    a, b, c, d = matrix
    assume((a * d - b * c) % 3)
    p = {"p": 3, "matrix": [[a, b], [c, d]]}
    unit = np.eye(2, dtype=int)

    def right(said):
        inverse = np.array(said).reshape(2, 2)
        both = (inverse @ np.array(p["matrix"])) % 3 - unit
        return not both.any() and all(0 <= x < 3 for x in said)

    every = product(range(-1, 4), repeat=4)
    table = [(commas(s), 0.0 if right(s) else None) for s in every]
    assert enumerated(algebra.MatrixInverseMod(), p, table) == 1


@FEW
@given(roots=st.tuples(SMALL, SMALL, SMALL), head=st.sampled_from([-2, -1, 1, 3]))
def test_polynomial_roots(roots, head, enumerated):
    p = {"coefficients": [head * round(c) for c in np.poly(roots)]}
    every = product(range(-4, 5), repeat=3)
    table = [(commas(s), 0.0 if sorted(s) == sorted(roots) else None) for s in every]
    enumerated(polynomials.PolynomialRoots(), p, table)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(parts=st.tuples(*[st.integers(-2, 2)] * 6), head=st.sampled_from([-1, 1]))
def test_polynomial_division(parts, head, enumerated):
    b1, b0, q0, r1, r0, q1 = parts
    assume(q1)
    divisor, quotient, remainder = [head, b1, b0], [q1, q0], [r1, r0]
    dividend = [int(c) for c in np.polyadd(np.polymul(divisor, quotient), remainder)]
    p = {"dividend": dividend, "divisor": divisor}
    places = range(-4, 5)

    def right(q, r):
        return all(
            np.polyval(divisor, x) * np.polyval(q, x) + np.polyval(r, x) == np.polyval(dividend, x)
            for x in places
        )

    env = polynomials.PolynomialDivision()
    spelled = [
        (q, r) for q in product(range(-2, 3), repeat=2) for r in product(range(-2, 3), repeat=2)
    ]
    solved = tuple([int(c) for c in part.split(",")] for part in env.solve(p).split(";"))
    spelled += [solved, ([0, *solved[0]], [0, *solved[1]]), ([0], dividend), ([0, 0], [0, 0])]
    spelled += [([1, *solved[0]], solved[1]), (solved[0][1:] or [0], solved[1])]

    def rule(q, r):
        short = len(np.trim_zeros(np.array(r), "f")) < len(divisor)
        return 0.0 if short and right(q, r) else None

    table = {f"{commas(q)}; {commas(r)}": rule(q, r) for q, r in spelled}
    enumerated(env, p, [*table.items(), ("1", None), ("1; 2; 3", None), ("; ", None)])


@FEW
@given(tail=st.lists(SMALL, min_size=2, max_size=4), power=st.integers(1, 7))
def test_newton_power_sum(tail, power, only):
    assume(tail[-1])
    right = round(sum(np.roots([1, *tail]) ** power).real)
    only(polynomials.NewtonPowerSum(), {"tail": tail, "power": power}, right)


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 7))
def test_linear_recurrence_mod(seed, difficulty, only, drawn):
    env = polynomials.LinearRecurrenceMod()
    p = drawn(env, seed, difficulty)
    terms = list(p["first"])
    while len(terms) <= p["index"]:
        recent = reversed(terms[-len(p["factors"]) :])
        terms.append(sum(c * x for c, x in zip(p["factors"], recent, strict=True)) % p["modulus"])
    only(env, p, terms[p["index"]] % p["modulus"])


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 6))
def test_interpolated_value(seed, difficulty, enumerated, drawn):
    env = polynomials.InterpolatedValue()
    p = drawn(env, seed, difficulty)
    rows = [
        [*(Fraction(x) ** k for k in range(len(p["points"]))), Fraction(y)] for x, y in p["points"]
    ]
    solution = algebra.eliminated(rows)  # of the Vandermonde system
    value = sum(c * Fraction(p["at"]) ** k for k, (c,) in enumerate(solution))
    others = {value + 1, -value - 1, value + Fraction(1, 7), Fraction(0), Fraction(1)} - {value}
    enumerated(env, p, [(str(value), 0.0), *((str(v), None) for v in others)])
