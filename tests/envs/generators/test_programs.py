"""Programs: every judge against an enumeration of answers, or another interpreter."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from itertools import permutations, product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import machines, memory, programs

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=15, deadline=None, derandomize=True)


def commas(values):
    return ", ".join(map(str, values))


def one_right(right, seed=0):
    """The row of numbers that is right, and rows near it that are not."""
    rng = random.Random(seed)
    near = [list(right), list(right[::-1]), list(right[:-1]), [*right, 0], [0] * len(right)]
    for _ in range(8):
        moved = list(right)
        moved[rng.randrange(len(moved))] += rng.choice((-1, 1, 10))
        near.append(moved)
    return {commas(row): 0.0 if row == list(right) else None for row in near if row}.items()


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 10))
def test_stack_program(seed, difficulty, enumerated, drawn):
    env = programs.StackProgram()
    p = drawn(env, seed, difficulty)
    effects = {
        "add": lambda a, b: [(a + b) % 1000],
        "sub": lambda a, b: [(a - b) % 1000],
        "mul": lambda a, b: [a * b % 1000],
        "dup": lambda a: [a, a],
        "over": lambda a, b: [a, b, a],
        "swap": lambda a, b: [b, a],
        "rot": lambda a, b, c: [b, c, a],
        "drop": lambda a: [],
    }
    stack = []
    for step in p["steps"]:
        effect = effects.get(step)
        count = effect.__code__.co_argcount if effect else 0
        stack, used = stack[: len(stack) - count], stack[len(stack) - count :]
        stack += effect(*used) if effect else [int(step)]
    enumerated(env, p, one_right(stack, seed))


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 25))
def test_imperative_output(seed, difficulty, enumerated):
    """The program of the prompt, as Python."""
    env = programs.ImperativeOutput()
    problem = env.generate(seed, difficulty)
    code = problem.prompt.split("division by y.\n")[1].split("\nWhat are the values")[0]
    first, *rest = code.split("\n")
    names = [part.split(" = ")[0] for part in first.split(", ")]
    source = "\n".join([first.replace(", ", "; "), *rest])
    source = re.sub(r"repeat (\d+) times", r"for _ in range(\1)", source).replace(" mod ", " % ")
    source = re.sub(r"if (\w+ % \d+) = (\d+)", r"if \1 == \2", source)
    values: dict[str, int] = {}
    exec(source, {"range": range, "__builtins__": {}}, values)  # our own text
    right = [values[name] for name in names]
    enumerated(env, problem.private, one_right(right, seed))


@FEW
@given(steps=st.lists(st.tuples(st.integers(2, 5), st.integers(2, 9), st.integers(1, 20)),
       min_size=1, max_size=4), planted=st.integers(0, 59))  # fmt: skip
def test_program_input(steps, planted, enumerated):
    def run(x):
        for k, a, b in steps:
            x = x / k if x % k == 0 else (a * x + b) % 60
        return x

    p = {"modulus": 60, "steps": [list(s) for s in steps], "planted": planted}
    inside = range(60)
    table = [
        (str(x), 0.0 if x in inside and run(x) == run(planted) else None) for x in range(-3, 70)
    ]
    enumerated(programs.ProgramInput(), p, table)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_circuit_inputs(seed, enumerated):
    """The gates of the prompt, as Python."""
    env = programs.CircuitInputs()
    problem = env.generate(seed, 0)
    gates = re.findall(r"^(g\d+) = (\w+) (\w+) (\w+)$", problem.prompt, re.MULTILINE)
    wanted = re.search(r"inputs for which (.*)\. Any", problem.prompt)[1].split(", ")

    def right(bits):
        value = {f"x{i + 1}": bit == "1" for i, bit in enumerate(bits)}
        for name, a, op, b in gates:
            x, y = value[a], value[b]
            value[name] = {"AND": x and y, "OR": x or y, "XOR": x != y, "NAND": not (x and y)}[op]
        return all(value[w.split(" = ")[0]] == bool(int(w[-1])) for w in wanted)

    every = ["".join(bits) for bits in product("01", repeat=8)]
    table = {bits: 0.0 if right(bits) else None for bits in every}
    enumerated(env, problem.private, [*table.items(), ("0", None), ("0" * 9, None)])


@settings(max_examples=8, deadline=None, derandomize=True)
@given(rule=st.integers(0, 255), start=st.integers(0, 2**7 - 1))
def test_automaton_predecessor(rule, start, enumerated):
    table = {f"{i:03b}": str(rule >> i & 1) for i in range(8)}

    def step(row):
        ring = row[-1] + row + row[0]
        return "".join(table[ring[i : i + 3]] for i in range(len(row)))

    goal = step(f"{start:07b}")
    every = [f"{i:07b}" for i in range(2**7)]
    assume(not all(step(row) == goal for row in every))
    p = {"rule": [rule >> i & 1 for i in range(8)], "row": [int(bit) for bit in goal]}
    costs = [(row, 0.0 if step(row) == goal else None) for row in [*every, "01", "0" * 8][:-2]]
    enumerated(machines.AutomatonPredecessor(), p, [*costs, ("01", None), ("0" * 8, None)])


@FEW
@given(turn=st.integers(1, 4), jobs=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)),
       min_size=1, max_size=5))  # fmt: skip
def test_round_robin_schedule(turn, jobs, enumerated):
    """As a list of arrivals, those of jobs that come back among them."""
    waiting = sorted((arrival, 0, i, work) for i, (arrival, work) in enumerate(jobs))
    done, now, ticket = [0] * len(jobs), 0, 1
    while waiting:
        # Arrivals come before a job whose turn ends at that moment; those keep their order.
        arrival, _, job, work = waiting.pop(0)
        now = max(now, arrival) + min(turn, work)
        if work > turn:
            waiting = sorted([*waiting, (now, ticket, job, work - turn)])
            ticket += 1
        else:
            done[job] = now
    p = {"turn": turn, "jobs": [list(job) for job in jobs]}
    enumerated(machines.RoundRobinSchedule(), p, one_right(done))


@FEW
@given(seed=SEEDS)
def test_rewriting_derivation(seed, enumerated, drawn):
    env = machines.RewritingDerivation()
    p = drawn(env, seed, -4)
    assert p["steps"] == 2
    first, last = p["planted"][0], p["planted"][-1]

    def after(word):
        found = set()
        for left, right in p["rules"]:
            for match in re.finditer(f"(?={left})", word):
                found.add(word[: match.start()] + right + word[match.start() + len(left) :])
        return sorted(found)

    ways = [(first,)]
    for _ in range(3):
        ways += [(*way, word) for way in ways for word in after(way[-1])]
    table = {
        "\n".join(way): 0.0 if way[-1] == last and len(way) <= 3 else None for way in set(ways)
    }
    table |= dict.fromkeys([f"{first}\n{last}\n{last}", last, f"{after(first)[0]}\n{last}"])
    if f"{first}\n{last}" not in table:
        table[f"{first}\n{last}"] = None
    enumerated(env, p, table.items())


@FEW
@given(seed=SEEDS)
def test_shortest_accepted_word(seed, enumerated, drawn):
    env = machines.ShortestAcceptedWord()
    p = drawn(env, seed, 0)
    longest = len(env.solve(p)) + 1
    assume(longest <= 9)

    def accepted(word):
        for table, final in zip(p["tables"], p["finals"], strict=True):
            state = 0
            for letter in word:
                state = table[state][letter == "b"]
            if state != final:
                return False
        return True

    every = ["".join(w) for r in range(1, longest + 1) for w in product("ab", repeat=r)]
    enumerated(env, p, [(w, len(w) if accepted(w) else None) for w in every])


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 10))
def test_turing_machine(seed, difficulty, enumerated):
    """The rules of the prompt, on a tape that is a dictionary."""
    env = memory.TuringMachine()
    problem = env.generate(seed, difficulty)
    rules = {
        (state, read): (write, move, goal)
        for state, read, write, move, goal in re.findall(
            r"state (\w), reads (\d): writes (\d), moves (\w), goes to state (\w)", problem.prompt
        )
    }
    cells = re.search(r"hold ([01 ]+),", problem.prompt)[1].split()
    tape = defaultdict(lambda: "0", enumerate(cells))
    at = int(re.search(r"starts at cell (\d+)", problem.prompt)[1])
    state = "A"
    for _ in range(int(re.search(r"exactly (\d+) steps", problem.prompt)[1])):
        tape[at], move, state = rules[state, tape[at]]
        at += 1 if move == "R" else -1
    ones = sorted(cell for cell, symbol in tape.items() if symbol == "1")

    def told(state, at, ones):
        return f"{state}; {at}; {commas(ones) or 'none'}"

    table = {
        told(state, at + 1, ones): None,
        told("Z", at, ones): None,
        told(state, at, [*ones, 999]): None,
        told(state, at, ones[1:]) if ones else "A; 0; 5": None,
        f"{state}; {at}": None,
        told(state, at, ones): 0.0,
        told(state.lower(), at, ones[::-1]): 0.0,
    }
    enumerated(env, problem.private, table.items())


@FEW
@given(length=st.integers(2, 5), raw=st.lists(st.tuples(
       st.sampled_from(["reverse", "rotate", "swap", "move", "back"]), SEEDS), min_size=1,
       max_size=5))  # fmt: skip
def test_list_edits(length, raw, enumerated):
    items = [10 * (i + 1) for i in range(length)]
    pairs = [(i, j) for j in range(2, length + 1) for i in range(1, j)]
    steps = [[kind, *pairs[pick % len(pairs)]] for kind, pick in raw]
    now = items
    for kind, i, j in steps:
        before, inner, behind = now[: i - 1], now[i - 1 : j], now[j:]
        if kind == "rotate":
            now = now[i:] + now[:i]
            continue
        changed = {
            "reverse": inner[::-1],
            "swap": [inner[-1], *inner[1:-1], inner[0]],
            "move": [*inner[1:], inner[0]],
            "back": [inner[-1], *inner[:-1]],
        }[kind]
        now = before + changed + behind
    table = {commas(s): 0.0 if list(s) == now else None for s in permutations(items)}
    assert enumerated(memory.ListEdits(), {"items": items, "steps": steps}, table.items()) == 1


@FEW
@given(keys=st.lists(st.integers(10, 99), min_size=2, max_size=4, unique=True),
       factor=st.integers(1, 4))  # fmt: skip
def test_hash_table_layout(keys, factor, enumerated):
    table = ["-"] * 5
    for key in keys:
        home = key * factor % 5
        free = next(at for i in range(5) if table[at := (home + i) % 5] == "-")
        table[free] = str(key)
    cells = [*map(str, keys), *["-"] * (5 - len(keys))]
    every = {commas(s) for s in permutations(cells)} | {
        commas([*cells[:4], "7"]),
        commas(cells[:4]),
    }
    costs = [(text, 0.0 if text == commas(table) else None) for text in sorted(every)]
    p = {"cells": 5, "factor": factor, "keys": keys}
    assert enumerated(memory.HashTableLayout(), p, costs) == 1
