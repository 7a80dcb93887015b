"""The chat form: ChatML turns with a think block, as text and back.

    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n<think>{reasoning}</think>{answer}<|im_end|>

A generation prompt ends with ``<think>``, so everything the model writes is reasoning until it
closes the block. (Structure from the released models; the exact white space is our DEFAULT.)
"""

from __future__ import annotations

from collections.abc import Sequence

from openzaya.types import Message


class Special(str):
    """A special token, as against somebody's text that spells one."""

    __slots__ = ()


IM_START = Special("<|im_start|>")
IM_END = Special("<|im_end|>")
THINK = Special("<think>")
END_THINK = Special("</think>")
BOS = Special("<bos>")
PAD = Special("<pad>")
SPECIAL_TOKENS = (PAD, BOS, IM_START, IM_END, THINK, END_THINK)


def turn_pieces(message: Message) -> list[str]:
    """One finished turn, end token included, without the newline that follows it."""
    if message.role != "assistant":
        return [IM_START, f"{message.role}\n{message.content}", IM_END]
    think = [THINK, message.reasoning or "", END_THINK]
    return [IM_START, "assistant\n", *think, message.content, IM_END]


def prompt_pieces(messages: Sequence[Message]) -> list[str]:
    """What a model continues: all turns, then an opened assistant turn and think block.

    Pieces are `Special` or text, in order; a tokenizer encodes each by itself, so that no text
    of a user, and no tail of a rollout, can end a turn or a think block.
    """
    turns = [piece for m in messages for piece in (*turn_pieces(m), "\n")]
    return [*turns, IM_START, "assistant\n", THINK]


def conversation_pieces(messages: Sequence[Message]) -> list[str]:
    """A finished conversation for training; `prompt_pieces` of the context is a prefix of it."""
    return [piece for m in messages for piece in (*turn_pieces(m), "\n")][:-1]


TEMPLATE = """\
{{- '<bos>' -}}
{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if m.role == 'assistant' -%}
{{- '<think>' + (m.reasoning_content or '') + '</think>' -}}
{%- endif -%}
{{- m.content + '<|im_end|>' -}}
{%- if not loop.last or add_generation_prompt %}{{ '\\n' }}{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>' }}{% endif -%}
"""
"""chat_template.jinja: the same form for other software. As text, a user's "<|im_end|>" becomes the
special token there; only `Special` pieces are safe from that."""
