"""A conversation as ids and a loss mask; the one place that says which tokens are trained on.

Every document begins with <bos>, in training and in prompts alike. The chat form itself lives in
`openzaya.chat`; the mask is found by encoding the same text that a sampler would be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from openzaya.chat import SPECIAL_TOKENS, render_conversation, render_prompt
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


def encode_prompt(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """What a model is given to continue: <bos>, all turns, an opened think block."""
    return [tokenizer.bos_id, *tokenizer.encode(render_prompt(messages))]


def conversation_ids(messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """<bos> and all turns, finished. `encode_prompt` of the context is a prefix of it."""
    _check_plain_text(messages)
    return [tokenizer.bos_id, *tokenizer.encode(render_conversation(messages))]


def encode_conversation(
    messages: Sequence[Message], tokenizer: Tokenizer, train_on: Literal["all", "assistant"]
) -> Example:
    """Encode a finished conversation.

    "all" trains on every token after <bos> (base and mid-training). "assistant" trains on what
    the assistant writes in each of its turns: reasoning, </think>, answer and <|im_end|> (SFT).
    The mask is a DEFAULT: arXiv 2605.05365 does not state one.
    """
    ids = conversation_ids(messages, tokenizer)
    loss_mask = np.zeros(len(ids), dtype=np.bool_)
    if train_on == "all":
        loss_mask[1:] = True
    else:
        for turn, message in enumerate(messages):
            if message.role != "assistant":
                continue
            prompt = encode_prompt(messages[:turn], tokenizer)
            end = len(conversation_ids(messages[: turn + 1], tokenizer))
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


def _check_plain_text(messages: Sequence[Message]) -> None:
    """A special token spelled out in a message would be encoded as the real one: a turn or a
    think block would end where its author did not end it."""
    for turn, message in enumerate(messages):
        for token in SPECIAL_TOKENS:
            if token in message.content or token in (message.reasoning or ""):
                raise DataError(
                    f"turn {turn} ({message.role}) has {token} in its text",
                    "remove it; turns and think blocks come from `Message`'s fields alone",
                )
