"""Full queues, clients that leave, new weights, the end."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from openzaya.config.serve import ServeConfig
from openzaya.engine import Sequence
from openzaya.model.checkpoint import save_model
from openzaya.serve.errors import ApiError
from openzaya.serve.service import Service
from openzaya.types import SamplingParams
from tests.serve.conftest import Parrot, Running, service_of

CHAT = "/v1/chat/completions"
LONG: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 900, "temperature": 1.0,
    "logit_bias": {"3": -100}, "ignored": None,
}  # fmt: skip
LONG.pop("ignored")
TOKEN = {"Authorization": "Bearer let me in"}


def long(parrot: Parrot, **more: Any) -> dict[str, Any]:
    """A request that cannot end before its 900 tokens."""
    return LONG | {"logit_bias": {str(parrot.tokenizer.im_end_id): -100}} | more


def slow(service: Service, seconds: float) -> None:
    """Every step takes so long."""
    step = service.engine.step

    def slower(admit: bool = True) -> Any:
        time.sleep(seconds)
        return step(admit)

    service.engine.step = slower  # type: ignore[method-assign]


def wait_for(condition: Any, seconds: float = 10) -> None:
    until = time.time() + seconds
    while not condition():
        assert time.time() < until, "it did not happen"
        time.sleep(0.01)


def test_a_full_queue_answers_429(parrot: Parrot) -> None:
    service = service_of(parrot, {"max_sequences": 2}, max_queue=2)
    slow(service, 0.01)
    with Running(service) as running, ThreadPoolExecutor(12) as pool:
        body = long(parrot, max_tokens=50)

        def call(_: int) -> httpx.Response:
            return httpx.post(running.url + CHAT, json=body, timeout=60)

        answers = list(pool.map(call, range(12)))
        statuses = [a.status_code for a in answers]
        assert set(statuses) == {200, 429} and statuses.count(200) >= 4
        for a in answers:
            if a.status_code == 429:
                assert int(a.headers["retry-after"]) >= 1
                assert a.json()["error"]["type"] == "rate_limit_error"
        # The queue is free again.
        assert call(0).status_code == 200


def test_a_stream_that_has_begun_is_not_refused(parrot: Parrot) -> None:
    """Many come at one moment: each hears 429, or gets its whole answer. Never both."""
    service = service_of(parrot, {"max_sequences": 2}, max_queue=2)
    slow(service, 0.01)
    with Running(service) as running, ThreadPoolExecutor(16) as pool:
        body = long(parrot, max_tokens=20, stream=True)

        def call(_: int) -> tuple[int, str]:
            answer = httpx.post(running.url + CHAT, json=body, timeout=60)
            return answer.status_code, answer.text

        answers = list(pool.map(call, range(48)))
        assert {status for status, _ in answers} == {200, 429}
        for status, text in answers:
            assert status == 429 or (text.rstrip().endswith("[DONE]") and '"error"' not in text)
        wait_for(lambda: not service._promised)


def test_promised_places_of_a_client_that_left_come_back(
    parrot: Parrot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openzaya.serve.service.BEGIN_SECONDS", 0.05)
    service = service_of(parrot, {"max_sequences": 1}, max_queue=1)

    async def admitted_and_gone() -> None:
        service.admit([Sequence([1, 2], SamplingParams(2)) for _ in range(2)])
        with pytest.raises(ApiError):
            service.admit([Sequence([1, 2], SamplingParams(2))])
        await asyncio.sleep(0.2)
        service.admit([Sequence([1, 2], SamplingParams(2))])

    asyncio.run(admitted_and_gone())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(parrot: Parrot, stream: bool) -> None:
    service = service_of(parrot)
    slow(service, 0.005)
    with Running(service) as running:
        scheduler = service.engine.scheduler
        body = long(parrot, stream=stream, n=3)
        if stream:
            with httpx.stream("POST", running.url + CHAT, json=body) as answer:
                lines = answer.iter_lines()  # once collected, it would close the connection
                next(lines)
                wait_for(lambda: scheduler.running == 3)
        else:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(running.url + CHAT, json=body, timeout=0.3)
        wait_for(lambda: not scheduler.busy)
        assert scheduler.blocks.held == 0
        assert service.engine.generated_tokens < 3 * 900


def test_keys(parrot: Parrot) -> None:
    service = service_of(parrot)
    service.api_key = "secret"
    with Running(service) as running:
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        assert httpx.post(running.url + CHAT, json=body).status_code == 401
        for key in ("wrong", "secret"):
            headers = {"Authorization": f"Bearer {key}"}
            status = httpx.post(running.url + CHAT, json=body, headers=headers).status_code
            assert status == (200 if key == "secret" else 401)
        assert httpx.get(f"{running.url}/v1/models").status_code == 401
        assert httpx.get(f"{running.url}/health").status_code == 200
        assert httpx.post(f"{running.url}/pause_generation").status_code == 401
    service = service_of(parrot)
    service.control_token = None
    with Running(service) as running:
        assert httpx.post(f"{running.url}/pause_generation").status_code == 404


@pytest.fixture
def other(parrot: Parrot, tmp_path: Path) -> Path:
    """A folder with other weights of the same shape."""
    model = copy.deepcopy(parrot.model)
    with torch.no_grad():
        model.model.norm.weight.mul_(-1.0)
    save_model(model, tmp_path)
    return tmp_path


def test_new_weights_while_requests_are_on_their_way(parrot: Parrot, other: Path) -> None:
    service = service_of(parrot)
    slow(service, 0.01)
    with Running(service) as running, ThreadPoolExecutor(1) as pool:
        body = long(parrot, max_tokens=100, return_token_ids=True, return_routed_experts=True)
        call = pool.submit(httpx.post, running.url + CHAT, json=body, timeout=60)
        wait_for(lambda: service.engine.generated_tokens > 10)
        done = httpx.post(
            f"{running.url}/update_weights_from_disk", headers=TOKEN,
            json={"model_path": str(other), "weight_version": 41},
        )  # fmt: skip
        assert done.status_code == 200 and done.json()["weight_version"] == 41
        choice = call.result().json()["choices"][0]
        versions = choice["policy_versions"]
        assert set(versions) == {0, 41} and versions == sorted(versions)
        assert len(versions) == len(choice["token_ids"]) == len(choice["token_logprobs"]) == 100
        fed = len(choice["prompt_token_ids"]) + 99
        assert choice["routed_experts"]["shape"] == [fed, 2]
        version = httpx.get(f"{running.url}/weight_version", headers=TOKEN).json()
        assert version["weight_version"] == 41
        wrong = httpx.post(
            f"{running.url}/update_weights_from_disk", headers=TOKEN,
            json={"model_path": str(other / "nowhere")},
        )  # fmt: skip
        assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "model_path"


@pytest.mark.parametrize("mode", ["keep", "wait", "abort"])
def test_pause_modes(parrot: Parrot, mode: str) -> None:
    service = service_of(parrot)
    slow(service, 0.005)
    with Running(service) as running, ThreadPoolExecutor(2) as pool:
        body = long(parrot, max_tokens=60)
        first = pool.submit(httpx.post, running.url + CHAT, json=body, timeout=60)
        wait_for(lambda: service.engine.generated_tokens > 5)
        paused = httpx.post(
            f"{running.url}/pause_generation", json={"mode": mode}, headers=TOKEN, timeout=60
        )
        assert paused.status_code == 200
        steps = service.engine.steps
        second = pool.submit(httpx.post, running.url + CHAT, json=body, timeout=60)
        time.sleep(0.2)
        assert service.engine.steps == steps and not second.done()
        assert first.done() == (mode != "keep")
        if mode == "abort":
            assert first.result().json()["error"]["code"] == "aborted"
        elif mode == "wait":
            assert first.result().status_code == 200
        httpx.post(f"{running.url}/continue_generation", headers=TOKEN)
        assert second.result().status_code == 200
        if mode == "keep":
            assert first.result().json()["usage"]["completion_tokens"] == 60


def test_flush(parrot: Parrot) -> None:
    service = service_of(parrot)
    with Running(service) as running:
        body = {"messages": [{"role": "user", "content": "Hi" * 60}], "max_tokens": 1}

        def cached() -> int:
            usage = httpx.post(running.url + CHAT, json=body).json()["usage"]
            return usage["prompt_tokens_details"]["cached_tokens"]

        assert (cached(), cached() > 0) == (0, True)
        httpx.post(f"{running.url}/flush_cache", headers=TOKEN)
        assert cached() == 0


class Process:
    """`zaya serve` as people start it."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        command = [sys.executable, "-m", "openzaya.cli", "serve", str(folder), "port=0", *overrides]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OPENZAYA_TEST": "1"},
        )  # fmt: skip
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert " at http://" in line, line + self.process.stderr.read()
        self.url = line.split(" at ")[1].strip().removesuffix("/v1")
        for _ in range(1000):
            try:
                httpx.get(f"{self.url}/health")
                return
            except httpx.TransportError:
                time.sleep(0.01)
        raise AssertionError("it does not answer")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def test_sigterm_lets_requests_end(parrot: Parrot) -> None:
    with Process(parrot.folder, "temperature=0.0") as server, ThreadPoolExecutor(1) as pool:
        body = long(parrot)
        call = pool.submit(httpx.post, server.url + CHAT, json=body, timeout=60)
        wait_for(lambda: "zaya_sequences_running 1.0" in httpx.get(f"{server.url}/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{server.url}/ready").status_code == 503)
        assert httpx.post(server.url + CHAT, json=body).status_code == 503
        assert call.result().json()["usage"]["completion_tokens"] == 900
        assert server.process.wait(20) == 0


def test_sigterm_ends_streams_with_an_error_event(parrot: Parrot) -> None:
    with Process(parrot.folder, "drain_seconds=0.2") as server:
        lines: list[str] = []
        body = long(parrot, stream=True, n=16)

        def read() -> None:
            with httpx.stream("POST", server.url + CHAT, json=body, timeout=60) as answer:
                lines.extend(line for line in answer.iter_lines() if line)

        thread = threading.Thread(target=read)
        thread.start()
        wait_for(lambda: "zaya_sequences_running 16.0" in httpx.get(f"{server.url}/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        thread.join(20)
        assert not thread.is_alive()
        last = json.loads(lines[-1].removeprefix("data: "))
        assert last["error"]["code"] == "aborted"
        assert server.process.wait(20) == 0


def test_a_taken_port_is_said_at_once(parrot: Parrot) -> None:
    with Running(service_of(parrot)) as running:
        port = running.url.rsplit(":", 1)[1]
        command = [
            sys.executable,
            "-m",
            "openzaya.cli",
            "serve",
            str(parrot.folder),
            f"port={port}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr and "Traceback" not in done.stderr


def test_config_is_strict() -> None:
    with pytest.raises(ValueError, match="max_sequnces"):
        ServeConfig.model_validate({"max_sequnces": 2})
