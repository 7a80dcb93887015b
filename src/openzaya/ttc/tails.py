"""The end of a rollout, cut on token ids.

Text would not do: words are no tokens, and splitting on them loses newlines and code.
"""

from __future__ import annotations

from typing import Literal

from openzaya.types import Completion, ThinkIds


def tail_ids(
    completion: Completion, tau: int, scope: Literal["full", "reasoning"], think: ThinkIds
) -> list[int]:
    """The last `tau` generated ids, or all of them if there are fewer.

    Scope "full" cuts from reasoning and answer, "reasoning" from what precedes the first
    `</think>`; think tags and end token are dropped first, so tau counts text. Whether the
    rollout concluded does not matter (report arXiv 2605.05365, Markovian RSA).
    """
    assert tau > 0, "a slice [-0:] would keep everything"
    ids = completion.token_ids.tolist()
    if scope == "reasoning":
        ids = think.split(ids)[0]
    return [i for i in ids if i not in (think.open, think.close, think.end)][-tau:]
