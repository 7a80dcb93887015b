"""Geometry: every judge against an enumeration of answers, or another way to compute."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import combinations, pairwise, permutations
from math import atan2, pi

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openzaya.envs.generators import areas, figures, geometry

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=15, deadline=None, derandomize=True)
POINT = st.tuples(st.integers(-6, 6), st.integers(-6, 6))


def commas(values):
    return ", ".join(map(str, values))


def turns_about(ring, p):
    """How often the ring goes round p, which is not on it."""
    angles = [atan2(y - p[1], x - p[0]) for x, y in ring]
    steps = (b - a for a, b in zip(angles, angles[1:] + angles[:1], strict=True))
    return round(sum((step + pi) % (2 * pi) - pi for step in steps) / (2 * pi))


def on_border(ring, p):
    for (ax, ay), (bx, by) in zip(ring, ring[1:] + ring[:1], strict=True):
        turned = (bx - ax) * (p[1] - ay) == (by - ay) * (p[0] - ax)
        if turned and min(ax, bx) <= p[0] <= max(ax, bx) and min(ay, by) <= p[1] <= max(ay, by):
            return True
    return False


@FEW
@given(seed=SEEDS, corners=st.integers(3, 8))
def test_polygons_are_simple(seed, corners):
    ring = geometry.polygon(random.Random(seed), corners, 9)
    sides = list(zip(ring, ring[1:] + ring[:1], strict=True))
    meets = figures.SegmentCrossings._common([list(side) for side in sides])
    n = len(sides)
    assert meets == {(i, i + 1) for i in range(1, n)} | {(1, n)}  # neighbours, at their corner


@FEW
@given(seed=SEEDS, corners=st.integers(3, 7))
def test_lattice_points_inside(seed, corners, enumerated):
    ring = geometry.polygon(random.Random(seed), corners, 7)
    grid = [(x, y) for x in range(-8, 9) for y in range(-8, 9)]
    border = {p for p in grid if on_border(ring, p)}
    inside = sum(p not in border and turns_about(ring, p) != 0 for p in grid)
    right = (inside, len(border))
    near = {(right[0] + i, right[1] + j) for i in (-1, 0, 1) for j in (-2, 0, 1)}
    near |= {(inside + len(border), len(border)), (0, 0)}
    table = [(commas(pair), 0.0 if pair == right else None) for pair in near]
    enumerated(geometry.LatticePointsInside(), {"ring": ring}, table)


@FEW
@given(points=st.lists(POINT, min_size=3, max_size=3, unique=True))
def test_circle_through_points(points, enumerated):
    (ax, ay), (bx, by), (cx, cy) = points
    assume((bx - ax) * (cy - ay) != (by - ay) * (cx - ax))
    circle = sympy.Circle(*map(sympy.Point, points))
    right = (circle.center.x, circle.center.y, circle.radius**2)
    table = {commas(right): 0.0}
    for i in range(3):
        for step in (1, sympy.Rational(-1, 3)):
            moved = [*right[:i], right[i] + step, *right[i + 1 :]]
            table[commas(moved)] = None
    p = {"points": [list(point) for point in points]}
    enumerated(geometry.CircleThroughPoints(), p, [*table.items(), ("1, 2", None)])


@FEW
@given(seed=SEEDS, points=st.lists(POINT, min_size=2, max_size=7))
def test_points_in_polygon(seed, points, enumerated):
    ring = geometry.polygon(random.Random(seed), 6, 6)
    points = [p for p in points if not on_border(ring, p)]
    inside = tuple(i for i, p in enumerate(points, 1) if turns_about(ring, p))
    assume(inside)
    numbers = range(1, len(points) + 2)
    every = [c for r in range(1, len(points) + 1) for c in combinations(numbers, r)]
    table = {commas(c): 0.0 if c == inside else None for c in every}
    table |= {commas(inside[::-1]): 0.0, commas([*inside, inside[0]]): None}
    p = {"ring": ring, "points": [list(point) for point in points]}
    enumerated(geometry.PointsInPolygon(), p, table.items())


def covered(p, others):
    """Whether p lies in a segment or triangle of the others (Caratheodory)."""

    def turn(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    if any(on_border([a, b], p) for a, b in combinations(others, 2)):
        return True
    for a, b, c in combinations(others, 3):
        signs = {np.sign(turn(a, b, p)), np.sign(turn(b, c, p)), np.sign(turn(c, a, p))}
        if len(signs) == 1 and 0 not in signs:
            return True
    return False


@FEW
@given(points=st.lists(POINT, min_size=4, max_size=6, unique=True))
def test_convex_hull(points, enumerated):
    corners = [p for p in points if not covered(p, [q for q in points if q != p])]
    assume(len(corners) >= 3)
    middle = np.mean(corners, axis=0)
    around = sorted(corners, key=lambda p: atan2(p[1] - middle[1], p[0] - middle[0]))
    names = [points.index(p) + 1 for p in around]
    right = {tuple(names[i:] + names[:i]) for i in range(len(names))}
    every = [
        s for r in range(1, len(points) + 1) for s in permutations(range(1, len(points) + 1), r)
    ]
    table = {commas(s): 0.0 if s in right else None for s in every}
    table |= {commas([*names, names[0]]): None, commas([*names, 9]): None}
    p = {"points": [list(point) for point in points]}
    assert enumerated(geometry.ConvexHull(), p, table.items()) == len(names)


def moved(z, kind, a, b):
    """The step as a map of complex numbers."""
    down = a * 1j
    return {
        "shift": z + a + b * 1j,
        "mirror_x": 2 * a - z.conjugate(),
        "mirror_y": z.conjugate() + 2 * down,
        "mirror_up": 1j * (z - down).conjugate() + down,
        "mirror_down": -1j * (z - down).conjugate() + down,
        "turn": (z - a - b * 1j) * 1j + a + b * 1j,
        "shear": z + a * z.imag,
    }[kind]


@FEW
@given(seed=SEEDS, forwards=st.booleans())
def test_point_transforms(seed, forwards, enumerated, drawn):
    env = figures.PointTransforms()
    p = drawn(env, seed, 0)
    grid = [complex(x, y) for x in range(-40, 41) for y in range(-40, 41)]
    images = {}
    for z in grid:
        image = z
        for step in p["steps"]:
            image = moved(image, *step)
        images[z] = image
    start, end = complex(*p["start"]), images[complex(*p["start"])]
    assert end == complex(*p["end"])
    p["forwards"] = forwards
    if forwards:
        near = [end + complex(x, y) for x in range(-5, 6) for y in range(-5, 6)] + [start + 100]
        table = {z: 0.0 if z == end else None for z in near}
    else:
        table = {z: 0.0 if images[z] == end else None for z in grid}
    enumerated(env, p, [(f"{int(z.real)}, {int(z.imag)}", cost) for z, cost in table.items()])


@pytest.mark.parametrize("seed", range(6))
def test_segment_crossings(seed, enumerated):
    rng = random.Random(seed)
    segments = []
    while len(segments) < 4:
        a, b = ([rng.randint(-2, 2), rng.randint(-2, 2)] for _ in range(2))
        if a != b:
            segments.append([a, b])
    shapes = [sympy.Segment(*map(sympy.Point, s)) for s in segments]
    pairs = list(combinations(range(4), 2))
    right = {(i, j) for i, j in pairs if shapes[i].intersection(shapes[j])}
    assert right
    table = {}
    for r in range(1, 7):
        for said in combinations(pairs, r):
            text = commas(f"{i + 1}-{j + 1}" for i, j in said)
            table[text] = 0.0 if set(said) == right else None
    swapped = commas(f"{j + 1}-{i + 1}" for i, j in sorted(right))
    table |= {swapped: 0.0, swapped + ", 1-1": None, f"{swapped}, {swapped}": None}
    enumerated(figures.SegmentCrossings(), {"segments": segments}, table.items())


def near_fraction(value, right):
    """Fractions near the right one, and whether they are it."""
    steps = (0, 1, Fraction(1, 7), -Fraction(1, 12), right, -2 * right)
    return [(str(right + s), 0.0 if abs(float(right + s) - value) < 1e-7 else None) for s in steps]


@FEW
@given(lines=st.lists(st.tuples(*[st.integers(-5, 5)] * 3), min_size=3, max_size=3))
def test_triangle_of_lines(lines, enumerated):
    corners = []
    for a, b in combinations(lines, 2):
        assume(a[0] * b[1] != a[1] * b[0])
        corners.append(np.linalg.solve([a[:2], b[:2]], [a[2], b[2]]))
    p, q, r = corners
    area = abs((q - p)[0] * (r - p)[1] - (q - p)[1] * (r - p)[0]) / 2
    assume(area > 1e-6)
    env, private = areas.TriangleOfLines(), {"lines": [list(line) for line in lines]}
    enumerated(env, private, near_fraction(area, Fraction(env.solve(private))))


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 6))
def test_union_of_rectangles(seed, difficulty, only, drawn):
    env = areas.UnionOfRectangles()
    p = drawn(env, seed, difficulty)
    cells = {(x, y) for a, b, c, d in p["boxes"] for x in range(a, c) for y in range(b, d)}
    only(env, p, len(cells))


@FEW
@given(seed=SEEDS, difficulty=st.integers(0, 6))
def test_cut_polygon_area(seed, difficulty, enumerated, drawn):
    """The kept height over x is linear between corners and cuts: the trapezoid rule is exact."""
    env = areas.CutPolygonArea()
    p = drawn(env, seed, difficulty)
    ring, (a, b, c) = p["ring"], p["line"]
    sides = [sorted(side) for side in zip(ring, ring[1:] + ring[:1], strict=True)]
    breaks = {Fraction(x) for x, _ in ring}
    for (x, y), (z, w) in sides:
        here, there = a * x + b * y - c, a * z + b * w - c
        if here * there < 0:
            breaks.add(x + Fraction(here * (z - x), here - there))

    def kept(x):
        ys = [q[1] + (x - q[0]) * Fraction(r[1] - q[1], r[0] - q[0]) for q, r in sides
              if q[0] <= x <= r[0]]  # fmt: skip
        low, high, cut = min(ys), max(ys), (c - a * x) / b
        low, high = (low, min(high, cut)) if b > 0 else (max(low, cut), high)
        return max(high - low, Fraction(0))

    ends = sorted(breaks)
    area = sum((y - x) * (kept(x) + kept(y)) / 2 for x, y in pairwise(ends))
    whole = abs(geometry.doubled_area(ring)) / Fraction(2)
    others = {area + 1, whole - area, whole, area / 2} - {area}
    enumerated(env, p, [(str(area), 0.0), *((str(other), None) for other in others)])
