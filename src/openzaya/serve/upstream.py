"""The same server before any OpenAI-compatible endpoint.

A request that asks for Markovian RSA is reasoned out here, its rollouts are the endpoint's; every
other request goes through as it is, in both directions. No model is loaded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from openzaya.config.sampler import SamplerConfig
from openzaya.config.serve import ServeConfig
from openzaya.engine.endpoint import (
    CONNECT_SECONDS,
    Patience,
    Served,
    base_url,
    connect,
    served,
    shown,
)
from openzaya.engine.http import HTTPSampler
from openzaya.engine.text_tokens import EndpointTokens, LocalTokens
from openzaya.errors import EngineError
from openzaya.serve import frame, page, rsa
from openzaya.serve.errors import ApiError
from openzaya.serve.frame import client
from openzaya.serve.rsa_fields import RSAChatRequest
from openzaya.serve.rsa_run import Runs
from openzaya.serve.schema import ChatRequest, parse

OWN = {
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host",
    "content-length", "proxy-authorization", "proxy-authenticate", "accept-encoding",
}  # fmt: skip
"""Headers that belong to one connection; bodies travel uncompressed, an error may end them."""
ASKS = set(RSAChatRequest.model_fields) - set(ChatRequest.model_fields)
"""Fields that no endpoint knows."""


class ProxyMetrics:
    """Counts what ends."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "zaya_requests", "HTTP requests by route and status", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip

    def text(self) -> bytes:
        return generate_latest(self.registry)


@dataclass
class Upstream:
    """An endpoint, and the runs that it writes for."""

    config: ServeConfig
    source: SamplerConfig
    key: str | None = None
    """The endpoint's; none: what each client sends goes on to the endpoint."""
    api_key: str | None = None
    """What clients must send to this server."""
    control_token: str | None = None

    metrics: ProxyMetrics = field(default_factory=ProxyMetrics)
    runs: Runs = field(default_factory=Runs)
    draining: bool = False
    open: set[asyncio.Task[object]] = field(default_factory=set)
    version: None = None
    _passing: set[asyncio.Task[Any]] = field(default_factory=set)
    _wire: httpx.AsyncHTTPTransport = field(default_factory=httpx.AsyncHTTPTransport)
    """A client would keep one user's cookies for the next."""

    def __post_init__(self) -> None:
        assert self.source.endpoint is not None
        self.url = base_url(self.source.endpoint)
        file = self.source.tokenizer
        self._local = None if file is None else LocalTokens.load(file)

    @property
    def capacity(self) -> int:
        return self.config.max_queue + self.config.max_sequences

    def admit_run(self, rollouts: int) -> None:
        if self.draining:
            raise ApiError(503, "the server is shutting down", retry_after=5)
        if self.runs.reserved + rollouts > self.capacity:
            raise ApiError(
                429, f"{self.runs.reserved} rollouts are on their way already", None, "queue_full",
                retry_after=5,
            )  # fmt: skip

    def _forwarded(self, key: str | None) -> str | None:
        """The key that the endpoint is shown."""
        if self.key is not None:
            return self.key
        return None if self.api_key is not None else key

    async def models(self, key: str | None) -> list[Served]:
        try:
            async with connect(self._forwarded(key), 1) as connection:
                return await served(connection, self.url)
        except EngineError as error:
            raise ApiError(502, error.message, None, "upstream") from None

    async def model(self, name: str | None, key: str | None) -> tuple[str, int | None]:
        known = await self.models(key)
        name = name or self.source.model or (known[0].name if len(known) == 1 else None)
        names = [m.name for m in known]
        if name is None:
            listed = ", ".join(names[:8]) or "none that it lists"
            raise ApiError(400, f"model: name one; the endpoint has {listed}", "model")
        if names and name not in names:
            raise ApiError(
                404, f"no model {name!r}; the endpoint has {', '.join(names[:8])}", "model",
                "model_not_found",
            )  # fmt: skip
        return name, next((m.context_length for m in known if m.name == name), None)

    @asynccontextmanager
    async def sampler(
        self, model: str, key: str | None, window: int | None
    ) -> AsyncIterator[HTTPSampler]:
        """Connections of one run's own: closed with it, they free its places upstream."""
        source, own = self.source, self._forwarded(key)
        patience = Patience(source.attempts, source.timeout)
        async with connect(own, source.concurrency) as connection:
            try:
                tokens = self._local or await EndpointTokens.find(
                    connection, self.url, model, patience
                )
            except EngineError as error:
                raise ApiError(502, f"{error.message}; {error.hint}", None, "upstream") from None
            async with HTTPSampler(
                self.url, model, tokens, key=own, concurrency=source.concurrency,
                patience=patience, fields=source.fields, opens_think=source.opens_think,
                extra={k: None if v == "none" else v for k, v in source.extra.items()},
                context_length=window,
            ) as sampler:  # fmt: skip
                yield sampler

    @property
    def busy(self) -> bool:
        return bool(self.runs.active or self._passing)

    def drain(self) -> None:
        self.draining = True

    async def abort(self) -> None:
        self.runs.abort()
        for task in self._passing:
            task.cancel()

    async def close(self) -> None:
        await self._wire.aclose()

    async def forward(self, request: Request, body: bytes) -> Response:
        """The request at the endpoint, and its answer as it comes."""
        if self.draining:
            raise ApiError(503, "the server is shutting down", retry_after=5)
        path = request.path_params.get("path", "") or request.url.path.lstrip("/")
        path = path.removeprefix("v1/")
        theirs = {k: v for k, v in request.headers.items() if k not in {*OWN, "authorization"}}
        key = self._forwarded(rsa.key_of(request))
        if key is not None:
            theirs["authorization"] = f"Bearer {key}"
        sent = httpx.Request(
            request.method, f"{self.url}/{path}", params=request.query_params, headers=theirs,
            content=body, extensions={"timeout": {"connect": CONNECT_SECONDS}},
        )  # fmt: skip
        try:
            response = await self._wire.handle_async_request(sent)
        except httpx.RequestError as error:
            trouble = str(error) or type(error).__name__
            raise ApiError(502, f"{shown(self.url)}: {trouble}", None, "upstream") from None
        headers = {k: v for k, v in response.headers.items() if k not in OWN}
        return StreamingResponse(self._through(response), response.status_code, headers)

    async def _through(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Bytes of the answer. When this server ends, or the endpoint does, a stream says so."""
        streamed = "event-stream" in response.headers.get("content-type", "")
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            async for piece in response.aiter_raw():
                yield piece
        except (httpx.RequestError, asyncio.CancelledError) as error:
            ended = isinstance(error, asyncio.CancelledError)
            if not streamed or (ended and not self.draining):
                raise
            why = "the server is shutting down" if ended else f"the endpoint broke off: {error}"
            failed = ApiError(503 if ended else 502, why, None, "aborted" if ended else "upstream")
            yield b"data: " + json.dumps(failed.body).encode() + b"\n\n"
        finally:
            self._passing.discard(task)
            await response.aclose()


def create_app(upstream: Upstream) -> Starlette:
    """Our routes, and the endpoint's behind them."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    return frame.starlette(
        upstream,
        [
            ("/v1/chat/completions", "POST", chat, client),
            ("/v1/models", "GET", models, client),
            *rsa.ROUTES,
            ("/", "GET", page.show, None),
            ("/health", "GET", frame.health, None),
            ("/ready", "GET", frame.ready, None),
            ("/metrics", "GET", frame.metrics, None),
            *(("/v1/{path:path}", method, through, client) for method in methods),
        ],
    )


async def chat(upstream: Upstream, request: Request) -> Response:
    raw = await frame.body_of(upstream, request)
    if not _asks(raw):
        return await upstream.forward(request, raw)
    body = parse(RSAChatRequest, raw)
    run = await rsa.run_of(upstream, request, body)
    if run is None:  # for instance "rsa": false
        table = {k: v for k, v in json.loads(raw).items() if k not in ASKS}
        return await upstream.forward(request, json.dumps(table).encode())
    return await rsa.respond(upstream, request, run)


def _asks(raw: bytes) -> bool:
    """Whether a body has anything to do with RSA; all others are the endpoint's to judge."""
    try:
        table = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    if not isinstance(table, dict):
        return False
    model = table.get("model")
    return bool(ASKS & set(table)) or (isinstance(model, str) and ":rsa" in model)


async def models(upstream: Upstream, request: Request) -> Response:
    """The endpoint's list, and the presets as models of their own."""
    response = await upstream.forward(request, b"")
    assert isinstance(response, StreamingResponse)
    raw = b"".join([piece async for piece in response.body_iterator])  # type: ignore[misc]
    if response.status_code != 200:
        return Response(raw, response.status_code, media_type="application/json")
    known = {m.name: m for m in await upstream.models(rsa.key_of(request))}
    table: Any = json.loads(raw)
    rows = table.get("data", [])
    own = [m for m in rows if m.get("id") in known]  # without presets that the endpoint lists
    more = [row for m in own for row in rsa.variants(m, known[m["id"]].context_length)]
    return JSONResponse({**table, "data": [*own, *more]})


async def through(upstream: Upstream, request: Request) -> Response:
    return await upstream.forward(request, await frame.body_of(upstream, request))
