"""What a task is: where its problems come from, how they are asked, and who judges.

Sampling and samples per problem are the report's harness settings (arXiv 2605.05365). It does not
say how many tokens a rollout may have: `max_tokens` is our DEFAULT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openzaya.config.rsa import Kind
from openzaya.types import Message, Score

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a rollout is drawn. `top_k` 0 keeps all."""

    temperature: float
    top_p: float
    top_k: int


REASONING = Sampling(1.0, 0.95, 0)
"""The report's setting for mathematics, knowledge and instruction following."""
CODE = Sampling(0.6, 0.95, 20)
"""The report's setting for code, agentic and style tasks."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows are published. `digest`: of all items (see `data.digest_of`), where we have
    seen the published file; None where we have not, and then what is seen is only recorded."""

    hub: str
    """owner/name on the Hugging Face hub."""
    split: str
    rows: int | None
    subset: str | None = None
    revision: str | None = None
    """Commit on the hub; None: not pinned, since we could not see it."""
    digest: str | None = None
    licence: str = ""
    files: tuple[str, ...] = ()
    """JSONL files of the hub's repository, where it holds a loading script that is not run."""
    gated: bool = False
    """Its terms must be accepted on the hub first."""


@dataclass(frozen=True, slots=True)
class Item:
    """One problem as it is asked. `target` is shown in logs; `private` is for the judge."""

    id: str
    messages: tuple[Message, ...]
    target: str
    private: Any = None

    @property
    def question(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Verdict:
    """`answer`: in the form in which answers of one problem are compared; None: there is none."""

    score: Score
    answer: str | None


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A row of the table. `items` reads published rows, ValueError or KeyError where they are not
    in the published form; `judge` never raises, whatever a model wrote."""

    name: str
    about: str
    source: Source | None
    """None: the problems are generated."""
    sampling: Sampling
    k: int
    """Samples per problem in the report's table."""
    max_tokens: int
    kind: Kind
    items: Callable[[list[Row]], list[Item]]
    judge: Callable[[Item, str | None], Verdict]
    published: str = ""
    """Its name in the report's tables."""
    needs: str = ""
    """"sandbox": runs programs. "lm-eval": judged by functions of that package."""
    graded: bool = False
    """Scored by the mean of a scale, not by right or wrong: no pass@k, no majority."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A benchmark of the report that cannot be run from here, and who can."""

    name: str
    about: str
    why: str
    instead: str
    k: int
    published: str = ""


def ask(question: str) -> tuple[Message, ...]:
    return (Message("user", question),)
