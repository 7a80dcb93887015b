"""The chat form: ChatML turns with a think block, as text and back.

    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n<think>{reasoning}</think>{answer}<|im_end|>

A generation prompt ends with ``<think>``, so everything the model writes is reasoning until it
closes the block. (Structure from the released models; the exact white space is our DEFAULT.)
"""

from __future__ import annotations

from collections.abc import Sequence

from openzaya.types import Message

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
THINK = "<think>"
END_THINK = "</think>"
BOS = "<bos>"
PAD = "<pad>"
SPECIAL_TOKENS = (PAD, BOS, IM_START, IM_END, THINK, END_THINK)


def render_turn(message: Message) -> str:
    """One finished turn, end token included, without the newline that follows it."""
    body = message.content
    if message.role == "assistant":
        body = f"{THINK}{message.reasoning or ''}{END_THINK}{body}"
    return f"{IM_START}{message.role}\n{body}{IM_END}"


def render_prompt(messages: Sequence[Message]) -> str:
    """The text a model continues: all turns, then an opened assistant turn and think block."""
    turns = "".join(render_turn(m) + "\n" for m in messages)
    return f"{turns}{IM_START}assistant\n{THINK}"


def render_conversation(messages: Sequence[Message]) -> str:
    """A finished conversation for training; `render_prompt` of the context is a prefix of it."""
    return "\n".join(render_turn(m) for m in messages)


def split_completion(text: str) -> tuple[str, str | None]:
    """(reasoning, answer) of generated text; the answer is None while the block is open.

    The first `</think>` closes the block: whatever follows is the answer, end token dropped.
    """
    text = text.removesuffix(IM_END)
    reasoning, closed, answer = text.partition(END_THINK)
    return reasoning, (answer.strip() if closed else None)
