"""Lists, edges and grids as prompts and solutions write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def spaced(items: Iterable[object]) -> str:
    return " ".join(map(str, items))


def listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def edge_text(edges: Iterable[Sequence[int]]) -> str:
    """Edges as 1-2, and as 1-2 (7) where they carry a number."""
    return listed(f"{e[0]}-{e[1]}" + (f" ({e[2]})" if len(e) > 2 else "") for e in edges)


def arc_text(arcs: Iterable[Sequence[int]]) -> str:
    """Arcs as 1->2, and as 1->2 (7) where they carry a number."""
    return listed(f"{a[0]}->{a[1]}" + (f" ({a[2]})" if len(a) > 2 else "") for a in arcs)


def grid_text(rows: Iterable[Iterable[object]], between: str = " ") -> str:
    return "\n".join(between.join(map(str, row)) for row in rows)
