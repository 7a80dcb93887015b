"""Who draws the rollouts: an engine in this process, or servers that are sent the weights.

A crew has one job beyond sampling: `publish`, after which every token is drawn by the new weights.
Requests in flight go on under them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Protocol

import httpx

from openzaya.config.asynchrony import SamplersConfig
from openzaya.engine import Engine, EngineSampler
from openzaya.engine.endpoint import Patience
from openzaya.engine.http import HTTPSampler
from openzaya.errors import EngineError
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.tokenizer import Tokenizer
from openzaya.types import Completion, Request, Sampler

STARTS = 120.0
"""Seconds that a server may take until it listens."""
PUBLISHES = 600.0
"""Seconds that it may take for new weights."""
HOMES = 10_000
"""Groups of which it is remembered where they are drawn."""


class Crew(Protocol):
    @property
    def sampler(self) -> Sampler:
        """One of them, for what is not part of training."""
        ...

    async def sample(self, request: Request, group: int) -> list[Completion]:
        """Rollouts of one group go to one sampler, whose prefix cache then serves them."""
        ...

    async def publish(self, version: int) -> None: ...

    async def close(self) -> None: ...


class Here:
    """The engine of this process; weights go from module to engine between two of its steps."""

    def __init__(self, model: ZayaForCausalLM, tokenizer: Tokenizer, version: int) -> None:
        self._model = model
        self.engine = Engine(model, tokenizer.im_end_id, version=version)
        self.sampler = EngineSampler(self.engine, tokenizer)

    async def sample(self, request: Request, group: int) -> list[Completion]:
        return await self.sampler.sample([request])

    async def publish(self, version: int) -> None:
        if version != self.engine.version:
            await self.sampler.service.load(self._model, version)

    async def close(self) -> None:
        await self.sampler.service.rest()


class Servers:
    """`zaya serve` processes, ours or anybody's: exact sampling, weights by folder and version."""

    def __init__(
        self, config: SamplersConfig, model: ZayaForCausalLM, tokenizer: Tokenizer, folder: Path
    ) -> None:
        """`folder`: where weights are written for the servers, who must see it too."""
        self._config, self._model, self._tokenizer = config, model, tokenizer
        self.folder, self.version = folder, 0
        self._token = os.environ.get(config.token_variable) or secrets.token_hex(16)
        shutil.rmtree(folder, ignore_errors=True)
        self._write(0)
        self._processes = [self._start(i) for i in range(config.processes)]
        urls = [*(p.url for p in self._processes), *config.urls]
        self._members = [self._member(url) for url in urls]
        self._flying: Counter[int] = Counter()
        self._home: dict[int, int] = {}
        self._mending = asyncio.Lock()

    @property
    def sampler(self) -> Sampler:
        return self._members[0]

    async def sample(self, request: Request, group: int) -> list[Completion]:
        """EngineError where a server fails; one of ours that is gone is started anew first."""
        i = self._home.setdefault(
            group, min(range(len(self._members)), key=lambda i: (self._flying[i], i))
        )
        if len(self._home) > HOMES:
            self._home.pop(next(iter(self._home)))
        self._flying[i] += 1
        try:
            return await self._members[i].sample([request])
        except EngineError:
            await self._mend(i)
            raise
        finally:
            self._flying[i] -= 1

    async def publish(self, version: int) -> None:
        """All of them, at the same time; EngineError if one cannot."""
        await asyncio.to_thread(self._write, version)
        self.version = version
        await asyncio.gather(*(self._update(i) for i in range(len(self._members))))
        for old in self.folder.iterdir():
            if old.is_dir() and old != self._path(version):
                shutil.rmtree(old)

    async def close(self) -> None:
        for member in self._members:
            await member.__aexit__()
        for process in self._processes:
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _update(self, i: int) -> None:
        await self._mend(i)
        root = self._members[i].url.removesuffix("/v1")
        body = {
            "model_path": str(self._path(self.version).resolve()),
            "weight_version": self.version,
        }
        try:
            async with httpx.AsyncClient(timeout=PUBLISHES) as client:
                answer = await client.post(
                    f"{root}/update_weights_from_disk", json=body,
                    headers={"Authorization": f"Bearer {self._token}"},
                )  # fmt: skip
            trouble = "" if answer.status_code == 200 else answer.text[:200]
        except httpx.TransportError as error:
            trouble = repr(error)
        if trouble:
            raise EngineError(
                f"{root} did not take version {self.version}: {trouble}",
                f"start it with {self._config.token_variable} set as here; it must see the run",
            )

    async def _mend(self, i: int) -> None:
        """Start a server of ours anew, if it has ended; it comes with the newest weights."""
        async with self._mending:
            if i >= len(self._processes) or self._processes[i].alive:
                return
            await self._members[i].__aexit__()
            self._processes[i] = await asyncio.to_thread(self._start, i)
            self._members[i] = await asyncio.to_thread(self._member, self._processes[i].url)

    def _start(self, i: int) -> _Process:
        log = self.folder / f"sampler_{i}.log"
        return _Process(self._path(self.version), self._token, self._config.threads, log)

    def _member(self, url: str) -> HTTPSampler:
        return HTTPSampler(
            url, _served(url), self._tokenizer, concurrency=self._config.concurrency, exact=True,
            patience=Patience(attempts=1, timeout=self._config.timeout),
        )  # fmt: skip

    def _path(self, version: int) -> Path:
        return self.folder / f"version_{version:06d}"

    def _write(self, version: int) -> None:
        path = self._path(version)
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_model(self._model, temporary)
        self._tokenizer.save(temporary)
        temporary.rename(path)


class _Process:
    """A server of our own on a free port of this machine."""

    def __init__(self, folder: Path, token: str, threads: int, log: Path) -> None:
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "openzaya.cli", "serve", str(folder), "port=0",
                    "name=policy", f"threads={threads}", "max_queue=100000", "max_sequences=256",
                ],
                stderr=stderr, stdin=subprocess.DEVNULL,
                env=os.environ | {"ZAYA_CONTROL_TOKEN": token, "OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip
        until = time.monotonic() + STARTS
        while " at http://" not in (text := log.read_text()):
            if not self.alive or time.monotonic() > until:
                self.stop()
                raise EngineError(
                    f"a sampler did not start: {text.strip()[-300:] or 'it said nothing'}",
                    "try it by hand: zaya serve FOLDER",
                )
            time.sleep(0.05)
        self.url = text.split(" at ")[1].split()[0]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _served(url: str) -> str:
    """The name of the model that a server has, once it listens."""
    until = time.monotonic() + STARTS
    while True:
        try:
            return httpx.get(f"{url.rstrip('/')}/models").json()["data"][0]["id"]
        except (httpx.TransportError, ValueError, KeyError, IndexError) as error:
            if time.monotonic() > until:
                raise EngineError(
                    f"{url} names no model: {error!r}", "start the server first"
                ) from error
        time.sleep(0.05)
