"""Strings: every judge against an enumeration of answers, or another way to compute."""

from __future__ import annotations

import re
from collections import deque
from itertools import combinations, pairwise, product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import brackets, codes, strings, words

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=15, deadline=None, derandomize=True)


def taken(text):
    """Everything that is left when letters are taken out, but not all of them."""
    for r in range(1, len(text) + 1):
        for places in combinations(range(len(text)), r):
            yield "".join(text[i] for i in places)


@FEW
@given(text=st.text("abc", min_size=2, max_size=8))
def test_palindromic_subsequence(text, enumerated):
    left = set(taken(text))
    other = {"".join(w) for w in product("abc", repeat=3)} | {text + text[::-1]}
    every = left | other
    table = [(w, -len(w) if w in left and w == w[::-1] else None) for w in sorted(every)]
    enumerated(strings.PalindromicSubsequence(), {"text": text}, table)


@FEW
@given(a=st.text("ab", min_size=1, max_size=4), b=st.text("ab", min_size=1, max_size=4))
def test_common_supersequence(a, b, enumerated):
    patterns = [re.compile(".*".join(["", *word, ""])) for word in (a, b)]
    every = ["".join(w) for r in range(1, 9) for w in product("ab", repeat=r)]
    table = [(w, len(w) if all(p.fullmatch(w) for p in patterns) else None) for w in every]
    enumerated(strings.CommonSupersequence(), {"a": a, "b": b}, table)


def edited(word):
    """(edit, word after it) for every edit with the letters a and b."""
    for i in range(len(word) + 1):
        for c in "ab":
            yield f"insert {i + 1} {c}", word[:i] + c + word[i:]
    for i in range(len(word)):
        yield f"delete {i + 1}", word[:i] + word[i + 1 :]
        for c in "ab":
            yield f"replace {i + 1} {c}", word[:i] + c + word[i + 1 :]


@FEW
@given(source=st.text("ab", min_size=2, max_size=4), picks=st.tuples(SEEDS, SEEDS))
def test_edit_script(source, picks, enumerated):
    goal = source
    for pick in picks:
        ways = list(edited(goal))
        goal = ways[pick % len(ways)][1]
    assume(goal != source)
    table = {}
    for first, middle in edited(source):
        table[first] = 1 if middle == goal else None
        for second, end in edited(middle):
            table[f"{first}\n{second}"] = 2 if end == goal else None
    table |= dict.fromkeys(["insert 99 a", "delete 0", "replace 1 ab", "swap 1 2"])
    enumerated(strings.EditScript(), {"source": source, "goal": goal}, table.items())


def balanced(text):
    shorter = re.sub(r"\(\)|{}|<>", "", text)
    return balanced(shorter) if shorter != text else not text


@FEW
@given(text=st.text("(){}<>", min_size=2, max_size=9))
def test_bracket_repair(text, enumerated):
    every = sorted(set(taken(text)) | {"()", "{}()", "<()>", text + ")"})
    left = set(taken(text))
    table = [(w, -len(w) if w in left and balanced(w) else None) for w in every]
    assume(any(cost for _, cost in table))
    env = brackets.BracketRepair()
    most = max(-cost for _, cost in table if cost)
    assert env._most(text) == most
    enumerated(env, {"text": text, "most": most}, table)


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 5))
def test_vigenere_crib(seed, difficulty, enumerated, drawn):
    env = codes.VigenereCrib()
    p = drawn(env, seed, difficulty)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    clear, cipher = p["known"]
    key = [alphabet.index(y) - alphabet.index(x) for x, y in zip(clear, cipher, strict=True)]
    for i, shift in enumerate(key):  # the known message obeys one key of that period
        assert (shift - key[i % p["period"]]) % 26 == 0
    text = ""
    for i, c in enumerate(p["cipher"]):
        text += alphabet[(alphabet.index(c) - key[(p["offset"] + i) % p["period"]]) % 26]
    wrong = {text[::-1], p["cipher"], text[1:], text + "a", clear, "q" + text[1:]} - {text}
    enumerated(env, p, [(text, 0.0), (text.upper(), 0.0), *((w, None) for w in wrong)])


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 8))
def test_nested_repeats(seed, difficulty, enumerated, drawn):
    env = codes.NestedRepeats()
    p = drawn(env, seed, difficulty)
    # The code as a Python expression: 'ab' + 2 * ('c' + 3 * ('d')).
    formula = re.sub(r"([a-z]+)", r"+'\1'", p["text"])
    formula = re.sub(r"(\d+)\(", r"+\1*(", formula).replace("(+", "(").lstrip("+")
    text = eval(formula)
    wrong = {text[::-1], text[:-1], text + "a", "".join(re.findall("[a-z]", p["text"]))} - {text}
    enumerated(env, p, [(text, 0.0), *((w, None) for w in wrong)])


@FEW
@given(text=st.text("ab", min_size=4, max_size=7), pattern=st.text("ab?", min_size=1, max_size=3))
def test_wildcard_matches(text, pattern, enumerated):
    found = tuple(
        at + 1
        for at in range(len(text) - len(pattern) + 1)
        if all(p in ("?", c) for p, c in zip(pattern, text[at:], strict=False))
    )
    assume(found)
    places = range(1, len(text) + 1)
    every = [c for r in range(1, len(text) + 1) for c in combinations(places, r)]
    table = {", ".join(map(str, c)): 0.0 if c == found else None for c in every}
    table |= {", ".join(map(str, found[::-1])): 0.0}
    enumerated(words.WildcardMatches(), {"text": text, "pattern": pattern}, table.items())


def groupings(items):
    if not items:
        yield []
        return
    for rest in groupings(items[1:]):
        yield [[items[0]], *rest]
        for i in range(len(rest)):
            yield [*rest[:i], [items[0], *rest[i]], *rest[i + 1 :]]


def alike(a, b):
    turned = deque(a)
    for _ in a:
        turned.rotate(1)
        if "".join(turned) == b:
            return True
    return False


@FEW
@given(listed=st.lists(st.text("ab", min_size=4, max_size=4), min_size=2, max_size=5, unique=True))
def test_rotation_classes(listed, enumerated):
    def right(groups):
        where = {word: i for i, group in enumerate(groups) for word in group}
        return all(alike(a, b) == (where[a] == where[b]) for a, b in combinations(listed, 2))

    env, p = words.RotationClasses(), {"words": listed}
    every = list(groupings(listed))
    every += [[line.split() for line in env.solve(p).split("\n")]]
    table = {"\n".join(map(" ".join, g)): 0.0 if right(g) else None for g in every}
    table |= dict.fromkeys(
        [" ".join(listed[1:]), "\n".join([*listed, listed[0]]), "abab\nabba\nqq"]
    )
    enumerated(env, p, table.items())


@FEW
@given(word=st.text("abc", min_size=2, max_size=8))
def test_lyndon_factors(word, enumerated):
    def rising(piece):  # strictly the first of all its rotations
        return all(piece < piece[i:] + piece[:i] for i in range(1, len(piece)))

    table = {word + "a": None, word[::-1] + " b": None}
    for r in range(len(word)):
        for cuts in combinations(range(1, len(word)), r):
            ends = [0, *cuts, len(word)]
            pieces = [word[a:b] for a, b in pairwise(ends)]
            falls = all(a >= b for a, b in pairwise(pieces))
            table[" ".join(pieces)] = 0.0 if falls and all(map(rising, pieces)) else None
    assert enumerated(words.LyndonFactors(), {"word": word}, table.items()) == 1


@FEW
@given(a=st.text("ab", min_size=1, max_size=4), b=st.text("ab", min_size=1, max_size=4), seed=SEEDS)
def test_unshuffle(a, b, seed, enumerated):
    places = list(combinations(range(len(a) + len(b)), len(a)))
    first = places[seed % len(places)]

    def shuffled(chosen):
        left, right = iter(a), iter(b)
        return "".join(next(left if i in chosen else right) for i in range(len(a) + len(b)))

    mixed = shuffled(first)
    table = {"".join(m): None for r in (1, len(mixed)) for m in product("12", repeat=r)}
    for chosen in places:
        marks = "".join("1" if i in chosen else "2" for i in range(len(mixed)))
        table[marks] = 0.0 if shuffled(chosen) == mixed else None
    enumerated(codes.Unshuffle(), {"a": a, "b": b, "mixed": mixed}, table.items())


@FEW
@given(word=st.text("abc", min_size=1, max_size=5))
def test_burrows_wheeler_inverse(word, enumerated):
    table = sorted((word + "$")[i:] + (word + "$")[:i] for i in range(len(word) + 1))
    coded = "".join(row[-1] for row in table)
    every = ["".join(w) for r in range(1, 6) for w in product("abc", repeat=r)]
    costs = [(w, 0.0 if w == word else None) for w in every]
    assert enumerated(codes.BurrowsWheelerInverse(), {"coded": coded}, costs) == 1
