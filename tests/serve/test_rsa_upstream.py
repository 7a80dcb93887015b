"""The server before an endpoint: what it adds, what it lets through, what it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from tests.serve.conftest import Parrot, Running, Scripted, sage, service_of, upstream_of

CHAT = "/v1/chat/completions"
QUESTION = {"role": "user", "content": "How many?"}
ASK: dict[str, Any] = {"messages": [QUESTION]}
SMALL = {"n": 8, "c": 3, "t": 1, "beta": 640, "tau": 64, "final_max_tokens": 640, "kind": "math"}


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with Scripted(sage) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def running(scripted: Scripted) -> Iterator[Running]:
    with Running(upstream_of(scripted)) as running:
        yield running


def post(running: Running, **more: Any) -> httpx.Response:
    return httpx.post(running.url + CHAT, json=ASK | more, timeout=60)


def wait_for(condition: Any, seconds: float = 20) -> None:
    until = time.time() + seconds
    while not condition():
        assert time.time() < until, "it did not happen"
        time.sleep(0.01)


def test_the_official_client_streams_a_run(running: Running, scripted: Scripted) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    scripted.calls.clear()
    chunks = list(
        client.chat.completions.create(
            model="sage", messages=[QUESTION], stream=True, extra_body={"rsa": SMALL}, seed=4,
            stream_options={"include_usage": True},
        )  # type: ignore[call-overload]
    )  # fmt: skip
    choices = [c.choices[0] for c in chunks if c.choices]
    assert "".join(c.delta.content or "" for c in choices) == r"The answer is \boxed{47}."
    assert choices[-1].finish_reason == "stop"
    summary = next(c.rsa for c in reversed(chunks) if getattr(c, "rsa", None))
    assert summary["answer"] == "47" and summary["votes"]["47"] >= 6
    assert summary["agreement"] == summary["votes"]["47"] / 8 and summary["generations"] == 16
    # Usage is what the endpoint itself counted.
    thought, answer = sage("", 1)
    assert chunks[-1].usage.completion_tokens == 16 * (len(thought) + len(answer))
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 16 * len(thought)
    assert len(scripted.calls) == 16 and len({c["seed"] for c in scripted.calls}) == 16
    assert all(not {"rsa", "kind"} & set(c) for c in scripted.calls)
    # Tails are cut by tokens (letters here), newlines and all.
    shown = scripted.calls[-1]["messages"][-1]["content"]
    full = thought + answer
    assert full[-64:] in shown and full[-65:] not in shown


def test_turns_before_the_question_stay(running: Running, scripted: Scripted) -> None:
    scripted.calls.clear()
    turns = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Yes?"}, QUESTION,
    ]  # fmt: skip
    assert post(running, messages=turns, rsa=SMALL).status_code == 200
    for call in scripted.calls:
        assert [m["content"] for m in call["messages"][:-1]] == ["Be brief.", "Hello", "Yes?"]


def test_other_requests_go_through(running: Running, scripted: Scripted) -> None:
    """As they are, in both directions."""
    root = scripted.url.removesuffix("/v1")
    for more in ({}, {"stream": True}, {"unknown": 1}, {"temperature": "hot"}):
        body = {"model": "sage", "seed": 1, **ASK, **more}
        direct, through = (httpx.post(base + CHAT, json=body) for base in (root, running.url))
        assert through.status_code == direct.status_code and through.content == direct.content
        assert through.headers["content-type"] == direct.headers["content-type"]
    assert direct.status_code == 200
    assert httpx.post(running.url + CHAT, json=body | {"unknown": 1}).status_code == 422
    echo = httpx.post(f"{running.url}/v1/embeddings?x=1", json={"input": "a"}).json()
    assert echo["echo"] == {"input": "a"}
    assert httpx.get(f"{running.url}/v1/nowhere").status_code == 404
    off = post(running, model="sage", rsa=False, rsa_debug=None).json()
    assert "rsa" not in off and "rsa" not in scripted.calls[-1]
    rows = httpx.get(f"{running.url}/v1/models").json()["data"]
    assert [r["id"] for r in rows] == ["sage", "sage:rsa-cpu"]


@pytest.mark.parametrize(("change", "status", "param"), [
    ({"rsa": SMALL | {"c": 9}}, 400, "rsa.c"),
    ({"rsa": SMALL | {"tau": 641}}, 400, "rsa.tau"),
    ({"rsa": SMALL | {"beta": 9000}}, 400, "rsa.beta"),
    ({"rsa": {"nn": 1}}, 400, "rsa"),
    ({"rsa_summarize": True}, 400, "rsa_summarize"),
    ({"model": "sage:rsa-paper"}, 400, "model"),
    ({"model": "oracle", "rsa": SMALL}, 404, "model"),
    ({"rsa": SMALL, "temprature": 1}, 400, "temprature"),
])  # fmt: skip
def test_the_field_is_named(
    running: Running, scripted: Scripted, change: dict[str, Any], status: int, param: str
) -> None:
    before = len(scripted.calls)
    answer = post(running, **change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert len(scripted.calls) == before, "nothing was asked of the endpoint"


def test_before_our_own_server(babbler: Parrot) -> None:
    with (
        Running(service_of(babbler, temperature=1.0)) as ours,
        Running(upstream_of(f"{ours.url}/v1")) as running,
    ):
        rsa = {"n": 4, "c": 2, "t": 1, "beta": 48, "tau": 32}
        got = post(running, rsa=rsa, seed=2).json()
        assert "rsa" in got, got
        assert got["rsa"]["generations"] == 8 and got["rsa"]["preset"] == "cpu", got
        assert got["usage"]["completion_tokens"] == ours.service.engine.generated_tokens
        ids = [r["id"] for r in httpx.get(f"{running.url}/v1/models").json()["data"]]
        assert ids[:2] == ["parrot", "parrot:rsa-cpu"]
        # A request for the upstream's own RSA is ours all the same: the nearest server reasons.
        before = ours.service.runs.reserved
        assert post(running, model="parrot:rsa-cpu", rsa=rsa).json()["rsa"]["generations"] == 8
        assert ours.service.runs.reserved == before == 0


def test_failures_that_pass_are_survived() -> None:
    with Scripted(sage, fails=5) as scripted, Running(upstream_of(scripted)) as running:
        got = post(running, rsa=SMALL).json()
        assert got["rsa"]["answer"] == "47" and got["rsa"]["generations"] == 16


def test_an_endpoint_that_is_not_there() -> None:
    with Scripted(sage) as scripted:
        url = scripted.url
    with Running(upstream_of(url)) as running:
        for more in ({"rsa": SMALL}, {"rsa": SMALL, "stream": True}, {"model": "sage"}):
            answer = post(running, **more)
            assert answer.status_code == 502, answer.text
            assert answer.json()["error"]["code"] == "upstream"
        assert httpx.get(f"{running.url}/health").status_code == 200


def test_an_endpoint_that_always_fails_is_an_error_not_an_answer() -> None:
    with Scripted(sage, fails=10**6) as scripted:
        source = {"attempts": 1}
        with Running(upstream_of(scripted, source=source)) as running:
            answer = post(running, rsa=SMALL | {"retries": 0})
            assert answer.status_code == 502 and answer.json()["error"]["code"] == "rsa_failed"
            body = ASK | {"rsa": SMALL | {"retries": 0}, "stream": True}
            with httpx.stream("POST", running.url + CHAT, json=body) as stream:
                lines = [line for line in stream.iter_lines() if line]
            last = json.loads(lines[-1].removeprefix("data: "))
            assert last["error"]["code"] == "rsa_failed" and "503" in last["error"]["message"]


def test_keys() -> None:
    with Scripted(sage, key="theirs") as scripted:
        own = {"authorization": "Bearer theirs"}
        with Running(upstream_of(scripted)) as running:  # a client's key goes on to the endpoint
            assert post(running, rsa=SMALL).status_code == 502
            for more in ({"rsa": SMALL}, {"model": "sage"}):
                url = running.url + CHAT
                assert httpx.post(url, json=ASK | more, headers=own).status_code == 200
        guarded = upstream_of(scripted, key="theirs", api_key="ours")
        with Running(guarded) as running:
            for more in ({"rsa": SMALL}, {"model": "sage"}):
                assert post(running, **more).status_code == 401
                headers = {"authorization": "Bearer ours"}
                answer = httpx.post(running.url + CHAT, json=ASK | more, headers=headers)
                assert answer.status_code == 200
            assert {c["key"] for c in scripted.calls[-17:]} == {"Bearer theirs"}
            assert httpx.get(f"{running.url}/rsa").status_code == 401
            assert httpx.get(f"{running.url}/").status_code == 200


def silent(seconds: float, patience: float, **config: Any) -> list[str]:
    """Lines that a client hears who leaves after `patience` seconds of silence."""
    with (
        Scripted(sage, silence=seconds) as scripted,
        Running(upstream_of(scripted, **config)) as running,
    ):
        body = ASK | {"rsa": SMALL | {"t": 0}, "stream": True}
        timeout = httpx.Timeout(30.0, read=patience)
        with httpx.stream("POST", running.url + CHAT, json=body, timeout=timeout) as answer:
            return [line for line in answer.iter_lines() if line]


def test_a_silent_endpoint_does_not_time_a_client_out() -> None:
    lines = silent(2.0, 1.0, progress_seconds=0.2)
    assert lines[-1] == "data: [DONE]"
    assert sum("0 of 8 rollouts" in line for line in lines) >= 4
    with pytest.raises(httpx.ReadTimeout):  # the control: the same without progress
        silent(2.0, 1.0, progress_seconds=60.0)


@pytest.mark.slow
def test_sixty_silent_seconds() -> None:
    """With the settings that people get; most clients' watchdogs wait for 30."""
    began = time.time()
    lines = silent(60.0, 10.0)
    assert lines[-1] == "data: [DONE]" and time.time() - began > 60


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_endpoint(stream: bool) -> None:
    with (
        Scripted(sage, pause=0.5) as scripted,
        Running(upstream_of(scripted)) as running,
    ):
        body = ASK | {"rsa": SMALL, "stream": stream}
        with (
            pytest.raises(httpx.ReadTimeout),
            httpx.stream("POST", running.url + CHAT, json=body, timeout=1.0) as answer,
        ):
            wait_for(lambda: scripted.open == 8)
            for line in answer.iter_lines():
                if "cand.start" in line and scripted.open == 8:
                    break
            raise httpx.ReadTimeout("enough")
        wait_for(lambda: scripted.open == 0)
        runs = running.service.runs
        wait_for(lambda: not runs.active and runs.reserved == runs.flying == 0)


def test_a_plain_stream_that_breaks_off_says_so() -> None:
    with Scripted(sage, pause=0.3) as scripted, Running(upstream_of(scripted)) as running:
        body = ASK | {"model": "sage", "stream": True}
        lines: list[str] = []
        with httpx.stream("POST", running.url + CHAT, json=body, timeout=30) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                scripted.server.force_exit = scripted.server.should_exit = True
        last = json.loads([x for x in lines if x][-1].removeprefix("data: "))
        assert last["error"]["code"] == "upstream"


def test_a_full_server_answers_429() -> None:
    with (
        Scripted(sage, pause=0.1) as scripted,
        Running(upstream_of(scripted, max_sequences=4, max_queue=6)) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(post, running, rsa=SMALL)
        wait_for(lambda: running.service.runs.reserved == 8)
        answer = post(running, rsa=SMALL)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert post(running, rsa=SMALL | {"max_concurrency": 2}).status_code == 200
        assert first.result().status_code == 200


class Process:
    """`zaya serve --upstream` as people start it."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-X", "importtime", "-m", "openzaya.cli", "serve", *arguments]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OPENAI_API_KEY": "k"}
        )
        assert self.process.stderr is not None
        self.imports: set[str] = set()
        for line in self.process.stderr:
            if " at http://" in line:
                self.url = line.split(" at ")[1].strip().removesuffix("/v1")
                break
            self.imports.add(line.rpartition("|")[2].strip())
        self.drain = threading.Thread(target=self.process.stderr.read)
        self.drain.start()

    def __enter__(self) -> Process:
        wait_for(self.answers)
        return self

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.drain.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


def test_one_command_before_any_endpoint() -> None:
    """No model is loaded, not even torch; SIGTERM ends a stream with an error event."""
    with Scripted(sage, pause=0.05, key="k") as scripted:
        url = scripted.url
        with Process("--upstream", url, "port=0", "drain_seconds=0.3") as server:
            assert "torch" not in server.imports and "httpx" in server.imports
            got = httpx.post(server.url + CHAT, json=ASK | {"rsa": SMALL}, timeout=60).json()
            assert got["rsa"]["answer"] == "47"
            scripted.pause = 1.0
            lines: list[str] = []
            body = ASK | {"rsa": SMALL, "stream": True}
            with httpx.stream("POST", server.url + CHAT, json=body, timeout=30) as answer:
                for line in answer.iter_lines():
                    if line and not lines:
                        server.process.send_signal(signal.SIGTERM)
                    if line:
                        lines.append(line)
            last = json.loads(lines[-1].removeprefix("data: "))
            assert last["error"]["code"] == "aborted", last
            assert server.process.wait(20) == 0
            wait_for(lambda: scripted.open == 0)


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "a server has one source"),
    (("runs/x", "--upstream", "http://localhost:1/v1"), "a server has one source"),
    (("--upstream", "localhost:1"), "is no endpoint"),
    (("--upstream", "http://localhost:1/v1", "--tokenizer", "nowhere"), "no tokenizer at nowhere"),
])  # fmt: skip
def test_a_wrong_command_is_two_lines(arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "openzaya.cli", "serve", *arguments, "port=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "try:" in done.stderr
