"""Number theory: every judge against an enumeration of answers, or another way to compute."""

from __future__ import annotations

from itertools import product
from math import gcd, lcm

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import diophantine, number_theory

FEW = settings(max_examples=20, deadline=None, derandomize=True)
PRIMES = [p for p in range(2, 60) if all(p % d for d in range(2, p))]


def commas(values):
    return ", ".join(map(str, values))


def test_primes_and_factors():
    assert [n for n in range(-3, 60) if number_theory.is_prime(n)] == PRIMES
    # Carmichael numbers, a strong pseudoprime to bases 2, 3, 5 and 7, and large primes.
    assert not any(map(number_theory.is_prime, [561, 41041, 3215031751, (2**31 - 1) * (2**61 - 1)]))
    assert number_theory.is_prime(2**61 - 1) and number_theory.is_prime(2**89 - 1)
    for n in range(2, 400):
        found = number_theory.factors(n)
        back = 1
        for p, e in found.items():
            assert number_theory.is_prime(p)
            back *= p**e
        assert back == n


@FEW
@given(a=st.integers(2, 9), b=st.integers(2, 5), c=st.integers(2, 4), m=st.integers(2, 99))
def test_power_tower_mod(a, b, c, m, only):
    p = {"base": a, "middle": b, "top": c, "modulus": m}
    only(number_theory.PowerTowerMod(), p, a ** (b**c) % m)


@FEW
@given(moduli=st.lists(st.integers(2, 12), min_size=2, max_size=3), x=st.integers(0, 2000))
def test_chinese_remainder(moduli, x, enumerated):
    p = {"congruences": [[x % m, m] for m in moduli]}
    end = lcm(*moduli)
    fits = [n for n in range(end) if all(n % m == x % m for m in moduli)]
    table = [(str(n), 0.0 if n == fits[0] else None) for n in range(-3, end + end + 3)]
    assert enumerated(number_theory.ChineseRemainder(), p, table) == 1 == len(fits)


@FEW
@given(a=st.integers(2, 14), b=st.integers(2, 14))
def test_bezout_pair(a, b, enumerated):
    every = product(range(-20, 21), repeat=2)
    common = max(d for d in range(1, a + 1) if a % d == b % d == 0)
    table = [(commas(s), 0.0 if a * s[0] + b * s[1] == common else None) for s in every]
    assert enumerated(number_theory.BezoutPair(), {"a": a, "b": b}, table) > 1


@FEW
@given(exponents=st.tuples(*[st.integers(0, 2)] * 3), pick=st.integers(0, 99))
def test_kth_divisor(exponents, pick, enumerated):
    powers = [[p, e] for p, e in zip((2, 3, 7), exponents, strict=True) if e]
    assume(powers)
    number = 2 ** exponents[0] * 3 ** exponents[1] * 7 ** exponents[2]
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    place = 1 + pick % len(divisors)
    p = {"number": number, "powers": powers, "place": place}
    table = [(str(n), 0.0 if n == divisors[place - 1] else None) for n in range(-2, number + 2)]
    assert enumerated(number_theory.KthDivisor(), p, table) == 1


@FEW
@given(prime=st.sampled_from(PRIMES[4:]), base=st.integers(2, 9), planted=st.integers(1, 30))
def test_discrete_logarithm(prime, base, planted, enumerated):
    powers = [1]
    for _ in range(2 * prime + 30):
        powers.append(powers[-1] * base % prime)
    result = powers[planted]
    p = {"p": prime, "base": base, "result": result, "planted": planted}
    table = [
        (str(x), 0.0 if x >= 0 and powers[x] == result else None) for x in range(-9, 2 * prime)
    ]
    table.append((str(planted), 0.0))
    enumerated(number_theory.DiscreteLogarithm(), p, table)


@FEW
@given(primes=st.lists(st.sampled_from(PRIMES[1:8]), min_size=1, max_size=2, unique=True),
       a=st.integers(2, 400))  # fmt: skip
def test_multiplicative_order(primes, a, enumerated):
    m = primes[0] * (primes[1] if len(primes) > 1 else 1)
    assume(gcd(a, m) == 1)
    order = next(k for k in range(1, m + 1) if a**k % m == 1)
    table = [(str(k), 0.0 if k == order else None) for k in range(-2, 2 * m + 2)]
    enumerated(number_theory.MultiplicativeOrder(), {"a": a, "primes": primes}, table)


@FEW
@given(planted=st.sets(st.integers(1, 9), min_size=3, max_size=3))
def test_distinct_squares_sum(planted, enumerated):
    total = sum(x**2 for x in planted)
    p = {"total": total, "planted": sorted(planted)}

    def right(said):
        return len(set(said)) == 3 and min(said) > 0 and sum(x**2 for x in said) == total

    every = product(range(-2, 12), repeat=3)
    table = [(commas(s), 0.0 if right(s) else None) for s in every]
    enumerated(diophantine.DistinctSquaresSum(), p, [*table, ("1, 2", None)])


@FEW
@given(prices=st.lists(st.integers(2, 9), min_size=3, max_size=3, unique=True),
       planted=st.tuples(*[st.integers(1, 4)] * 3))  # fmt: skip
def test_exact_purchase(prices, planted, enumerated):
    def paid(said):
        return sum(said), sum(n * price for n, price in zip(said, prices, strict=True))

    count, cost = paid(planted)
    p = {"prices": prices, "count": count, "cost": cost, "planted": list(planted)}
    every = product(range(-1, 9), repeat=3)
    table = [(commas(s), 0.0 if min(s) >= 1 and paid(s) == (count, cost) else None) for s in every]
    enumerated(diophantine.ExactPurchase(), p, table)


@FEW
@given(coins=st.lists(st.integers(3, 17), min_size=3, max_size=3, unique=True))
def test_frobenius_number(coins, enumerated):
    assume(gcd(*coins) == 1)
    end = 17 * 17
    payable = {0}
    for n in range(1, end):
        if any(n - coin in payable for coin in coins):
            payable.add(n)
    largest = max(n for n in range(end) if n not in payable)
    assume(largest > 0)
    table = [(str(n), 0.0 if n == largest else None) for n in range(-3, end)]
    enumerated(diophantine.FrobeniusNumber(), {"coins": coins}, table)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(d=st.sampled_from([2, 3, 6, 8]), x=st.integers(1, 4), y=st.integers(1, 4),
       least=st.integers(3, 12))  # fmt: skip
def test_norm_equation(d, x, y, least, enumerated):
    p = {"d": d, "planted": [x, y], "least": least}
    norm = x**2 - d * y**2

    def right(a, b):
        return b >= 1 and a >= least and a**2 - d * b**2 == norm

    every = product(range(-4, 120), range(-2, 60))
    enumerated(
        diophantine.NormEquation(), p, [(commas(s), 0.0 if right(*s) else None) for s in every]
    )


@FEW
@given(base=st.integers(2, 30), low=st.integers(1, 40), more=st.integers(1, 60))
def test_product_trailing_zeros(base, low, more, only):
    number, zeros = 1, 0
    for n in range(low, low + more + 1):
        number *= n
    while number % base == 0:
        number, zeros = number // base, zeros + 1
    p = {"base": base, "low": low, "high": low + more}
    only(diophantine.ProductTrailingZeros(), p, zeros)
