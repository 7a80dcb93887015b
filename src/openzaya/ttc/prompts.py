"""Aggregation prompts: versioned templates, our own wording (the trained one is unpublished).

The invariant part comes first, so that all prompts of a problem share a prefix. A published
template never changes, since models are trained on its words: a better wording is a new id.
C = 1 uses the same template as every other C, unless `refine-v1` is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from openzaya.config.rsa import Kind, RSAConfig
from openzaya.errors import ConfigError
from openzaya.types import Message


@dataclass(frozen=True, slots=True)
class Template:
    """Constant pieces around the problem and the tails. `header` has one `{number}`."""

    head: str
    header: str
    close: str


_ATTEMPTS = (
    "Below stand a problem and several attempts at it. Of each attempt you see only the end; it "
    "may be wrong, or break off. Check the attempts against the problem and against each other. "
    "Use what is right in them; where they disagree, find out which one is right; if none is, "
    "solve the problem in another way. Do not retell the attempts.{form}\n\nProblem:\n"
)
_HEADER = "\n\n[End of attempt {number}]\n"
_CLOSE = "\n\n[No more attempts]\nWrite the best solution of the problem.{form}"


def _of_kind(form: str) -> Template:
    form = f" {form}" if form else ""
    return Template(_ATTEMPTS.replace("{form}", form), _HEADER, _CLOSE.replace("{form}", form))


TEMPLATES = {
    # Short, for tiny models: each piece is one token of their vocabulary.
    "aggregate-v1": Template(
        head="The ends of earlier attempts follow the problem. Some are wrong or unfinished. "
        "Combine what is right and go on from there.\nProblem:\n",
        header="\nAttempt {number}:\n",
        close="\nYour solution:",
    ),
    "free-v1": _of_kind(""),
    "math-v1": _of_kind("Give the final answer in \\boxed{}."),
    "choice-v1": _of_kind("Give the letter of the right option in \\boxed{}."),
    "code-v1": _of_kind("Give the whole program in one fenced code block."),
    "puzzle-v1": _of_kind("Give the final answer in <answer></answer>."),
    # One attempt, to be gone on with.
    "refine-v1": Template(
        head="Below stand a problem and the end of an attempt at it, which may be wrong or break "
        "off. Check it, mend what is wrong, go on from there, and give the final answer in the "
        "form that the problem asks for.\n\nProblem:\n",
        header="\n\n[End of attempt {number}]\n",
        close="\n\n[No more attempts]\nGo on to a complete solution.",
    ),
    # Whole answers of others as references, and a solution of one's own.
    "pacore-v1": Template(
        head="Below stand a problem and reference answers to it, in no order; each may be right "
        "or wrong. Weigh them with care, and then write a complete solution of your own that "
        "stands by itself.\n\nProblem:\n",
        header="\n\n[Reference {number}]\n",
        close="\n\n[No more references]\nWrite your own complete solution.",
    ),
}
NEWEST: dict[Kind, str] = {
    "math": "math-v1",
    "choice": "choice-v1",
    "code": "code-v1",
    "free": "free-v1",
    "puzzle": "puzzle-v1",
}


def find_template(name: str) -> Template:
    """The template with the id `name`; ConfigError if there is none."""
    if name not in TEMPLATES:
        raise ConfigError(f"no template is called {name!r}", f"known: {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def template_of(config: RSAConfig) -> str:
    """Id of the template that a run uses."""
    return config.template or NEWEST[config.kind]


def aggregation_messages(
    messages: tuple[Message, ...], tails: Sequence[str], template: str
) -> tuple[Message, ...]:
    """The conversation with its last user turn wrapped around `tails`; earlier turns stay.

    head, problem, then header 1, tail 1 .. header C, tail C, then close. Tails enter verbatim.
    """
    t = find_template(template)
    assert messages and messages[-1].role == "user", "a conversation to answer ends with the user"
    headers = _headers(t.header, len(tails))
    blocks = "".join(map(str.__add__, headers, tails))
    content = f"{t.head}{messages[-1].content}{blocks}{t.close}"
    return (*messages[:-1], Message("user", content))


def fixed_phrases(template: str, candidates: int) -> list[str]:
    """The constant pieces in order; a tiny model's tokenizer gives each one token."""
    t = find_template(template)
    return [t.head, *_headers(t.header, candidates), t.close]


@lru_cache
def _headers(header: str, count: int) -> tuple[str, ...]:
    return tuple(header.format(number=i) for i in range(1, count + 1))
