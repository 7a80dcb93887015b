"""Every rule: its oracle keeps it, its near miss breaks it, no text breaks the check."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openzaya.envs.instructions import KINDS, ROOMS, from_json
from openzaya.envs.instructions.__main__ import table
from openzaya.envs.instructions.base import Constraint, Setting
from openzaya.envs.instructions.compose import satisfy
from openzaya.envs.instructions.heldout import IFBENCH, held_out
from openzaya.envs.instructions.lexicon import TOPICS, draft
from openzaya.errors import EnvError

NAMES = sorted(KINDS)


def drawn(name: str, seed: int, level: int) -> tuple[Constraint, random.Random]:
    rng = random.Random(f"{name}:{seed}:{level}")
    return KINDS[name].draw(Setting(rng, level, rng.choice(TOPICS))), rng


def one_of_each() -> list[Constraint]:
    return [drawn(name, 0, 2)[0] for name in NAMES]


def test_there_are_as_many_as_we_say() -> None:
    assert len(NAMES) >= 80
    modules = {kind.__module__ for kind in KINDS.values()}
    assert modules == {room.__name__ for room in ROOMS}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10**6), level=st.sampled_from([0, 1, 4, 12, 30]))
def test_oracle_keeps_it_and_the_near_miss_breaks_it(name: str, seed: int, level: int) -> None:
    rule, rng = drawn(name, seed, level)
    text = satisfy([rule], draft(rng), rng)
    assert text is not None and rule.check(text), rule
    miss = rule.violate(text)
    assert not rule.check(miss), (rule, miss)
    assert from_json(json.loads(json.dumps(rule.to_json()))) == rule
    assert rule.instruction().strip()[-1] in ".!?\"'"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_keeps_none(name: str) -> None:
    """An empty answer never earns anything, even where a rule only forbids."""
    allowed = {"word_bound", "character_bound"}  # at most
    for seed in range(5):
        rule, _ = drawn(name, seed, 0)
        assert name in allowed or not rule.check(""), rule


RULES = one_of_each()
HOSTILE = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=st.characters(codec=None), max_size=60),  # half surrogate pairs too
    st.text(alphabet=" \n\t.!?-|`*[](){}<>\"'#;:,&+1aA\x00\u2028\u0130ß", max_size=120),
)


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(text=HOSTILE)
def test_no_text_makes_a_check_raise(text: str) -> None:
    for rule in RULES:
        assert rule.check(text) in (True, False)


MEGABYTE = 2**20
LONG = {
    "one word": "a" * MEGABYTE,
    "words": "word " * (MEGABYTE // 5),
    "sentences": "A b. " * (MEGABYTE // 5),
    "paragraphs": "A.\n\n" * (MEGABYTE // 4),
    "spaces": " " * MEGABYTE,
    "lines": "\n" * MEGABYTE,
    "tabs and lines": "\n\t" * (MEGABYTE // 2),
    "brackets": "[" * MEGABYTE,
    "pairs": "[a](" * (MEGABYTE // 4),
    "braces": '{"a":' * (MEGABYTE // 5),
    "elements": "<guide>" * (MEGABYTE // 7),
    "ticks": "`" * MEGABYTE,
    "stars": "**a" * (MEGABYTE // 3),
    "marks": "." * MEGABYTE,
    "marks and quotes": '."' * (MEGABYTE // 2),
    "dashes": "- " * (MEGABYTE // 2),
    "hyphens": "a-" * (MEGABYTE // 2),
    "bullets": "- a\n" * (MEGABYTE // 4),
    "digits": "1" * MEGABYTE,
    "dates": "01.01.2000 " * (MEGABYTE // 11),
    "titles": "<<" * (MEGABYTE // 2),
    "underscores": "_" * MEGABYTE,
    "hashes": "#" * MEGABYTE,
    "emoji": "😀" * (MEGABYTE // 4),
    "placeholders": "[a" * (MEGABYTE // 2),
    "sums": "Sum: " + "1 + " * (MEGABYTE // 4),
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_megabyte_is_fast(name: str) -> None:
    """Less than a second of this process's time for each check, which rules out quadratic ones."""
    for rule in RULES:
        start = time.process_time()
        rule.check(LONG[name])
        assert time.process_time() - start < 1.0, rule.kind


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(EnvError, match="no constraint"):
        from_json({"kind": "telepathy", "params": {}})


def test_no_rule_is_a_test_constraint_of_ifbench() -> None:
    assert len(IFBENCH) == 58
    assert not [name for name in NAMES if held_out(name)]


def test_the_guard_sees_one() -> None:
    """Negative control, in several spellings."""
    assert all(map(held_out, ("palindrome", "Sub-Bullets", "count:numbers", "title case")))


def test_what_texts_pass_by_hand() -> None:
    """Examples that were not made by our own oracles."""
    examples = {
        "honest_count": ("One two three-four.\nWords: 3", "One two three-four.\nWords: 4"),
        "bookend": ("Hi you. Well now. Hi you.", "Hi you. Hi you."),
        "two_versions": ("Red.\n******\nBlue.", "Red.\n******\nRed."),
        "all_uppercase": ("GROSSE STRAßE".replace("ß", "SS"), "Große"),
        "no_digits": ("Zero.", "²"),
        "no_commas": ("Yes and no.", "Yes, and no."),
        "title": ("<<A day>>\nText.", "<<A>>\n<<B>>"),
        "postscript": ("Text.\n\nP.S. More.", "P.S. More.\n\nText."),
        "line_capitals": ("A.\nB.\nC.\nD.", "A.\nB.\nC.\nd."),
        "quoted_answer": ('"All of it."', '"All" of "it"'),
        "bracketed_sentences": ("[One.] [Two.] [Three.]", "[One. Two. Three.]"),
        "no_apostrophes": ("It is.", "It’s."),
    }
    for name, (good, bad) in examples.items():
        rule, _ = drawn(name, 0, 0)
        assert rule.check(good), name
        assert not rule.check(bad), name


def stored(kind: str, **params: object) -> Constraint:
    return from_json({"kind": kind, "params": params})


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (stored("json_object", keys=["a", "b"], types=["string", "integer"]),
         '{"b": 3, "a": "x"}', '{"b": true, "a": "x"}'),
        (stored("json_object", keys=["a"], types=["string"]),
         '{"a": "x"}', '{"a": "x", "a": "y"}'),
        (stored("json_object", keys=["a"], types=["string"]), '{"a": "x"}', '```\n{"a": "x"}\n```'),
        (stored("xml_document", root="r", child="c", n=1),
         "<r><c>x</c></r>", '<!DOCTYPE r [<!ENTITY e "x">]><r><c>&e;</c></r>'),
        (stored("table", columns=["A", "B"], n=1),
         "| A | B |\n|---|---|\n| 1 | 2 |", "| A | B |\n| 1 | 2 |\n| 3 | 4 |"),
        (stored("dates", n=1), "On 29.02.2024.", "On 29.02.2023."),
        (stored("clock_times", n=1), "At 23:59.", "At 24:00."),
        (stored("numbers_sum", n=2, total=5), "Sum: 2 + 3", "Sum: 2 + 2 + 1"),
        (stored("keyword_frequency", word="sea", n=2), "Sea and sea.", "Sea and seaside."),
        (stored("acrostic", word="tea"), "Two.\n\nEven.\n\n**A**", "Two.\n\nAll.\n\nEven."),
        (stored("round_brackets", n=1), "So (well).", "So (well (no))."),
        (stored("script_language", language="Greek"),
         "Το πρωί η πόλη κοιμάται εδώ.", "To proi i poli koimatai edo."),
        (stored("stopword_language", language="French"),
         "Il y a une maison dans la rue et elle est sur la place du village.",
         "There is a house in the street and it is on the square of the village."),
        (stored("stopword_language", language="Dutch"),
         "Het huis van de bakker staat in de straat en is niet te zien.",
         "Das Haus des Baeckers steht in der Strasse und ist nicht zu sehen."),
        (stored("alphabetical_list", n=3), "- ant\n- Bee\n- cow", "- ant\n- cow\n- bee"),
        (stored("countdown", n=3), "3. a\n2. b\n1. c", "1. a\n2. b\n3. c"),
        (stored("sentence_count", n=2), "One. Two", "One. Two. Three."),
    ],
)  # fmt: skip
def test_more_by_hand(rule: Constraint, good: str, bad: str) -> None:
    assert rule.check(good)
    assert not rule.check(bad)


def test_the_documentation_lists_every_rule() -> None:
    text = (Path(__file__).parents[3] / "docs" / "instructions.md").read_text(encoding="utf-8")
    assert table() in text and f"{len(NAMES)} kinds" in text
