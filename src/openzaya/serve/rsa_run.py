"""One run of Markovian RSA, as a chat completion, whole or streamed, or as its bare events.

A stream never falls silent: what happens becomes lines of `reasoning_content`, and where nothing
happens a line says that. The answer comes as `content`; each chunk has the event as `rsa`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from collections.abc import Sequence as Many
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from openzaya.errors import ConfigError, ZayaError
from openzaya.serve import frame
from openzaya.serve.errors import ApiError
from openzaya.serve.rsa_fields import RSAChatRequest, Wish
from openzaya.serve.rsa_text import Narrator, metadata, plain, usage, zyphra
from openzaya.serve.tools import with_tools
from openzaya.ttc import check, reason
from openzaya.ttc.events import CandDelta, CandStart, Event, FinalDelta, RunEnd, RunStart
from openzaya.ttc.run import Result
from openzaya.types import Completion, Sampler, ThinkIds
from openzaya.types import Request as Rollout

PROMISED = 10.0
"""Seconds for which an admitted run keeps its places before it begins."""


@dataclass
class Runs:
    """Runs on their way, and the places that they have been promised."""

    active: dict[str, Run] = field(default_factory=dict)
    reserved: int = 0
    flying: int = 0
    """Rollouts that are with the sampler now."""

    @property
    def idle(self) -> int:
        """Places promised to rollouts that have not started."""
        return max(0, self.reserved - self.flying)

    def take(self, run: Run) -> None:
        """A run's places, until `leave`."""
        if run.id not in self.active:
            self.active[run.id] = run
            self.reserved += run.width

    def leave(self, run: Run) -> None:
        if self.active.pop(run.id, None) is not None:
            self.reserved -= run.width

    def abort(self) -> None:
        """End all of them; their clients hear an error."""
        for run in list(self.active.values()):
            run.abort()


class RSAHost(frame.Host, Protocol):
    """Who has models to run on."""

    runs: Runs

    @property
    def capacity(self) -> int:
        """Rollouts that may be on their way or wait, over all requests."""
        ...

    @property
    def version(self) -> int | None:
        """Of the weights, where that is known."""
        ...

    async def model(self, name: str | None, key: str | None) -> tuple[str, int | None]:
        """The model meant by `name`, and its window; ApiError 404 if there is none."""
        ...

    def sampler(
        self, model: str, key: str | None, window: int | None
    ) -> AbstractAsyncContextManager[Sampler]: ...

    def admit_run(self, rollouts: int) -> None:
        """ApiError 429 or 503 if so many more cannot wait here now."""
        ...


class _Counted:
    """A sampler whose rollouts are counted while they are on their way."""

    def __init__(self, sampler: Sampler, runs: Runs) -> None:
        self._sampler, self._runs = sampler, runs
        self.think_ids: ThinkIds = sampler.think_ids
        self.context_length: int | None = getattr(sampler, "context_length", None)
        self.tokenizer = getattr(sampler, "tokenizer", None)

    async def sample(self, requests: Many[Rollout]) -> list[Completion]:
        self._runs.flying += len(requests)
        try:
            return await self._sampler.sample(requests)
        finally:
            self._runs.flying -= len(requests)

    async def detokenize(self, token_ids: Many[int]) -> str:
        return await self._sampler.detokenize(token_ids)


class Run:
    """One request that asks for RSA."""

    def __init__(
        self, host: RSAHost, body: RSAChatRequest, wish: Wish, model: str, window: int | None,
        key: str | None,
    ) -> None:  # fmt: skip
        self.host, self.body, self.wish = host, body, wish
        self.model, self._window, self._key = model, window, key
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.messages = with_tools(body.messages, ())
        if body.messages[-1].role != "user" or not self.messages[-1].content.strip():
            raise ApiError(400, "messages: the last one must be the user's question", "messages")
        config = wish.config
        most = host.config.max_rollouts
        if config.generations > most:
            name = wish.names.get("population") or wish.field_of("rounds")
            raise ApiError(
                400, f"{name}: {config.generations} rollouts; this server allows {most}", name
            )
        widest = max(config.width(t) for t in range(config.rounds + 1))
        self.width = min(widest, config.concurrency or widest, host.capacity)
        """Rollouts on their way at one time."""
        self.config = config.model_copy(update={"concurrency": self.width})
        told = repr([(m.role, m.content, m.reasoning) for m in self.messages]).encode()
        self.run_id = hashlib.blake2b(told, digest_size=8).hexdigest()
        """Of the question: with the seed it makes a run repeatable."""
        self.stop = asyncio.Event()
        self.result: Result | None = None
        self._task: asyncio.Task[Result] | None = None
        self._promise: asyncio.TimerHandle | None = None
        self._aborted = False
        self._started: dict[str, Any] = {}
        self._parents: dict[str, list[int]] = {}

    async def check(self) -> None:
        """ApiError for what cannot run, or not now: before tokens are spent, or a status sent."""
        runs = self.host.runs
        self.host.admit_run(self.width)
        runs.take(self)
        try:
            await self._fit()
        except BaseException:
            runs.leave(self)
            raise
        # A client may leave before its stream begins; then nobody else would give them back.
        self._promise = asyncio.get_running_loop().call_later(PROMISED, runs.leave, self)

    async def _fit(self) -> None:
        async with self.host.sampler(self.model, self._key, self._window) as sampler:
            try:
                check(self.messages, _Counted(sampler, self.host.runs), self.config)
            except ConfigError as error:
                raise self._misfit(error) from None
            except ZayaError as error:  # a character that the tokenizer cannot spell
                raise ApiError(400, f"messages: {error.message}", "messages") from None

    def _misfit(self, error: ConfigError) -> ApiError:
        """What cannot run, by the client's name for what is at fault."""
        large = "model holds" in error.message
        field = self.wish.misfit(self._window) if large else self.wish.field_of(error.message)
        code = "context_length_exceeded" if large else None
        return ApiError(400, f"{field}: {error.message}", field, code)

    def abort(self) -> None:
        self._aborted = True
        if self._task is not None:
            self._task.cancel()

    async def _reason(self, hear: Any) -> Result:
        host = self.host
        async with host.sampler(self.model, self._key, self._window) as sampler:
            return await reason(
                self.messages, _Counted(sampler, host.runs), self.config, run_id=self.run_id,
                on_event=hear, stop=self.stop, model=self.model,
            )  # fmt: skip

    async def events(self, silence: float, deltas: bool) -> AsyncGenerator[Event | None]:
        """All events; None where none came for `silence` seconds. ApiError at the end of a run
        that failed. Closing the iterator cancels the run and frees its places."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def hear(event: Event) -> None:
            if deltas or not isinstance(event, CandDelta):
                queue.put_nowait(event)

        if self._promise is not None:
            self._promise.cancel()
        runs = self.host.runs
        runs.take(self)
        self._task = task = asyncio.ensure_future(self._reason(hear))
        task.add_done_callback(lambda _: (runs.leave(self), queue.put_nowait(None)))
        if self._aborted:
            task.cancel()
        try:
            while True:
                try:
                    async with asyncio.timeout(silence):
                        event = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if event is None:
                    break
                self._remember(event)
                yield event
            self.result = self._outcome(task)
        finally:
            task.cancel()

    def _outcome(self, task: asyncio.Task[Result]) -> Result:
        if task.cancelled():
            assert self._aborted, "nobody else cancels it"
            raise ApiError(
                503, "the run was cut short by the server", None, "aborted", retry_after=1
            )
        error = task.exception()
        if isinstance(error, ZayaError):
            raise ApiError(502 if self.host.version is None else 500, error.message, None, "rsa")
        result = task.result()
        if result.stop == "error" and result.response is None and result.answer is None:
            why = result.refusal or result.detail or "no rollout succeeded"
            raise ApiError(502 if self.host.version is None else 500, why, None, "rsa_failed")
        return result

    def _remember(self, event: Event) -> None:
        if isinstance(event, RunStart):
            self._started = event.to_json()
        elif isinstance(event, CandStart):
            self._parents[event.id] = event.parents

    async def whole(self) -> dict[str, Any]:
        """The answer, when it is there."""
        async with aclosing(self.events(silence=3600.0, deltas=False)) as events:
            async for _ in events:
                pass
        result = self.result
        assert result is not None
        thought = _thought(result)
        message = {
            "role": "assistant", "content": _content(result), "refusal": None,
            "reasoning_content": thought or None, "reasoning": thought or None,
        }  # fmt: skip
        choice = {
            "index": 0, "message": message, "logprobs": None, "finish_reason": _finish(result),
        }  # fmt: skip
        extras = self._extras(result)
        return self._frame("chat.completion", choices=[choice], usage=usage(result), **extras)

    def _extras(self, result: Result) -> dict[str, Any]:
        """What stands beside a completion."""
        table: dict[str, Any] = {"rsa": metadata(result, self.wish.preset, self.run_id)}
        if self.wish.metadata_back:
            table["rsa_metadata"] = zyphra(result)
        if self.wish.prompt_back:
            table["aggregation_prompt"] = self._aggregation_prompt(result)
        return table

    def _aggregation_prompt(self, result: Result) -> str | None:
        """The last user turn that the chosen rollout was given; where that was no aggregation, the
        one of the last round's first."""
        chosen = result.chosen
        aggregated = chosen is not None and chosen.round > 0
        round_ = chosen.round if chosen and aggregated else self.config.rounds
        id_ = chosen.id if chosen and aggregated else f"{round_}.0"
        if round_ == 0 or id_ not in self._parents:  # T = 0, or the run did not come so far
            return None
        t, before = self._started["template"], result.populations[round_ - 1]
        shown = [before[p] for p in self._parents[id_]]
        blocks = "".join(
            t["header"].format(number=i) + c.tail for i, c in enumerate(shown, 1) if c is not None
        )
        return f"{t['head']}{self._started['question']}{blocks}{t['close']}"

    async def stream(self) -> AsyncIterator[str]:
        """The data of server-sent events. Ends with an error event where the answer cannot."""
        narrator, options = Narrator(self.config), self.body.stream_options
        final: list[FinalDelta] = []
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            silence = self.host.config.progress_seconds
            async with aclosing(self.events(silence, deltas=False)) as events:
                async for event in events:
                    if event is None:
                        yield self._chunk(_aloud(narrator.silence()))
                    elif isinstance(event, FinalDelta):
                        final.append(event)  # it comes with the end, and reasoning goes before it
                    elif not isinstance(event, RunEnd):
                        yield self._chunk(_aloud(narrator.line(event)), plain(event))
            result = self.result
            assert result is not None
            if thought := _thought(result):
                yield self._chunk(_aloud(f"\n{thought}"))
            for event in final:
                yield self._chunk({"content": event.text}, plain(event))
            yield self._chunk({}, None, _finish(result), **self._extras(result))
            if options is not None and options.include_usage:
                yield self._data(choices=[], usage=usage(result))
            yield "[DONE]"
        except ApiError as error:
            yield json.dumps(error.body)

    def _chunk(
        self, delta: dict[str, Any], event: dict[str, Any] | None = None,
        finish: str | None = None, **more: Any,
    ) -> str:  # fmt: skip
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        extras = ({"rsa": event} if event is not None else {}) | more
        return self._data(choices=[choice], **extras)

    def _data(self, **parts: Any) -> str:
        return json.dumps(self._frame("chat.completion.chunk", **parts))

    def _frame(self, kind: str, **parts: Any) -> dict[str, Any]:
        table = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        version = self.host.version
        if version is not None:
            table |= {"system_fingerprint": f"policy-{version}", "policy_version": version}
        return table | parts

    async def page(self) -> AsyncIterator[str]:
        """The events themselves."""
        try:
            silence = self.host.config.heartbeat_seconds
            async with aclosing(self.events(silence, deltas=True)) as events:
                async for event in events:
                    if event is not None:
                        yield json.dumps(plain(event))
            yield "[DONE]"
        except ApiError as error:
            yield json.dumps(error.body)


def _aloud(text: str) -> dict[str, Any]:
    """A delta of reasoning, in both spellings that clients know."""
    return {"reasoning_content": text, "reasoning": text} if text else {}


def _content(result: Result) -> str:
    return result.response or result.answer or ""


def _thought(result: Result) -> str:
    """The end of the chosen rollout's reasoning."""
    chosen = result.chosen
    if chosen is None:
        return ""
    answered = (chosen.response or "").strip()
    return chosen.tail.rstrip().removesuffix(answered).rstrip() if answered else chosen.tail


def _finish(result: Result) -> str:
    """OpenAI's word: length where no rollout came to its end."""
    done = result.chosen is not None and result.chosen.finish == "stop"
    return "stop" if done or _content(result) else "length"
