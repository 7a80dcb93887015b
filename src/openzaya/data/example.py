"""A conversation as ids and a loss mask; the one place that says which tokens are trained on.

Every document begins with <bos>, in training and in prompts alike. The chat form itself lives in
`openzaya.chat`; the mask is found by encoding the same text that a sampler would be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from openzaya.errors import DataError
from openzaya.tokenizer import Tokenizer
from openzaya.types import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One document of T tokens. `loss_mask[t]` says that token t is a target (predicted from
    the tokens before it); token 0, <bos>, never is."""

    ids: np.ndarray  # (T,) int32
    loss_mask: np.ndarray  # (T,) bool

    def __len__(self) -> int:
        return len(self.ids)


def encode_conversation(
    messages: Sequence[Message], tokenizer: Tokenizer, train_on: Literal["all", "assistant"]
) -> Example:
    """Encode a finished conversation.

    "all" trains on every token after <bos> (base and mid-training). "assistant" trains on what
    the assistant writes in each of its turns: reasoning, </think>, answer and <|im_end|> (SFT).
    The mask is a DEFAULT: arXiv 2605.05365 does not state one.
    """
    ids = tokenizer.conversation_ids(messages)
    loss_mask = np.zeros(len(ids), dtype=np.bool_)
    if train_on == "all":
        loss_mask[1:] = True
    else:
        for turn, message in enumerate(messages):
            if message.role != "assistant":
                continue
            prompt = tokenizer.prompt_ids(messages[:turn])
            end = len(tokenizer.conversation_ids(messages[: turn + 1]))
            # Holds because the prompt ends, and the turn ends, in a special token, which no
            # neighbouring text can merge with.
            assert ids[: len(prompt)] == prompt and ids[end - 1] == tokenizer.im_end_id
            loss_mask[len(prompt) : end] = True
        if not loss_mask.any():
            raise DataError(
                "the conversation has no assistant turn, so there is nothing to train on",
                'add an assistant turn, or train on "all" tokens',
            )
    return Example(np.asarray(ids, dtype=np.int32), loss_mask)
