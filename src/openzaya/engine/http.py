"""A `Sampler` over an OpenAI-compatible endpoint.

Such an endpoint returns text. Its ids are those that `tokenizer` gives to it, its log-probabilities
are unknown (NaN): enough for Markovian RSA and for data, not for RL. Our own server returns what
was drawn as well, if it is asked (`exact`): ids, log-probabilities, versions, experts.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from openzaya.chat import END_THINK
from openzaya.errors import EngineError
from openzaya.tokenizer import Tokenizer
from openzaya.types import Completion, FinishReason, Message, Request, ThinkIds

RETRIES = 6
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may succeed."""


class HTTPSampler:
    """Use in an `async with` block, which closes its connections."""

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Tokenizer,
        *,
        key: str | None = None,
        concurrency: int = 16,
        timeout: float = 3600.0,
        first_wait: float = 1.0,
        exact: bool = False,
    ) -> None:
        """`first_wait`: seconds before the first repetition; each later one waits twice as long."""
        self.url, self.model, self.tokenizer = url.rstrip("/"), model, tokenizer
        self.think_ids = ThinkIds(tokenizer.think_id, tokenizer.end_think_id, tokenizer.im_end_id)
        self._first_wait, self._exact = first_wait, exact
        self._room = asyncio.Semaphore(concurrency)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=concurrency)
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits)

    async def __aenter__(self) -> HTTPSampler:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """EngineError when the endpoint refuses, or stays away for all repetitions."""
        return list(await asyncio.gather(*(self._one(r) for r in requests)))

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(token_ids))

    async def _one(self, request: Request) -> Completion:
        params = request.params
        body = {
            "model": self.model,
            "messages": [_plain(m) for m in request.messages],
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": params.seed if self._exact else params.seed % 2**31,  # others take fewer bits
        }
        for name in ("top_k", "min_p", "thinking_budget"):
            if value := getattr(params, name):
                body[name] = value
        if params.stop:
            body["stop"] = list(params.stop)
        if self._exact:
            body |= {"return_token_ids": True, "return_routed_experts": request.return_experts}
        async with self._room:
            answer = await self._post(body)
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            content = message.get("content") or ""
            reasoning = message.get("reasoning_content") or message.get("reasoning")
            cut = choice["finish_reason"] == "length"
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineError(
                f"{self.url} answered with no chat completion: {str(answer)[:200]}",
                "check that the URL ends where /chat/completions begins, as in .../v1",
            ) from error
        finish = FinishReason.LENGTH if cut else FinishReason.STOP
        if self._exact:
            return self._drawn(choice, finish)
        return self._completion(request, reasoning, content, finish)

    async def _post(self, body: dict[str, Any]) -> Any:
        wait, trouble = self._first_wait, ""
        for attempt in range(RETRIES):
            if attempt:
                await asyncio.sleep(wait)
                wait *= 2
            try:
                answer = await self._client.post(f"{self.url}/chat/completions", json=body)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                trouble = str(error) or type(error).__name__
                continue
            if answer.status_code == 200:
                return _json(answer)
            trouble = f"{answer.status_code} {answer.text[:200]}"
            if answer.status_code not in PASSING:
                break
        raise EngineError(
            f"{self.url}: {trouble}", "check the endpoint, the name of the model and the key"
        )

    def _drawn(self, choice: dict[str, Any], finish: FinishReason) -> Completion:
        """What our server says was drawn."""
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
        decode = self.tokenizer.decode
        return Completion(
            prompt_ids=prompt, token_ids=np.array(ids, dtype=np.int32), logprobs=logprobs,
            policy_version=versions, finish_reason=finish,
            text=decode(ids, skip_special=False), reasoning=decode(reasoning),
            answer=None if answer is None else decode(answer).strip(), experts=experts,
        )  # fmt: skip

    def _inexact(self, why: str) -> EngineError:
        return EngineError(
            f"{self.url} did not say what it drew: {why}",
            "exact sampling needs `zaya serve`; other servers return text",
        )

    def _completion(
        self, request: Request, reasoning: str | None, content: str, finish: FinishReason
    ) -> Completion:
        """Text that was split by the server, or that holds the tags itself, or has no thinking."""
        if reasoning is None and END_THINK in content:
            reasoning, _, content = content.partition(END_THINK)
            reasoning = reasoning.removeprefix("<think>")
        encode, think = self.tokenizer.encode, self.think_ids
        open_ = reasoning is not None and not content
        ids = encode(reasoning or "")
        if not open_:
            ids = [*ids, think.close, *encode(content)]
        if finish is FinishReason.STOP:
            ids.append(think.end)
        return Completion(
            prompt_ids=np.array(self.tokenizer.prompt_ids(request.messages), dtype=np.int32),
            token_ids=np.array(ids, dtype=np.int32),
            logprobs=np.full(len(ids), np.nan, dtype=np.float32),
            policy_version=np.zeros(len(ids), dtype=np.int32),
            finish_reason=finish,
            text=self.tokenizer.decode(ids, skip_special=False),
            reasoning=reasoning or "",
            answer=None if open_ else content.strip(),
        )


def _plain(message: Message) -> dict[str, str]:
    table = {"role": message.role, "content": message.content}
    return table | ({"reasoning_content": message.reasoning} if message.reasoning else {})


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise EngineError(
            f"{answer.url} answered with no JSON: {answer.text[:100]!r}",
            "check that the URL ends where /chat/completions begins, as in .../v1",
        ) from error
