"""One HTTP server with room, patience, a budget and a memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx

from openzaya.config.chat_reward import EndpointConfig
from openzaya.envs.rewards.base import RewardError
from openzaya.errors import ConfigError

PASSING = {408, 409, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may succeed."""


class Endpoint:
    """`counts`: requests, repeated (requests), cached (scores), and what callers add."""

    def __init__(self, config: EndpointConfig) -> None:
        """ConfigError where the key's variable is not set."""
        self.config = config
        self.counts: Counter[str] = Counter()
        headers = {}
        if config.key_variable is not None:
            key = os.environ.get(config.key_variable)
            if not key:
                raise ConfigError(
                    f"the environment variable {config.key_variable} is not set",
                    f"export {config.key_variable}=... or set key_variable=none",
                )
            headers["Authorization"] = f"Bearer {key}"
        limits = httpx.Limits(max_connections=config.concurrency)
        self._client = httpx.AsyncClient(headers=headers, timeout=config.timeout, limits=limits)
        self._room = asyncio.Semaphore(config.concurrency)
        self._known: OrderedDict[str, asyncio.Future[float]] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of the answer. RewardError when the server refuses, stays away for all attempts
        or the budget is spent."""
        config = self.config
        wait, trouble = config.first_wait, ""
        async with self._room:
            for attempt in range(config.attempts):
                if attempt:
                    self.counts["repeated"] += 1
                    await asyncio.sleep(wait)
                    wait *= 2
                if config.budget is not None and self.counts["requests"] >= config.budget:
                    raise RewardError(
                        f"{config.url}: the budget of {config.budget} requests is spent",
                        "raise endpoint.budget",
                    )
                self.counts["requests"] += 1
                try:
                    answer = await self._client.post(f"{config.url.rstrip('/')}{path}", json=body)
                except (httpx.TransportError, httpx.InvalidURL) as error:
                    trouble = str(error) or type(error).__name__
                    continue
                if answer.status_code == 200:
                    try:
                        return answer.json()
                    except ValueError:
                        trouble = f"no JSON but {answer.text[:100]!r}"
                        break
                trouble = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code not in PASSING:
                    break
        raise RewardError(
            f"{config.url}{path}: {trouble}",
            "check the endpoint, the name of the model and the key",
        )

    async def remembered(
        self, parts: tuple[str, ...], work: Callable[[], Awaitable[float]]
    ) -> float:
        """What `work` yields for `parts`, once: callers at the same time share it. Errors are
        forgotten, so that a later call tries again."""
        joined = "\x00".join(f"{len(part)}:{part}" for part in parts)
        key = hashlib.blake2b(joined.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        while (known := self._known.get(key)) is not None:
            try:
                value = await asyncio.shield(known)
            except asyncio.CancelledError:
                if not known.cancelled():
                    raise  # this caller was cancelled, not the one that works
                continue
            self.counts["cached"] += 1
            return value
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._known[key] = future
        try:
            value = await work()
        except BaseException as error:
            del self._known[key]
            if isinstance(error, RewardError):
                future.set_exception(error)
                future.exception()  # nobody else may be waiting for it
            else:
                future.cancel()
            raise
        future.set_result(value)
        self._shrink()
        return value

    def _shrink(self) -> None:
        while len(self._known) > self.config.cache:
            oldest = next((k for k, f in self._known.items() if f.done()), None)
            if oldest is None:
                return
            del self._known[oldest]


async def gathered(calls: list[Awaitable[float]]) -> list[float | RewardError]:
    """What each call yields, or its RewardError; any other error is raised."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    out: list[float | RewardError] = []
    for item in done:
        if isinstance(item, BaseException) and not isinstance(item, RewardError):
            raise item
        out.append(item)
    return out
