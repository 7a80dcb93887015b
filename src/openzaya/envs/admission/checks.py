"""The checks: each looks at what `probe` saw and says what is wrong, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from openzaya.envs.admission.probe import Seen

JUNK_LIMIT = 0.1
"""Share of junk answers that may be right: by chance, where there are few answers."""
GUESS_LIMIT = 0.75
"""Share that one constant answer may solve, at the difficulty where it solves least."""
UNIQUE_LIMIT = 0.5
UNGENERATED_LIMIT = 0.1
GENERATE_MS = 10_000.0
SCORE_MS = 2_000.0
GROWTH = 1.0
"""Last over first mean of a size measure; anything above counts as growth."""


def _generates(seen: Seen) -> str:
    for difficulty, level in seen.levels.items():
        if level.ungenerated > UNGENERATED_LIMIT * (level.problems + level.ungenerated):
            tried = level.problems + level.ungenerated
            return f"no problem for {level.ungenerated} of {tried} seeds at {difficulty}"
    return ""


def _pure(seen: Seen) -> str:
    return seen.purity and f"not pure: {seen.purity}"


def _solvable(seen: Seen) -> str:
    for difficulty, level in seen.levels.items():
        if level.solved < level.oracles:
            return f"its oracle solves {level.solved} of {level.oracles} at {difficulty}"
    return ""


def _round_trip(seen: Seen) -> str:
    for difficulty, level in seen.levels.items():
        if level.round_trips < level.problems:
            lost = level.problems - level.round_trips
            return f"{lost} of {level.problems} problems do not survive JSON at {difficulty}"
    return ""


def _junk(seen: Seen) -> str:
    shares = {kind: right / tried for kind, (right, tried) in seen.junk.items()}
    kind, share = max(shares.items(), key=lambda item: item[1], default=("", 0.0))
    return f"{share:.0%} of junk is right ({kind})" if share > JUNK_LIMIT else ""


def _guess(seen: Seen) -> str:
    level = min(seen.levels.values(), key=lambda level: level.guess)
    if level.guess <= GUESS_LIMIT:
        return ""
    return f"always {level.guess_text!r} is right in {level.guess:.0%}"


def _never_raises(seen: Seen) -> str:
    return f"its scorer broke {len(seen.raised)} times: {seen.raised[0]}" if seen.raised else ""


def _fast(seen: Seen) -> str:
    for difficulty, level in seen.levels.items():
        if level.generate_p99_ms > GENERATE_MS:
            return f"p99 of generation is {level.generate_p99_ms / 1000:.1f} s at {difficulty}"
        if level.score_p99_ms > SCORE_MS:
            return f"p99 of scoring is {level.score_p99_ms / 1000:.1f} s at {difficulty}"
    return ""


def _many(seen: Seen) -> str:
    level = max(seen.levels.values(), key=lambda level: level.distinct / max(1, level.problems))
    if level.distinct >= UNIQUE_LIMIT * level.problems:
        return ""
    return f"{level.distinct} different problems in {level.problems} seeds"


def _grows(seen: Seen) -> str:
    levels = [seen.levels[d] for d in sorted(seen.levels)]
    if len(levels) < 2 or not levels[0].sizes or not levels[-1].sizes:
        return ""  # one difficulty, or levels without problems, which _generates names
    first, last = levels[0].sizes, levels[-1].sizes
    measures = ["size"] if "size" in first else sorted(first.keys() & last.keys())
    if any(last[m] > GROWTH * first[m] for m in measures):
        return ""
    return f"no size grows with difficulty ({', '.join(measures)})"


CHECKS: dict[str, Callable[[Seen], str]] = {
    "generates": _generates,
    "pure": _pure,
    "solvable": _solvable,
    "round trip": _round_trip,
    "junk": _junk,
    "guess": _guess,
    "never raises": _never_raises,
    "fast": _fast,
    "many": _many,
    "grows": _grows,
}
"""Name to check. An environment is admitted if none of them finds anything."""


def failures(seen: Seen) -> list[str]:
    """What is wrong with it; empty if it is admitted."""
    return [found for check in CHECKS.values() if (found := check(seen))]
