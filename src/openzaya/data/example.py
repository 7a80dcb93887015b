"""A conversation as ids and a loss mask; the one place that says which tokens are trained on.

Every document begins with <bos>, in training and in prompts alike. The chat form itself lives in
`openzaya.chat`; the mask begins where a sampler would be left to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from openzaya.chat import BOS, turn_pieces
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
    return join_turns(messages, encode_turns(messages, tokenizer), tokenizer, train_on)


def encode_turns(messages: Sequence[Message], tokenizer: Tokenizer) -> list[list[int]]:
    """Ids of each turn, every text encoded once. <bos> belongs to the first turn, the newline
    between two turns to the second; joined, they are `tokenizer.conversation_ids`."""
    return [
        tokenizer.encode_pieces(["\n" if i else BOS, *turn_pieces(message)])
        for i, message in enumerate(messages)
    ]


def join_turns(
    messages: Sequence[Message],
    turns: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    train_on: Literal["all", "assistant"],
) -> Example:
    """The example of `messages`, whose ids are `turns`. DataError where nothing is a target."""
    ids = np.fromiter((i for turn in turns for i in turn), dtype=np.int32)
    loss_mask = np.zeros(len(ids), dtype=np.bool_)
    if train_on == "all":
        loss_mask[1:] = True
        return Example(ids, loss_mask)
    end = 0
    for message, turn in zip(messages, turns, strict=True):
        begin, end = end, end + len(turn)
        if message.role == "assistant":
            # A prompt ends with <think>, and no text of a message can hold that token.
            loss_mask[begin + turn.index(tokenizer.think_id) + 1 : end] = True
    if not loss_mask.any():
        raise DataError(
            "the conversation has no assistant turn, so there is nothing to train on",
            'add an assistant turn, or train on "all" tokens',
        )
    return Example(ids, loss_mask)
