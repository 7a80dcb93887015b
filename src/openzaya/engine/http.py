"""A `Sampler` over an OpenAI-compatible endpoint.

Such an endpoint returns text. Its ids are those that a tokenizer gives to it, its log-probabilities
are unknown (NaN), its prompt a number of tokens (ids -1): enough for Markovian RSA and for data,
not for RL. Our own server returns what was drawn as well, if it is asked (`exact`): ids,
log-probabilities, versions, experts.

Reading order: `endpoint` (asking again, errors), `heard` (one answer), `text_tokens`, this.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx
import httpx_sse
import numpy as np

from openzaya.chat import END_THINK
from openzaya.engine.endpoint import (
    Passing,
    Patience,
    base_url,
    check_status,
    connect,
    parsed,
    persist,
    shown,
)
from openzaya.engine.heard import Heard, no_completion, overlong
from openzaya.engine.text_tokens import LocalTokens, TextTokens
from openzaya.errors import EngineError
from openzaya.tokenizer import Tokenizer
from openzaya.types import Completion, FinishReason, Message, Request, ThinkIds

LARGEST_BODY = 64 << 20
"""Bytes of an answer in one piece that are read."""


class HTTPSampler:
    """Use in an `async with` block, which closes its connections.

    A request that is cancelled, or runs out of time, closes its connection, which frees its place
    in the endpoint. After a failed attempt a request's `on_text` hears the text from its start.
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokens: Tokenizer | TextTokens,
        *,
        key: str | None = None,
        concurrency: int = 16,
        patience: Patience | None = None,
        fields: Literal["all", "openai"] = "all",
        extra: Mapping[str, Any] | None = None,
        opens_think: bool = False,
        exact: bool = False,
        context_length: int | None = None,
    ) -> None:
        """`extra`: further fields of each request; None leaves one of ours out. `opens_think`:
        text without `</think>` is reasoning. `context_length`: tokens of prompt and answer that
        fit, None where nobody knows."""
        self.url, self.model, self.context_length = base_url(url), model, context_length
        self._tokens = LocalTokens(tokens.inner) if isinstance(tokens, Tokenizer) else tokens
        self.think_ids: ThinkIds = self._tokens.think_ids
        self._patience = patience or Patience()
        self._fields, self._extra, self._opens_think = fields, dict(extra or {}), opens_think
        assert not exact or isinstance(self._tokens, LocalTokens), "ids are decoded here"
        self._exact = exact
        self._room = asyncio.Semaphore(concurrency)
        self._client = connect(key, concurrency)

    async def __aenter__(self) -> HTTPSampler:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """EngineError when the endpoint refuses, or fails in all attempts; then the others of this
        call are cancelled."""
        bodies = [self._body(r) for r in requests]
        tasks = [
            asyncio.ensure_future(self._one(*pair)) for pair in zip(requests, bodies, strict=True)
        ]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # their connections are closed

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return await self._tokens.decode(token_ids)

    def _body(self, request: Request) -> dict[str, Any]:
        """What is sent; EngineError for what the endpoint's fields cannot say."""
        p = request.params
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [_plain(m, self._fields == "all") for m in request.messages],
            "temperature": p.temperature,
            "top_p": p.top_p,
        }
        own = {
            name: value
            for name in ("top_k", "min_p", "thinking_budget")
            if (value := getattr(p, name))
        }
        if self._fields == "openai":
            if own:
                raise EngineError(
                    f"OpenAI's fields have no {', '.join(own)}", "use sampler.fields=all"
                )
            body["max_completion_tokens"] = p.max_tokens
            body = {k: v for k, v in body.items() if k not in ("temperature", "top_p") or v != 1}
        else:
            # Others take fewer bits of a seed than we.
            body |= {"max_tokens": p.max_tokens, **own}
            body["seed"] = p.seed if self._exact else p.seed % 2**31
        if p.stop:
            body["stop"] = list(p.stop)
        if self._exact:
            body |= {"return_token_ids": True, "return_routed_experts": request.return_experts}
        # Streamed although nobody may listen: llama.cpp writes on for a client that has left unless
        # it finds the stream closed, and proxies give up on connections that are silent for long.
        body |= {"stream": True, "stream_options": {"include_usage": True}, **self._extra}
        if not body["stream"]:
            body["stream"] = body["stream_options"] = None
        return {k: v for k, v in body.items() if v is not None}

    async def _one(self, request: Request, body: dict[str, Any]) -> Completion:
        async with self._room:
            heard = await persist(lambda: self._ask(request, body), self._patience, self.url)
        finish = FinishReason.LENGTH if heard.cut else FinishReason.STOP
        if self._exact:
            return await self._drawn(heard, finish)
        return await self._completion(request, heard, finish)

    async def _ask(self, request: Request, body: dict[str, Any]) -> Heard:
        heard = Heard(self.url, request.params.max_tokens, request.on_text)
        address = f"{self.url}/chat/completions"
        async with self._client.stream("POST", address, json=body) as response:
            if response.status_code != 200:
                fields = [k for k in body if k not in ("model", "messages")]
                check_status(response, await _read(response, self.url), self.url, fields)
            kind = response.headers.get("content-type", "").partition(";")[0]
            if body.get("stream") and kind == "text/event-stream":
                await self._listen(response, heard)
                return heard
            text = await _read(response, self.url)
        if (table := parsed(text)) is None:
            raise no_completion(self.url, text)
        heard.whole(table)
        return heard

    async def _listen(self, response: httpx.Response, heard: Heard) -> None:
        """Until the stream says that it is done. One that only stops has lost its end."""
        async for event in httpx_sse.EventSource(response).aiter_sse():
            if event.data.strip() == "[DONE]":
                heard.release()
                return
            if not event.data:
                continue
            if (table := parsed(event.data)) is None:
                raise Passing(f"an event that is no JSON: {event.data[:100]!r}")
            heard.chunk(table)
        if heard.finish is None:
            raise Passing("the stream was cut")
        heard.release()

    async def _drawn(self, heard: Heard, finish: FinishReason) -> Completion:
        """What our server says was drawn."""
        choice = heard.choice
        try:
            ids = [int(i) for i in choice["token_ids"]]
            logprobs = np.array(choice["token_logprobs"], dtype=np.float32)
            versions = np.array(choice["policy_versions"], dtype=np.int32)
            prompt = np.array(choice["prompt_token_ids"], dtype=np.int32)
            experts = None
            if (routed := choice.get("routed_experts")) is not None:
                flat = np.frombuffer(base64.b64decode(routed["data"]), dtype=np.uint8)
                experts = flat.reshape(routed["shape"])
            whole = len(ids) == len(logprobs) == len(versions)
        except (KeyError, TypeError, ValueError) as error:
            raise self._inexact(repr(error)) from error
        if not whole or not ids or not np.isfinite(logprobs).all():
            raise self._inexact(
                f"{len(ids)} tokens, {np.isfinite(logprobs).sum()} log-probabilities"
            )
        reasoning, answer = self.think_ids.split(ids)
        assert isinstance(self._tokens, LocalTokens)
        decode = self._tokens.decode
        return Completion(
            prompt_ids=prompt, token_ids=np.array(ids, dtype=np.int32), logprobs=logprobs,
            policy_version=versions, finish_reason=finish,
            text=await decode(ids, skip_special=False), reasoning=await decode(reasoning),
            answer=None if answer is None else (await decode(answer)).strip(), experts=experts,
            cached_tokens=heard.cached_tokens,
        )  # fmt: skip

    def _inexact(self, why: str) -> EngineError:
        return EngineError(
            f"{shown(self.url)} did not say what it drew: {why}",
            "exact sampling needs `zaya serve`; other servers return text",
        )

    async def _completion(self, request: Request, heard: Heard, finish: FinishReason) -> Completion:
        """Ids of the text; a mark between reasoning and answer only where the text had one."""
        reasoning, answer, apart = heard.texts(self._opens_think)
        think = self.think_ids
        ids = await self._tokens.encode(reasoning)
        text = reasoning
        if apart and answer is not None:
            ids = [*ids, think.close, *await self._tokens.encode(answer)]
            text += END_THINK + answer
        most, written = request.params.max_tokens, heard.count("completion_tokens")
        # By its own count, or by ours, which finds more where the model spells in odd pieces.
        if (written or 0) > 2 * most + 64 or (written is None and len(ids) > 4 * most + 256):
            raise overlong(self.url, f"{written or len(ids)} tokens", most)
        if finish is FinishReason.STOP:
            ids.append(think.end)
        read = heard.count("prompt_tokens")
        if read is None:
            prompts = [await self._tokens.encode(m.content) for m in request.messages]
            read = sum(map(len, prompts))
        return Completion(
            prompt_ids=np.full(read, -1, dtype=np.int32),
            token_ids=np.array(ids, dtype=np.int32),
            logprobs=np.full(len(ids), np.nan, dtype=np.float32),
            policy_version=np.zeros(len(ids), dtype=np.int32),
            finish_reason=finish,
            text=text,
            reasoning=reasoning,
            answer=answer,
            cached_tokens=heard.cached_tokens,
            written=written,
        )


async def _read(response: httpx.Response, url: str) -> str:
    """A body, but not an endless one."""
    raw = bytearray()
    async for piece in response.aiter_bytes():
        raw += piece
        if len(raw) > LARGEST_BODY:
            raise EngineError(
                f"{shown(url)} answers with more than {LARGEST_BODY >> 20} MiB", "check the URL"
            )
    return raw.decode("utf-8", "replace")


def _plain(message: Message, reasons: bool) -> dict[str, str]:
    table = {"role": message.role, "content": message.content}
    own = {"reasoning_content": message.reasoning} if reasons and message.reasoning else {}
    return table | own
