"""Combinatorics: every judge against counting or listing everything."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import arrangements, combinatorics, counting

FEW = settings(max_examples=20, deadline=None, derandomize=True)


def commas(values):
    return ", ".join(map(str, values))


@FEW
@given(length=st.integers(0, 7), words=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1,
       max_size=3, unique=True), alphabet=st.sampled_from(["ab", "abc"]))  # fmt: skip
def test_forbidden_substring_count(length, words, alphabet, only):
    every = map("".join, product(alphabet, repeat=length))
    free = sum(not any(word in text for word in words) for text in every)
    p = {"alphabet": alphabet, "length": length, "words": words}
    only(combinatorics.ForbiddenSubstringCount(), p, free)


@FEW
@given(width=st.integers(1, 4), height=st.integers(1, 4),
       closed=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=5))  # fmt: skip
def test_lattice_paths(width, height, closed, only):
    inside = sorted(
        c for c in closed - {(0, 0), (width, height)} if c[0] <= width and c[1] <= height
    )
    count = 0
    for right in combinations(range(width + height), width):
        x = y = 0
        free = True
        for step in range(width + height):
            x, y = (x + 1, y) if step in right else (x, y + 1)
            free = free and (x, y) not in inside
        count += free
    p = {"width": width, "height": height, "closed": [list(c) for c in inside]}
    only(combinatorics.LatticePaths(), p, count)


@FEW
@given(groups=st.tuples(st.integers(1, 3), st.integers(1, 3)), free=st.integers(0, 2),
       exactly=st.tuples(st.integers(0, 3), st.integers(0, 3)))  # fmt: skip
def test_partial_derangements(groups, free, exactly, only):
    assume(all(k <= n for k, n in zip(exactly, groups, strict=True)))
    a, b = groups
    count = 0
    for hats in permutations(range(a + b + free)):
        own = [i for i, hat in enumerate(hats) if i == hat]
        count += (sum(i < a for i in own), sum(a <= i < a + b for i in own)) == exactly
    p = {"groups": list(groups), "exactly": list(exactly), "free": free}
    only(combinatorics.PartialDerangements(), p, count)


@FEW
@given(purse=st.dictionaries(st.integers(1, 9), st.integers(1, 4), min_size=1, max_size=4),
       total=st.integers(0, 30))  # fmt: skip
def test_bounded_partitions(purse, total, only):
    parts = sorted(purse)
    taken = product(*(range(purse[part] + 1) for part in parts))
    count = sum(sum(n * p for n, p in zip(t, parts, strict=True)) == total for t in taken)
    p = {"parts": parts, "limits": [purse[part] for part in parts], "total": total}
    only(combinatorics.BoundedPartitions(), p, count)


@FEW
@given(groups=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(0, 3)),
       min_size=2, max_size=3), seats=st.integers(0, 7))  # fmt: skip
def test_committee_count(groups, seats, only):
    groups = [[n, low, min(n, low + more)] for n, low, more in groups]
    people = [(g, i) for g, (n, _, _) in enumerate(groups) for i in range(n)]
    count = 0
    for chosen in combinations(people, seats):
        sizes = [sum(g == i for g, _ in chosen) for i in range(len(groups))]
        fits = all(low <= s <= high for s, (_, low, high) in zip(sizes, groups, strict=True))
        count += fits and not {(0, 0), (1, 0)} <= set(chosen)
    only(counting.CommitteeCount(), {"groups": groups, "seats": seats}, count)


@FEW
@given(divisors=st.sets(st.integers(2, 15), min_size=2, max_size=5), exactly=st.integers(0, 3),
       bound=st.integers(1, 400))  # fmt: skip
def test_divisibility_exactly(divisors, exactly, bound, only):
    count = sum(sum(n % d == 0 for d in divisors) == exactly for n in range(1, bound + 1))
    p = {"divisors": sorted(divisors), "exactly": exactly, "bound": bound}
    only(counting.DivisibilityExactly(), p, count)


@FEW
@given(beads=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_necklace_count(beads, only):
    assume(sum(beads) <= 8)
    row = "".join("xyz"[i] * n for i, n in enumerate(beads))
    words = {"".join(word) for word in permutations(row)}
    necklaces = {min(word[i:] + word[:i] for i in range(len(word))) for word in words}
    only(counting.NecklaceCount(), {"beads": beads}, len(necklaces))


@FEW
@given(word=st.text("abcd", min_size=1, max_size=6))
def test_word_rank(word, only):
    listed = sorted({"".join(w) for w in permutations(word)})
    only(arrangements.WordRank(), {"word": word}, listed.index(word) + 1)


@FEW
@given(n=st.integers(2, 6), k=st.integers(1, 4), pick=st.integers(0, 99))
def test_kth_combination(n, k, pick, enumerated):
    assume(k < n)
    listed = list(combinations(range(1, n + 1), k))
    place = 1 + pick % len(listed)
    p = {"n": n, "k": k, "place": place}
    every = product(range(0, n + 2), repeat=k)
    table = [(commas(s), 0.0 if s == listed[place - 1] else None) for s in every]
    assert enumerated(arrangements.KthCombination(), p, table) == 1


@settings(max_examples=6, deadline=None, derandomize=True)
@given(shape=st.sampled_from([("ab", 2), ("xy", 3), ("qrs", 2)]), pick=st.integers(0, 8))
def test_de_bruijn_cycle(shape, pick, enumerated):
    alphabet, n = shape
    words = ["".join(w) for w in product(alphabet, repeat=n)]
    start = words[pick % len(words)]

    def right(text):
        places = [(text + text)[i : i + n] for i in range(len(text))]
        return text.startswith(start) and sorted(places) == sorted(words)

    texts = ["".join(w) for w in product(alphabet, repeat=len(words))]
    texts = texts if len(texts) < 1000 else [t for t in texts if t.startswith(start)][:2500]
    env, p = arrangements.DeBruijnCycle(), {"alphabet": alphabet, "n": n, "start": start}
    texts += [env.solve(p), start, env.solve(p) + "a", env.solve(p)[::-1], "z" * len(words)]
    enumerated(env, p, {t: 0.0 if right(t) else None for t in texts}.items())


def groupings(people):
    """Every way to divide people into groups without order."""
    if not people:
        yield []
        return
    first, rest = people[0], people[1:]
    for others in groupings(rest):
        yield [[first], *others]
        for i in range(len(others)):
            yield [*others[:i], [first, *others[i]], *others[i + 1 :]]


@FEW
@given(people=st.integers(2, 7), teams=st.integers(1, 4), captains=st.integers(1, 3),
       sizes=st.sets(st.integers(1, 5), min_size=1, max_size=3))  # fmt: skip
def test_sized_blocks(people, teams, captains, sizes, only):
    assume(captains <= teams and captains <= people)
    count = sum(
        len(groups) == teams
        and all(len(g) in sizes and sum(i < captains for i in g) <= 1 for g in groups)
        for groups in groupings(list(range(people)))
    )
    p = {"people": people, "teams": teams, "sizes": sorted(sizes), "captains": captains}
    only(arrangements.SizedBlocks(), p, count)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(first=st.sampled_from(list(combinations("bkrx", 2))))
def test_subset_tour(first, enumerated):
    words = ["".join(c) for c in combinations("bkrx", 2)]

    def right(tour):
        near = all(len(set(a) & set(b)) == 1 for a, b in pairwise(tour))
        return near and set(tour[0]) == set(first)

    env, p = arrangements.SubsetTour(), {"pool": "bkrx", "first": "".join(first)}
    table = {" ".join(t): 0.0 if right(t) else None for t in permutations(words)}
    solved = env.solve(p)
    table[solved] = 0.0 if right(solved.split()) else None
    table |= dict.fromkeys([solved + " bk", solved[:-3], solved.replace(solved[-1], "q"), "bbk"])
    assert enumerated(env, p, table.items()) > 1
