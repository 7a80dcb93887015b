"""The end of a rollout, cut on token ids.

Text would not do: words are no tokens, and splitting on them loses newlines and code.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from openzaya.types import Completion, ThinkIds

Scope = Literal["full", "reasoning", "answer"]


def tail_ids(completion: Completion, tau: int, scope: Scope, think: ThinkIds) -> list[int]:
    """The last `tau` generated ids, or all of them if there are fewer.

    Scope "full" cuts from reasoning and answer, "reasoning" from what precedes the first
    `</think>`, "answer" from what follows it, if anything does, else from the reasoning. Think
    tags and end token are dropped first, so tau counts text. Whether the rollout concluded does
    not matter (report arXiv 2605.05365, Markovian RSA).
    """
    assert tau > 0, "a slice [-0:] would keep everything"
    ids = completion.token_ids
    if scope != "full" and (closed := _first_close(ids, think)) is not None:
        answer = _text(ids[closed + 1 :], think)
        if scope == "answer" and len(answer):
            return answer[-tau:].tolist()
        ids = ids[:closed]
    return _text(ids, think)[-tau:].tolist()


def reasoning_tokens(completion: Completion, think: ThinkIds) -> int:
    """Generated tokens before the first `</think>`; without one, all of an unanswered rollout."""
    if (closed := _first_close(completion.token_ids, think)) is not None:
        return closed
    return len(completion.token_ids) if completion.answer is None else 0


def _first_close(ids: np.ndarray, think: ThinkIds) -> int | None:
    found = ids == think.close
    first = int(found.argmax()) if len(found) else 0
    return first if len(found) and found[first] else None


def _text(ids: np.ndarray, think: ThinkIds) -> np.ndarray:
    """Without tags and end token."""
    return ids[(ids != think.open) & (ids != think.close) & (ids != think.end)]
