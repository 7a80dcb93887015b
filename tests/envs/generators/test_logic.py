"""Logic: every judge against an enumeration of all answers of small instances."""

from __future__ import annotations

import random
import re
import warnings
from collections import Counter
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import clues, formulas, logic
from openzaya.envs.generators.parse import Unparseable
from openzaya.envs.generators.text import listed, spaced

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=20, deadline=None, derandomize=True)


def subsets(items, least=1):
    items = list(items)
    return (c for r in range(least, len(items) + 1) for c in combinations(items, r))


def spoken(line, knights):
    """(speaker, whether the words of the prompt are true)."""
    speaker, words = re.fullmatch(r'Person (\d+): "(.*)"', line).groups()
    about = [int(x) in knights for x in re.findall(r"\d+", words)]
    if len(about) == 1:
        return int(speaker), about[0] == words.endswith("knight.")
    if len(about) == 2:
        return int(speaker), (about[0] == about[1]) == ("same kind" in words)
    return int(speaker), sum(about) % 2 == (1 if words.startswith("An odd") else 0)


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 0))
def test_parity_knights(seed, difficulty, enumerated):
    env = logic.ParityKnights()
    prompt, p = env.make(random.Random(seed), difficulty)
    lines = [line for line in prompt.splitlines() if line.startswith("Person")]

    def fits(knights):
        said = [spoken(line, knights) for line in lines]
        return all((speaker in knights) == true for speaker, true in said)

    table = {spaced(s): 0 if fits(s) else None for s in subsets(range(1, p["n"] + 1))}
    assert enumerated(env, p, table.items()) == 1 and not fits(())


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 1))
def test_satisfiability(seed, difficulty, enumerated):
    env = logic.Satisfiability()
    prompt, p = env.make(random.Random(seed), difficulty)
    lines = [line for line in prompt.splitlines() if " or " in line and line[0] in "xn"]
    code = compile(" and ".join(f"({line})" for line in lines), "", "eval")

    def fits(values):
        return eval(code, {f"x{i}": bool(v) for i, v in enumerate(values, 1)})

    table = {spaced(v): 0 if fits(v) else None for v in product((0, 1), repeat=p["n"])}
    for text in list(table):  # a 2 is neither value, wherever it stands
        table |= {f"{text[:i]}2{text[i + 1 :]}": None for i in range(0, len(text), 2)}
    enumerated(env, p, table.items())


def told(line, order):
    """Whether a line of the prompt holds for an order."""
    names = [order.index(name) for name in re.findall(r"[A-Z]\w+", line.replace("Exactly", ""))]
    if "directly" in line:
        return names[0] + 1 == names[1]
    if "to the left" in line:
        return names[0] < names[1]
    if "do not" in line:
        return abs(names[0] - names[1]) != 1
    if "somewhere between" in line:
        return sorted(names)[1] == names[0]
    between = int(re.search(r"\d+", line)[0])
    return abs(names[0] - names[1]) == between + 1


@FEW
@given(seed=SEEDS, difficulty=st.integers(-3, 0))
def test_seating_order(seed, difficulty, enumerated):
    env = clues.SeatingOrder()
    prompt, p = env.make(random.Random(seed), difficulty)
    lines = prompt.splitlines()[1:-1]
    assert len(lines) == 2 * len(p["names"])
    table = {
        spaced(o): 0 if all(told(line, o) for line in lines) else None
        for o in permutations(p["names"])
    }
    table |= {f"{text.split()[0]} {text}": None for text in list(table)}  # one sits twice
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_resolution_proof(seed, enumerated, drawn):
    env = logic.ResolutionProof()
    p = drawn(env, seed, -2)
    variables = sorted({abs(x) for c in p["clauses"] for x in c})
    for values in product((False, True), repeat=len(variables)):
        true = {v if on else -v for v, on in zip(variables, values, strict=True)}
        assert any(not true & set(c) for c in p["clauses"])  # together they cannot hold

    def proves(steps):
        known = [frozenset(c) for c in p["clauses"]]
        for a, b in steps:
            if max(a, b) > len(known) or min(a, b) < 1:
                return False
            left, right = known[a - 1], known[b - 1]
            clash = {abs(x) for x in left} & {abs(x) for x in right if -x in left}
            if len(clash) != 1:
                return False
            known.append(frozenset(x for x in left | right if abs(x) not in clash))
        return known[-1] == frozenset()

    count = len(p["clauses"])
    one = list(product(range(count + 3), repeat=2))
    table = {}
    for steps in [*product(one, repeat=1), *product(one, repeat=2)]:
        table[listed(f"{a}-{b}" for a, b in steps)] = 0 if proves(steps) else None
    enumerated(env, p, table.items())


def test_a_step_of_a_proof_resolves_exactly_one_variable():
    env = logic.ResolutionProof()
    p = {"clauses": [[1, 2], [-1, -2], [1, -2], [-1, 2]]}
    assert env.judge(p, "1-3, 2-4, 5-6")
    assert not env.judge(p, "1-2, 1-3, 2-4, 6-7")  # 1 and 2 clash twice
    assert not env.judge(p, "1-1, 1-3, 2-4, 6-7")  # and these nowhere
    assert not env.judge(p, "1-3, 2-4")


@FEW
@given(seed=SEEDS, difficulty=st.integers(-2, 0))
def test_horn_closure(seed, difficulty, enumerated, drawn):
    env = logic.HornClosure()
    p = drawn(env, seed, difficulty)
    everything = range(1, p["n"] + 1)
    models = [
        set(s) for s in subsets(everything)
        if set(p["facts"]) <= set(s) and all(h in s or not set(b) <= set(s) for b, h in p["rules"])
    ]  # fmt: skip
    follows = set.intersection(*models)
    table = ((spaced(s), 0 if set(s) == follows else None) for s in subsets(everything))
    assert enumerated(env, p, table) == 1


@FEW
@given(seed=SEEDS, difficulty=st.integers(-4, 0))
def test_mastermind_code(seed, difficulty, enumerated, drawn):
    env = clues.MastermindCode()
    p = drawn(env, seed, difficulty)

    def answer(code, guess):
        black = sum(a == b for a, b in zip(code, guess, strict=True))
        return black, (Counter(code) & Counter(guess)).total() - black

    def fits(code):
        inside = 0 not in code
        return inside and all(answer(code, g) == (b, w) for g, b, w in p["tries"])

    codes = product(range(p["colours"] + 1), repeat=p["n"])
    enumerated(env, p, ((spaced(c), 0 if fits(c) else None) for c in codes))


def python_value(text, names):
    """The truth table by Python's own grammar, which ranks ~ & ^ | alike; None: no formula."""
    try:
        code = compile(text.strip(), "", "eval")
        rows = [
            eval(code, dict(zip(names, values, strict=True))) & 1
            for values in product((0, 1), repeat=len(names))
        ]
    except Exception:
        return None
    return tuple(rows)


def formula_texts(names, operators):
    """All formulas with up to so many operators, each bracketed once."""
    by_count = [list(names)]
    for count in range(1, operators + 1):
        fresh = [f"~{f}" for f in by_count[count - 1]]
        for k in range(count):
            for a, b, op in product(by_count[k], by_count[count - 1 - k], "&|^"):
                fresh.append(f"({a} {op} {b})")
        by_count.append(fresh)
    return [f for fs in by_count for f in fs]


@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_boolean_simplification(seed, enumerated, drawn):
    env = formulas.BooleanSimplification()
    p = drawn(env, seed, -2)
    wanted = python_value(p["large"], p["names"])
    assert p["k"] == 2 and python_value(p["small"], p["names"]) == wanted
    table = {p["small"]: 0, p["large"]: None, f"~~{p['small']}": None}
    for text in formula_texts(p["names"], p["k"]):
        table[text] = 0 if python_value(text, p["names"]) == wanted else None
    enumerated(env, p, table.items())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS, difficulty=st.integers(0, 20))
def test_rewriting_keeps_the_meaning(seed, difficulty, drawn):
    env = formulas.BooleanSimplification()
    p = drawn(env, seed, difficulty)
    values = random.Random(seed).choices((0, 1), k=64 * len(p["names"]))
    for row in range(64):
        world = dict(zip(p["names"], values[row::64], strict=True))
        assert eval(p["small"], dict(world)) & 1 == eval(p["large"], dict(world)) & 1
    assert env.judge(p, env.solve(p)) and not env.judge(p, p["large"])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(tokens=st.lists(st.sampled_from("aabbc~~&|^()( )"), min_size=1, max_size=12))
def test_formulas_are_read_as_python_reads_them(tokens):
    text = " ".join(tokens)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        expected = python_value(text, "abc")
    try:
        bits = formulas.table(text, list("abc"))
    except Unparseable:
        assert expected is None
    else:
        # Row r of ours counts a as bit 0; Python's rows above count it as the highest.
        ours = [bits >> (a + 2 * b + 4 * c) & 1 for a, b, c in product((0, 1), repeat=3)]
        assert tuple(ours) == expected


@pytest.mark.parametrize(
    "text", ["(" * 99_999, "~" * 99_999, "(a" * 40_000, "a" * 99_999, "∧", ")"]
)
def test_broken_formulas_are_scores(text):
    for generator in (*logic.GENERATORS, *formulas.GENERATORS, *clues.GENERATORS):
        assert generator().score(generator().generate(2, 1), text).reward == 0.0
