"""Sets of rules that can be kept together, each with a text that proves it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence

from openzaya.envs.instructions.base import KINDS, Constraint, Setting
from openzaya.envs.instructions.lexicon import draft, filler

ROUNDS = 5
"""Making one rule may break another; after so many rounds they are held to be incompatible."""
MISSES = 8
"""Draws in a row that do not fit before a rule that leaves no room is given up."""


def satisfy(rules: Sequence[Constraint], text: str, rng: random.Random) -> str | None:
    """`text`, changed until it keeps all `rules`; None if that does not come to rest."""
    made, broken = _mended(rules, text, rng)
    return None if broken else made


def _mended(
    rules: Sequence[Constraint], text: str, rng: random.Random
) -> tuple[str, list[Constraint]]:
    """(the changed text, the rules that it still breaks)."""
    order = sorted(rules, key=lambda rule: rule.phase)
    before = len(order) + 1
    for _ in range(ROUNDS):
        broken: list[Constraint] = []
        for rule in order:
            if not rule.check(text):
                broken.append(rule)
                text = rule.make(text, rng).strip()
        if not broken:
            return text, []
        if len(broken) >= before:
            return text, broken  # it goes in circles
        before = max(len(broken), 2)  # what was just mended may have broken one other
    return text, [rule for rule in order if not rule.check(text)]


def compose(
    count: int, setting: Setting, without: Collection[str] = ()
) -> tuple[list[Constraint], str]:
    """(`count` rules that do not clash, a text that keeps them all), kinds of `without` left out.

    Rules come one by one, and each is kept only if the text can be mended to keep it as well. When
    nothing fits any more, the rule that newcomers broke most often makes room; the text keeps the
    others.
    """
    rng = setting.rng
    kinds = [kind for name, kind in sorted(KINDS.items()) if name not in without]
    rules: list[Constraint] = []
    spoken: dict[Constraint, set[str]] = {}  # the words that each rule speaks about
    blame: Counter[Constraint] = Counter()
    text, misses = draft(rng), 0
    while len(rules) < count:
        if misses == MISSES and rules:
            worst = max(rules, key=lambda rule: blame[rule])
            rules.remove(worst)
            setting.used -= spoken.pop(worst)
            blame.clear()
            misses = 0
        known = set(setting.used)
        rule = rng.choice(_open(kinds, rules)).draw(setting)
        if rule in spoken:  # no parameters left to tell it from one that is there
            misses += 1
            continue
        made, broken = _mended([*rules, rule], text, rng)
        new = setting.used - known
        if broken:
            misses += 1
            blame.update(broken)
            setting.used -= new
        else:
            misses, text = 0, made
            rules.append(rule)
            spoken[rule] = new
    return rules, text


def _open(kinds: Sequence[type[Constraint]], rules: Sequence[Constraint]) -> list[type[Constraint]]:
    """The kinds that may stand beside `rules`. Some always do: those of `most` None clash with
    few, and never with themselves."""
    counts = Counter(rule.kind for rule in rules)
    return [
        kind for kind in kinds
        if (kind.most is None or counts[kind.kind] < kind.most)
        and not any(rule.clashes(kind) for rule in rules)
    ]  # fmt: skip


def junk(prompt: str, rng: random.Random) -> list[str]:
    """Answers that do not heed any rule: a problem that one of them solves teaches nothing."""
    plain = draft(rng)
    return [
        "0", "1", "True", "a", "{}", "[]", "-", "I cannot help with that.", "Sure! Here it is.",
        prompt, f"{prompt}\n" * 10, plain, plain.replace("\n\n", "\n"), plain.upper(),
        plain.lower(), *(draft(rng) for _ in range(4)), "lorem ipsum " * 500, "word " * 2000,
        "\n\n".join(filler(rng) for _ in range(200)),
    ]  # fmt: skip
