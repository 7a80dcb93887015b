"""/v1/chat/completions and /v1/completions: whole or streamed."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from openzaya.engine.sequence import Sequence
from openzaya.engine.service import aborted
from openzaya.engine.text import StopTexts
from openzaya.errors import ZayaError
from openzaya.serve.errors import ApiError
from openzaya.serve.reply import Reply
from openzaya.serve.schema import ChatRequest, CompletionRequest, Sampling
from openzaya.serve.service import Service, broken, no_model
from openzaya.serve.tools import with_tools
from openzaya.types import SamplingParams


class Job:
    """One request: its sequences and their replies."""

    def __init__(self, service: Service, body: ChatRequest | CompletionRequest) -> None:
        self.service, self.body = service, body
        self.chat = isinstance(body, ChatRequest)
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self.created = int(time.time())
        if body.model not in (None, service.name):
            raise no_model(body.model, service.name)
        if (body.n or 1) > service.config.max_choices:
            raise ApiError(400, f"n: at most {service.config.max_choices}", "n")
        tools = []
        if isinstance(body, ChatRequest) and body.tool_choice != "none":
            tools = body.tools or []
        self.replies: list[Reply] = []
        for number, prompt in enumerate(self._prompts(tools)):
            for i in range(body.n or 1):
                params = self._params(prompt, number * (body.n or 1) + i)
                watch = StopTexts(service.tokenizer, params.stop) if params.stop else None
                s = Sequence(prompt, params, body.return_routed_experts, watch)
                self.replies.append(
                    Reply(
                        s,
                        service.tokenizer,
                        len(self.replies),
                        thinks=self.chat,
                        stop=params.stop,
                        tools=tools,
                    )
                )
        self.sequences = [r.sequence for r in self.replies]

    def _prompts(self, tools: list[Any]) -> list[list[int]]:
        tokenizer, body = self.service.tokenizer, self.body
        field = "messages" if isinstance(body, ChatRequest) else "prompt"
        try:
            if isinstance(body, ChatRequest):
                return [tokenizer.prompt_ids(with_tools(body.messages, tools))]
            prompt = body.prompt
            if isinstance(prompt, str):
                prompt = [prompt]
            if not prompt:
                raise ApiError(400, "prompt: empty", "prompt")
            if isinstance(prompt[0], int):
                prompt = [prompt]  # type: ignore[assignment]
            return [
                [tokenizer.bos_id, *tokenizer.encode(p)] if isinstance(p, str) else list(p)  # type: ignore[call-overload]
                for p in prompt
            ]
        except ZayaError as error:  # a character that the tokenizer cannot spell
            raise ApiError(400, f"{field}: {error.message}", field) from None

    def _params(self, prompt: list[int], index: int) -> SamplingParams:
        body, service = self.body, self.service
        room = service.engine.capacity - len(prompt)
        if room < 1:
            field = "messages" if self.chat else "prompt"
            raise ApiError(
                400, f"{field}: {len(prompt)} tokens fill the window of {service.engine.capacity}",
                field, "context_length_exceeded",
            )  # fmt: skip
        asked = body.max_tokens
        if isinstance(body, ChatRequest):
            asked = body.max_completion_tokens or body.max_tokens
        limit = asked or room
        if limit > room:
            raise ApiError(
                400, f"max_tokens: {limit} and a prompt of {len(prompt)} exceed the window of "
                f"{service.engine.capacity} tokens", "max_tokens", "context_length_exceeded",
            )  # fmt: skip
        seed = body.seed if body.seed is not None else uuid.uuid4().int >> 65
        top = body.top_logprobs if isinstance(body, ChatRequest) else body.logprobs
        if isinstance(body, ChatRequest) and top and not body.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", "top_logprobs")
        return SamplingParams(
            max_tokens=limit,
            temperature=service.config.temperature
            if body.temperature is None
            else body.temperature,
            top_p=service.config.top_p if body.top_p is None else body.top_p,
            seed=_mixed(seed, index),
            top_k=max(0, body.top_k or 0),
            min_p=body.min_p or 0.0,
            stop=body.stops,
            stop_ids=tuple(body.stop_token_ids or ()),
            logit_bias=self._bias(body),
            top_logprobs=min(top or 0, service.engine.config.vocab_size),
            thinking_budget=body.thinking_budget,
        )

    def _bias(self, body: Sampling) -> tuple[tuple[int, float], ...]:
        size, pairs = self.service.engine.config.vocab_size, []
        for key, value in (body.logit_bias or {}).items():
            if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < size):
                raise ApiError(
                    400, f"logit_bias: {key[:20]!r} is no token id below {size}", "logit_bias"
                )
            if abs(value) > 100:
                raise ApiError(400, f"logit_bias: {value} is not within -100..100", "logit_bias")
            pairs.append((int(key), value))
        return tuple(pairs)

    async def whole(self) -> dict[str, Any]:
        """The answer, when all of it is there."""
        await self.service.run(self.sequences)
        return self._frame(
            "chat.completion" if self.chat else "text_completion",
            choices=[self._choice(r) for r in self.replies],
            usage=self._usage(),
        )

    def _choice(self, r: Reply) -> dict[str, Any]:
        _, calls = r.end()
        body = self.body
        extras = r.extras(body.return_token_ids, body.return_routed_experts)
        if not isinstance(body, ChatRequest):
            logprobs = r.completion_logprobs() if body.logprobs is not None else None
            return {
                "index": r.index, "text": r.content, "logprobs": logprobs,
                "finish_reason": r.finish_reason, **extras,
            }  # fmt: skip
        message: dict[str, Any] = {
            "role": "assistant",
            "content": r.content if r.content or not calls else None,
            "refusal": None,
            "reasoning_content": r.reasoning or None,
            "reasoning": r.reasoning or None,
        }
        if calls:
            message["tool_calls"] = [call.model_dump() for call in calls]
        return {
            "index": r.index,
            "message": message,
            "logprobs": r.chat_logprobs(0, len(r.sequence.tokens)) if body.logprobs else None,
            "finish_reason": "tool_calls" if calls else r.finish_reason,
            **extras,
        }

    async def stream(self) -> AsyncIterator[str]:
        """The data of server-sent events. Ends with an error event where the answer cannot."""
        with self.service.asynchronous.listening() as news:
            task = asyncio.ensure_future(self.service.run(self.sequences))
            task.add_done_callback(lambda _: news.set())
            try:
                async for data in self._follow(news, task):
                    yield data
                await task
                options = self.body.stream_options
                if options is not None and options.include_usage:
                    yield self._data(choices=[], usage=self._usage())
                yield "[DONE]"
            except ApiError as error:
                yield json.dumps(error.body)
            finally:
                task.cancel()

    async def _follow(self, news: asyncio.Event, task: asyncio.Future[None]) -> AsyncIterator[str]:
        """Chunks of all choices until each has ended, or the request has failed."""
        if self.chat:
            for r in self.replies:
                yield self._chunk(r, {"role": "assistant", "content": ""})
        going = list(self.replies)
        while going and not (task.done() and task.exception()):
            for r in list(going):
                if aborted(r.sequence):
                    raise broken(r.sequence)
                ended = r.sequence.finish is not None
                for piece in self._pieces(r, ended):
                    yield piece
                if ended:
                    going.remove(r)
            if going:
                await news.wait()
                news.clear()

    def _pieces(self, r: Reply, ended: bool) -> list[str]:
        """Chunks for what came of one choice."""
        first, pieces = r.seen, []
        delta, calls = r.end() if ended else (r.push(), [])
        logprobs = None
        if isinstance(self.body, ChatRequest) and self.body.logprobs and r.seen > first:
            logprobs = r.chat_logprobs(first, r.seen)
        if delta or logprobs:
            if self.chat:
                text: dict[str, Any] = {}
                if delta.reasoning:
                    text |= {"reasoning_content": delta.reasoning, "reasoning": delta.reasoning}
                if delta.content or not delta.reasoning:
                    text["content"] = delta.content
                pieces.append(self._chunk(r, text, logprobs))
            else:
                pieces.append(self._chunk(r, {"text": delta.content}))
        if not ended:
            return pieces
        if calls:
            listed = [{"index": i, **call.model_dump()} for i, call in enumerate(calls)]
            pieces.append(self._chunk(r, {"tool_calls": listed}))
        extras = r.extras(self.body.return_token_ids, self.body.return_routed_experts)
        reason = "tool_calls" if calls else r.finish_reason
        pieces.append(self._chunk(r, {} if self.chat else {"text": ""}, None, reason, extras))
        return pieces

    def _chunk(
        self,
        r: Reply,
        text: dict[str, Any],
        logprobs: Any = None,
        finish: str | None = None,
        extras: dict[str, Any] | None = None,
    ) -> str:
        content = {"delta": text} if self.chat else text
        choice = {"index": r.index, **content, "logprobs": logprobs, "finish_reason": finish}
        return self._data(choices=[choice | (extras or {})])

    def _data(self, **parts: Any) -> str:
        return json.dumps(
            self._frame("chat.completion.chunk" if self.chat else "text_completion", **parts)
        )

    def _frame(self, kind: str, **parts: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.service.name,
            "system_fingerprint": f"policy-{self.service.engine.version}",
            "policy_version": self.service.engine.version,
            **parts,
        }

    def _usage(self) -> dict[str, Any]:
        """Prompts are counted once each, as OpenAI does."""
        prompts = {tuple(s.prompt): s for s in reversed(self.sequences)}
        prompt = sum(map(len, prompts))
        written = sum(len(s.tokens) for s in self.sequences)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": sum(s.cached for s in prompts.values())},
            "completion_tokens_details": {
                "reasoning_tokens": sum(r.reasoning_tokens for r in self.replies)
            },
        }


def _mixed(seed: int, index: int) -> int:
    """The seed of a request's choice: the first one's is the request's own."""
    return (seed + index * 0x9E3779B97F4A7C15) % 2**63
