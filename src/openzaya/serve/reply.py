"""From the tokens of one sequence to what its client reads: reasoning, content, tool calls.

A stream and a whole answer come from the same object, so they cannot differ. Text that might be
the beginning of a stop text, or of a tool call, is held until it is known not to be.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

from openzaya.engine.sequence import Sequence
from openzaya.engine.text import TextStream
from openzaya.serve.schema import Tool, ToolCall
from openzaya.serve.tools import OPEN, read_calls
from openzaya.tokenizer import Tokenizer
from openzaya.types import FinishReason


@dataclass(slots=True)
class Delta:
    """What came since the last one."""

    reasoning: str = ""
    content: str = ""

    def __bool__(self) -> bool:
        return bool(self.reasoning or self.content)


class Reply:
    """One choice. `push` after every step, `end` when the sequence has ended."""

    def __init__(
        self,
        sequence: Sequence,
        tokenizer: Tokenizer,
        index: int,
        *,
        thinks: bool,
        stop: Many[str] = (),
        tools: Many[Tool] = (),
    ) -> None:
        self.sequence, self.tokenizer, self.index = sequence, tokenizer, index
        self._stop, self._tools = tuple(stop), tuple(tools)
        self._stream = TextStream(tokenizer, keep_special=bool(tools))
        self._thinking = thinks
        self.seen = 0
        """Tokens read."""
        self._held = ""
        self._stopped = False
        self._begun = not thinks  # white space between </think> and the answer is nobody's
        self.reasoning = self.content = ""
        self.reasoning_tokens = 0
        self.answer_from = 0
        """Index of the first token after `</think>`."""

    def push(self) -> Delta:
        """The text of tokens that have come."""
        delta = Delta()
        end = len(self.sequence.tokens)
        while self.seen < end and not self._stopped:
            token = self.sequence.tokens[self.seen]
            self.seen += 1
            if token == self.tokenizer.im_end_id:
                break
            if self._thinking and token == self.tokenizer.end_think_id:
                self._release(delta, final=True)
                self._thinking, self.answer_from = False, self.seen
                self._stream = TextStream(self.tokenizer, keep_special=bool(self._tools))
                continue
            if self._thinking:
                self.reasoning_tokens += 1
            self._held += self._stream.push([token])
            self._release(delta, final=False)
        return delta

    def end(self) -> tuple[Delta, list[ToolCall]]:
        """The rest, and the tool calls in it."""
        delta = self.push()
        if not self._tools:
            self._release(delta, final=True)
            return delta, []
        self._cut_at_stop()
        rest, calls = read_calls(self._held, self._tools)
        self._held = rest if calls else self._held
        self._release(delta, final=True, tools=False)
        return delta, calls

    def _release(self, delta: Delta, final: bool, tools: bool = True) -> None:
        """Move what is certain from the held text to the delta."""
        self._cut_at_stop()
        keep = 0
        if not final and not self._stopped:
            keep = max((_overlap(self._held, s) for s in self._stop), default=0)
            if tools and self._tools and not self._thinking:
                at = self._held.find(OPEN)
                keep = max(keep, len(self._held) - at if at >= 0 else _overlap(self._held, OPEN))
        text, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        if self._thinking:
            delta.reasoning += text
            self.reasoning += text
            return
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        delta.content += text
        self.content += text

    def _cut_at_stop(self) -> None:
        places = [at for s in self._stop if (at := self._held.find(s)) >= 0]
        if places:
            self._held, self._stopped = self._held[: min(places)], True

    @property
    def finish_reason(self) -> str:
        """OpenAI's word for it."""
        return "length" if self.sequence.finish is FinishReason.LENGTH else "stop"

    def chat_logprobs(self, low: int, high: int) -> dict[str, Any]:
        """OpenAI's list for tokens low .. high - 1; those of the thinking stand apart."""
        tables = [self._entry(i) for i in range(low, high)]
        cut = max(0, min(self.answer_from or len(self.sequence.tokens), high) - low)
        if not self.answer_from and not self._thinking:
            cut = 0
        return {"content": tables[cut:], "reasoning": tables[:cut], "refusal": None}

    def _entry(self, i: int) -> dict[str, Any]:
        s = self.sequence
        top = s.top_logprobs[i] if s.top_logprobs else []
        return {
            **self._token(s.tokens[i], s.raw_logprobs[i]),
            "top_logprobs": [self._token(token, logp) for token, logp in top],
        }

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = self.tokenizer.decode([token], skip_special=False)
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode())}

    def completion_logprobs(self) -> dict[str, Any]:
        """The older interface's form."""
        s = self.sequence
        texts = [self.tokenizer.decode([t], skip_special=False) for t in s.tokens]
        offsets = [0]
        for text in texts:
            offsets.append(offsets[-1] + len(text))
        top = [
            {self.tokenizer.decode([t], skip_special=False): max(p, -9999.0) for t, p in row}
            for row in s.top_logprobs
        ]
        return {
            "tokens": texts,
            "token_logprobs": s.raw_logprobs,
            "top_logprobs": top or None,
            "text_offset": offsets[:-1],
        }

    def extras(self, ids: bool, experts: bool) -> dict[str, Any]:
        """What RL needs beyond the text."""
        s = self.sequence
        table: dict[str, Any] = {}
        if ids:
            table |= {
                "token_ids": s.tokens,
                "token_logprobs": s.logprobs,
                "policy_versions": s.versions,
                "prompt_token_ids": s.prompt,
            }
        if experts and s.experts is not None:
            table["routed_experts"] = {
                "shape": list(s.experts.shape),
                "data": base64.b64encode(s.experts.tobytes()).decode(),
            }
        return table


def _overlap(text: str, pattern: str) -> int:
    """Length of the longest beginning of `pattern` that `text` ends in, short of all of it."""
    longest = min(len(text), len(pattern) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(pattern[:n])), 0)
