"""The end of a rollout, cut on token ids."""

from __future__ import annotations

from typing import Literal

from openzaya.types import Completion, ThinkIds


def tail_ids(
    completion: Completion, tau: int, scope: Literal["full", "reasoning"], think: ThinkIds
) -> list[int]:
    """The last `tau` generated ids: reasoning and answer with the tags dropped ("full"), or the
    reasoning alone ("reasoning"). Whether the rollout concluded does not matter."""
    ids = completion.token_ids.tolist()
    if scope == "reasoning" and think.close in ids:
        ids = ids[: ids.index(think.close)]
    return [i for i in ids if i not in (think.open, think.close, think.end)][-tau:]
