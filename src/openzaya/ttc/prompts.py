"""Aggregation prompts: versioned templates, our own wording (the trained one is unpublished).

The invariant part comes first, so that all prompts of a problem share a prefix. A published
template never changes, since models are trained on its words: a better wording is a new id.
C = 1 uses the same template as every other C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openzaya.errors import ConfigError
from openzaya.types import Message


@dataclass(frozen=True, slots=True)
class Template:
    """Constant pieces around the problem and the tails. `header` has one `{number}`."""

    head: str
    header: str
    close: str


TEMPLATES = {
    "aggregate-v1": Template(
        head="The ends of earlier attempts follow the problem. Some are wrong or unfinished. "
        "Combine what is right and go on from there.\nProblem:\n",
        header="\nAttempt {number}:\n",
        close="\nYour solution:",
    )
}


def find_template(name: str) -> Template:
    """The template with the id `name`; ConfigError if there is none."""
    if name not in TEMPLATES:
        raise ConfigError(f"no template is called {name!r}", f"known: {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def aggregation_messages(
    messages: tuple[Message, ...], tails: Sequence[str], template: str
) -> tuple[Message, ...]:
    """The conversation with its last user turn wrapped around `tails`; earlier turns stay.

    head, problem, then header 1, tail 1 .. header C, tail C, then close. Tails enter verbatim.
    """
    t = find_template(template)
    assert messages and messages[-1].role == "user", "a conversation to answer ends with the user"
    blocks = "".join(t.header.format(number=i) + tail for i, tail in enumerate(tails, 1))
    content = f"{t.head}{messages[-1].content}{blocks}{t.close}"
    return (*messages[:-1], replace(messages[-1], content=content))


def fixed_phrases(template: str, candidates: int) -> list[str]:
    """The constant pieces in order; a tiny model's tokenizer gives each one token."""
    t = find_template(template)
    return [t.head, *(t.header.format(number=i) for i in range(1, candidates + 1)), t.close]
