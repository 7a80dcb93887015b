"""The loss mask covers what the assistant writes, and prompts are prefixes of documents."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.chat import BOS, conversation_pieces
from openzaya.data.example import encode_conversation
from openzaya.errors import DataError
from openzaya.tokenizer import build_phrase_tokenizer
from openzaya.types import Message

_PROMPTS = {"t": [f"all of {i}" if i % 2 else f"sum of {i}" for i in range(16)]}
TOKENIZER = build_phrase_tokenizer(
    _PROMPTS, ["user\n", "assistant\n", "so ", "\n\n"], string.printable
)
_text = st.lists(st.sampled_from(["all", "sum", "so ", "\n", "7", "x", "assistant\n", "<"])).map(
    "".join
)
_turns = st.lists(st.tuples(_text, _text, st.one_of(st.none(), _text)), min_size=1, max_size=3)


def _conversation(turns: list[tuple[str, str, str | None]]) -> list[Message]:
    messages: list[Message] = []
    for question, answer, reasoning in turns:
        messages += [Message("user", question), Message("assistant", answer, reasoning)]
    return messages


@given(_turns)
def test_the_targets_are_what_a_sampler_would_write(
    turns: list[tuple[str, str, str | None]],
) -> None:
    messages = _conversation(turns)
    example = encode_conversation(messages, TOKENIZER, "assistant")
    assert example.ids.dtype == np.int32 and example.loss_mask.dtype == np.bool_
    assert example.ids.shape == example.loss_mask.shape == (len(example),)
    written = TOKENIZER.decode(example.ids[example.loss_mask], skip_special=False)
    assert written == "".join(f"{r or ''}</think>{a}<|im_end|>" for _, a, r in turns)


@given(_turns)
def test_every_prompt_is_a_prefix_of_its_document(
    turns: list[tuple[str, str, str | None]],
) -> None:
    messages = _conversation(turns)
    ids = TOKENIZER.conversation_ids(messages)
    for turn in range(1, len(messages), 2):
        prompt = TOKENIZER.prompt_ids(messages[:turn])
        assert ids[: len(prompt)] == prompt
        assert prompt[-1] == TOKENIZER.think_id
    assert TOKENIZER.decode(ids, skip_special=False) == "".join(
        [BOS, *conversation_pieces(messages)]
    )


def test_golden_masks() -> None:
    messages = [Message("user", "7"), Message("assistant", "8", "so 9")]
    example = encode_conversation(messages, TOKENIZER, "assistant")
    tokens = [TOKENIZER.inner.id_to_token(int(i)) for i in example.ids]
    prompt = ["<bos>", "<|im_start|>", "user\n", "7", "<|im_end|>", "\n"]
    prompt += ["<|im_start|>", "assistant\n", "<think>"]
    written = ["so ", "9", "</think>", "8", "<|im_end|>"]
    assert tokens == prompt + written
    assert example.loss_mask.tolist() == [False] * len(prompt) + [True] * len(written)
    everything = encode_conversation(messages, TOKENIZER, "all")
    assert everything.ids.tolist() == example.ids.tolist()
    assert everything.loss_mask.tolist() == [False] + [True] * (len(tokens) - 1)


def test_nothing_to_train_on_is_an_error() -> None:
    messages = [Message("user", "7")]
    with pytest.raises(DataError, match="no assistant turn"):
        encode_conversation(messages, TOKENIZER, "assistant")
    assert encode_conversation(messages, TOKENIZER, "all").loss_mask.sum() > 0
