"""Aggregation prompts: versioned templates, our own wording (the trained one is unpublished).

The invariant part comes first, so that all prompts of a problem share a prefix.
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


_TEMPLATES = {
    "aggregate-v1": Template(
        head="The ends of earlier attempts follow the problem. Some are wrong or unfinished. "
        "Combine what is right and go on from there.\nProblem:\n",
        header="\nAttempt {number}:\n",
        close="\nYour solution:",
    )
}


def _template(name: str) -> Template:
    if name not in _TEMPLATES:
        raise ConfigError(f"no template is called {name!r}", f"known: {', '.join(_TEMPLATES)}")
    return _TEMPLATES[name]


def aggregation_messages(
    messages: tuple[Message, ...], tails: Sequence[str], template: str
) -> tuple[Message, ...]:
    """The conversation with its last user turn wrapped around `tails`; earlier turns stay."""
    t = _template(template)
    assert messages and messages[-1].role == "user", "a conversation to answer ends with the user"
    blocks = "".join(t.header.format(number=i) + tail for i, tail in enumerate(tails, 1))
    content = f"{t.head}{messages[-1].content}{blocks}{t.close}"
    return (*messages[:-1], replace(messages[-1], content=content))


def fixed_phrases(template: str, candidates: int) -> list[str]:
    """The constant pieces in order; a tiny model's tokenizer gives each one token."""
    t = _template(template)
    return [t.head, *(t.header.format(number=i) for i in range(1, candidates + 1)), t.close]
