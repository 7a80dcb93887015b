"""Markovian RSA behind the server: asked for in three ways, streamed, refused, cancelled."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.config.rsa import PRESETS
from openzaya.serve.errors import ApiError
from openzaya.serve.rsa_fields import OFFERED, VARIANTS, RSAChatRequest, RSAFields, wish_of
from openzaya.serve.schema import parse
from tests.serve.conftest import WINDOW, Parrot, Running, service_of

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "What is 2+3?"}]}
SMALL = {"preset": "cpu", "n": 4, "c": 2, "t": 1, "beta": 64, "tau": 32}
LONG = {"preset": "cpu", "n": 4, "c": 2, "t": 1, "beta": 400, "tau": 32}


@pytest.fixture(scope="module")
def running(babbler: Parrot) -> Iterator[Running]:
    with Running(service_of(babbler, temperature=1.0)) as running:
        yield running


def post(running: Running, **more: Any) -> httpx.Response:
    return httpx.post(running.url + CHAT, json=ASK | more, timeout=60)


def slow(service: Any, seconds: float) -> None:
    """Every step takes so long."""
    step = service.engine.step

    def slower(admit: bool = True) -> Any:
        time.sleep(seconds)
        return step(admit)

    service.engine.step = slower


def wait_for(condition: Any, seconds: float = 20) -> None:
    until = time.time() + seconds
    while not condition():
        assert time.time() < until, "it did not happen"
        time.sleep(0.01)


def free(running: Running) -> bool:
    """Whether nothing is left of any run."""
    service = running.service
    runs, scheduler = service.runs, service.engine.scheduler
    idle = not runs.active and runs.reserved == 0 and runs.flying == 0
    return idle and not scheduler.busy and scheduler.blocks.held == 0


def test_the_official_client_streams_a_run(running: Running) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    chunks = list(
        client.chat.completions.create(
            model="parrot", messages=ASK["messages"], stream=True, seed=3,
            stream_options={"include_usage": True}, extra_body={"rsa": SMALL},
        )
    )  # fmt: skip
    assert all(c.id == chunks[0].id and c.model == "parrot" and c.created for c in chunks)
    choices = [c.choices[0] for c in chunks if c.choices]
    events = [c.rsa for c in chunks if getattr(c, "rsa", None)]  # type: ignore[attr-defined]
    kinds = [e.get("type") for e in events]
    assert kinds[0] == "run.start" and kinds.count("round.start") == 2
    ends = [e for e in events if e.get("type") == "cand.end"]
    assert len(ends) == 8 and not any("ids" in e for e in ends)
    reasoning = "".join(getattr(c.delta, "reasoning_content", None) or "" for c in choices)
    assert "Round 0: 4 rollouts" in reasoning and "Round 1 ended" in reasoning
    assert reasoning == "".join(getattr(c.delta, "reasoning", None) or "" for c in choices)
    summary = events[-1]
    content = "".join(c.delta.content or "" for c in choices)
    assert content.strip() == (summary["answer"] or "").strip()
    # The answer comes last: no reasoning follows it.
    spoken = [i for i, c in enumerate(choices) if c.delta.content]
    thought = [i for i, c in enumerate(choices) if getattr(c.delta, "reasoning", None)]
    assert not spoken or min(spoken) > max(thought)
    usage = chunks[-1].usage
    assert usage is not None and chunks[-1].choices == []
    for ours, theirs in (
        (usage.completion_tokens, "decode"), (usage.prompt_tokens, "prompt"),
        (usage.prompt_tokens_details.cached_tokens, "cached"),  # type: ignore[union-attr]
        (usage.completion_tokens_details.reasoning_tokens, "reasoning"),  # type: ignore[union-attr]
    ):  # fmt: skip
        assert ours == sum(e["tokens"][theirs] for e in ends), theirs
    assert free(running)


def test_seeds_and_the_async_client(running: Running) -> None:
    """The same seed is the same run, whatever shares the batch; another seed is another."""

    async def go() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
            calls = [
                client.chat.completions.create(
                    model="parrot", messages=ASK["messages"], seed=seed, extra_body={"rsa": SMALL}
                )
                for seed in (7, 7, 8)
            ]
            return [c.rsa for c in await asyncio.gather(*calls)]

    one, two, other = asyncio.run(go())
    same = ("answer", "votes", "mean_tokens", "seed", "run_id")
    assert [one[k] for k in same] == [two[k] for k in same]
    assert one["mean_tokens"] != other["mean_tokens"] and one["run_id"] == other["run_id"]
    assert one["seed"] == 7 and one["generations"] == 8


def test_an_async_stream(running: Running) -> None:
    async def go() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(
                model="parrot:rsa-cpu", messages=ASK["messages"], stream=True, max_tokens=64,
                extra_body={"rsa": {"n": 4, "beta": 64, "tau": 32, "t": 1}},
            )  # type: ignore[call-overload]  # fmt: skip
            return [chunk async for chunk in stream]

    chunks = asyncio.run(go())
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert chunks[-1].rsa["preset"] == "cpu" and chunks[-1].rsa["generations"] == 8


def test_zyphras_fields(running: Running) -> None:
    got = post(
        running, rsa_t=1, rsa_k=2, n=4, tail_window_len=32, short_resp_len=64, max_tokens=64,
        return_rsa_metadata=True, return_aggregation_prompt=True,
    ).json()  # fmt: skip
    table = got["rsa"]
    assert (table["t"], table["c"], table["n"], table["tau"], table["beta"]) == (1, 2, 4, 32, 64)
    assert table["selection"] == "aggregate" and table["generations"] == 4 * 1 + 1
    assert got["rsa_metadata"] == {
        "rsa_t": 1, "rsa_k": 2, "rsa_n": 4, "tail_window_len": 32, "short_resp_len": 64,
        "rsa_final_n": 1, "mean_tokens_per_round": table["mean_tokens"],
    }  # fmt: skip
    assert "What is 2+3?" in got["aggregation_prompt"]
    plain = post(running, rsa=SMALL).json()
    assert "rsa_metadata" not in plain and "aggregation_prompt" not in plain


def test_zyphras_defaults_are_zyphras() -> None:
    """One field switches it on; what is not given is what their proxy takes."""
    body = RSAChatRequest.model_validate(ASK | {"rsa_final_n": 1})
    wish = wish_of(body, None, seed=5)
    assert wish is not None
    c = wish.config
    assert (c.rounds, c.candidates, c.population, c.budget, c.tail) == (8, 4, 32, 32768, 4096)
    assert c.budget_of(8) == 61440 and c.width(8) == 1 and c.generations == 257
    assert (c.final_temperature, c.final_top_p, c.final_top_k) == (0.6, 0.95, 40)
    assert c.temperature == 1.0 and c.tail_scope == "reasoning" and c.seed == 5
    aliases = RSAChatRequest.model_validate(
        ASK | {"rsa_tail_window": 99, "rsa_max_concurrency": 0, "use_pacore": True, "max_tokens": 7}
    )
    wish = wish_of(aliases, None, seed=5)
    assert wish is not None and wish.config.tail == 99 and wish.config.concurrency is None
    assert wish.config.tail_scope == "answer" and wish.config.budget_of(8) == 7
    assert wish_of(RSAChatRequest.model_validate(ASK | {"n": 2}), None, seed=5) is None


@pytest.mark.parametrize("name", OFFERED)
def test_every_preset_by_name_and_by_suffix(name: str) -> None:
    for body in ({"model": f"m:rsa-{name}"}, {"rsa": {"preset": name}}):
        wish = wish_of(RSAChatRequest.model_validate(ASK | body), None, seed=1)
        assert wish is not None and wish.preset == name
        assert wish.model == ("m" if "model" in body else None)
    assert set(OFFERED) == set(PRESETS) - {"best-of-n"}


def test_models_list_what_fits(running: Running) -> None:
    rows = httpx.get(f"{running.url}/v1/models").json()["data"]
    assert [r["id"] for r in rows] == ["parrot", "parrot:rsa-cpu"], "the others need more window"
    assert rows[1]["parent"] == "parrot" and "paper" in VARIANTS
    offer = httpx.get(f"{running.url}/rsa").json()
    assert offer["preset"] == "cpu" and offer["window"] == WINDOW
    assert {p["name"] for p in offer["presets"] if p["fits"]} >= {"cpu"}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"rsa": {"nn": 3}}, "rsa"),
    ({"rsa": {"n": 0}}, "rsa"),
    ({"rsa": {"n": "many"}}, "rsa"),
    ({"rsa": {"t": -1}}, "rsa"),
    ({"rsa": {"tau": 1.5}}, "rsa"),
    ({"rsa": {"kind": "poem"}}, "rsa"),
    ({"rsa": {"selection": "best"}}, "rsa"),
    ({"rsa": {"early_stop": 0.2}}, "rsa"),
    ({"rsa": {"prices": {"decode": -1}}}, "rsa"),
    ({"rsa": "yes"}, "rsa"),
    ({"rsa": SMALL | {"c": 5}}, "rsa.c"),
    ({"rsa": {"preset": "cpu", "n": 2}}, "rsa.n"),
    ({"rsa": SMALL | {"tau": 65}}, "rsa.tau"),
    ({"rsa": {"preset": "cpu", "beta": 64}}, "rsa.beta"),
    ({"rsa": SMALL | {"beta": 2000}}, "rsa.beta"),
    ({"rsa": SMALL | {"final_max_tokens": 2000}}, "rsa.final_max_tokens"),
    ({"rsa": SMALL, "max_tokens": 2000}, "max_tokens"),
    ({"rsa": SMALL | {"n": 3000}}, "rsa.n"),
    ({"rsa": SMALL | {"t": 900}}, "rsa.n"),
    ({"rsa": SMALL | {"template": "no-such"}}, "rsa.template"),
    ({"rsa": SMALL | {"budget_tokens": 10}}, "rsa.budget_tokens"),
    ({"rsa": SMALL | {"min_population": 9}}, "rsa.min_population"),
    ({"rsa": {"preset": "paper"}}, "rsa.preset"),
    ({"rsa": {"preset": "papper"}}, "rsa.preset"),
    ({"rsa": {"preset": "best-of-n"}}, "rsa.preset"),
    ({"rsa": {"preset": "cpu"}, "model": "parrot:rsa-paper"}, "rsa.preset"),
    ({"model": "parrot:rsa-paper"}, "model"),
    ({"model": "parrot:rsa-papper"}, "model"),
    ({"rsa": SMALL, "n": 2}, "n"),
    ({"rsa": SMALL, "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"rsa": SMALL, "logprobs": True}, "logprobs"),
    ({"rsa": SMALL, "stop": "x"}, "stop"),
    ({"rsa": SMALL, "logit_bias": {"3": 1}}, "logit_bias"),
    ({"rsa": SMALL, "thinking_budget": 5}, "thinking_budget"),
    ({"rsa": SMALL, "return_token_ids": True}, "return_token_ids"),
    ({"rsa": SMALL, "rsa_n": 3}, "rsa_n"),
    ({"rsa_n": 0}, "rsa_n"),
    ({"rsa_k": 5, "rsa_n": 4}, "rsa_k"),
    ({"tail_window_len": 99, "short_resp_len": 64}, "tail_window_len"),
    ({"tail_window_len": 9, "rsa_tail_window": 8}, "tail_window_len"),
    ({"rsa_n": 4, "rsa_k": 2}, "short_resp_len"),
    ({"short_resp_len": 4096}, "short_resp_len"),
    ({"rsa_summarize": True}, "rsa_summarize"),
    ({"summary_prompt": "Sum up"}, "summary_prompt"),
    ({"rsa_debug": True}, "rsa_debug"),
    ({"rsa": SMALL, "messages": [{"role": "user", "content": "a" * 900}]}, "messages"),
    ({"rsa": SMALL, "messages": [{"role": "user", "content": " "}]}, "messages"),
    ({"rsa": SMALL, "messages": [{"role": "assistant", "content": "5"}]}, "messages"),
    ({"rsa": SMALL, "messages": [{"role": "user", "content": "☃"}]}, "messages"),
]


@pytest.mark.parametrize(("change", "param"), FAULTS, ids=[json.dumps(f)[:60] for f, _ in FAULTS])
def test_the_field_is_named_before_a_token_is_spent(
    running: Running, change: dict[str, Any], param: str
) -> None:
    before = running.service.engine.generated_tokens
    for stream in (False, True):
        answer = post(running, **change, stream=stream)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == param and param.rpartition(".")[2] in error["message"], error
        assert set(error) == {"message", "type", "param", "code"}
    assert running.service.engine.generated_tokens == before and free(running)


@pytest.mark.parametrize("change", [
    {"rsa": SMALL | {"c": 4}},
    {"rsa": SMALL | {"tau": 64}},
    {"rsa": SMALL | {"t": 0, "budget_tokens": 256, "early_stop": 1.0, "budget_seconds": 60}},
    {"rsa": SMALL | {"prices": {"decode": 1.0}, "budget_money": 1.0, "max_concurrency": 1}},
    {"rsa": SMALL, "n": 1, "tools": [], "stop": None, "top_k": -1, "logprobs": False},
    {"rsa": SMALL, "rsa_n": None, "rsa_summarize": False, "rsa_debug": False},
    {"rsa": SMALL, "model": "parrot:rsa"},
    {"rsa": False, "max_tokens": 2},
    {"max_tokens": 2, "n": 2, "logprobs": True},
])  # fmt: skip
def test_what_is_just_allowed(running: Running, change: dict[str, Any]) -> None:
    """Negative control of the table above."""
    answer = post(running, **change)
    assert answer.status_code == 200, answer.text
    assert ("rsa" in answer.json()) == bool(change.get("rsa"))


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just({})
fields = st.sampled_from([*RSAFields.model_fields, "x"])
top = st.sampled_from([*set(RSAChatRequest.model_fields) - {"messages"}, "y"])


@given(
    rsa=st.dictionaries(fields, values, max_size=4), body=st.dictionaries(top, values, max_size=3)
)
@settings(max_examples=500, deadline=None)
def test_fuzz(rsa: dict[str, Any], body: dict[str, Any]) -> None:
    """Whatever is asked for is a run, a plain request, or a 400 that names a field."""
    raw = json.dumps(ASK | {"rsa": rsa} | body).encode()
    try:
        wish = wish_of(parse(RSAChatRequest, raw), WINDOW, seed=1)
    except ApiError as error:
        assert error.status == 400
        assert error.param is not None or "NaN" in error.message or "Infinity" in error.message
        return
    if wish is not None:
        c = wish.config
        assert c.candidates <= c.population and c.tail <= c.budget and wish.preset in OFFERED


def test_an_unknown_model(running: Running) -> None:
    answer = post(running, model="gpt:rsa-cpu")
    assert answer.status_code == 404 and answer.json()["error"]["param"] == "model"


def test_pure_errors_have_a_status() -> None:
    with pytest.raises(ApiError, match="verifier"):
        wish_of(RSAChatRequest.model_validate(ASK | {"rsa": {"preset": "best-of-n"}}), None, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_all_places(babbler: Parrot, stream: bool) -> None:
    service = service_of(babbler, temperature=1.0)
    slow(service, 0.01)
    with Running(service) as running:
        if stream:
            body = ASK | {"rsa": LONG, "stream": True}
            with httpx.stream("POST", running.url + CHAT, json=body) as answer:
                lines = answer.iter_lines()
                next(lines)
                wait_for(lambda: service.engine.scheduler.running > 0)
                assert service.runs.reserved == 4
        else:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(running.url + CHAT, json=ASK | {"rsa": LONG}, timeout=0.3)
        wait_for(lambda: free(running))
        assert service.engine.generated_tokens < 4 * 2 * 400


def test_a_run_counts_in_the_queue(babbler: Parrot) -> None:
    """Its places are its own until it ends, also those that it does not use yet."""
    service = service_of(babbler, {"max_sequences": 2}, max_queue=4, temperature=1.0)
    slow(service, 0.01)
    with Running(service) as running, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, running, rsa=LONG | {"t": 0})
        wait_for(lambda: service.runs.reserved == 4)
        for more in ({"rsa": LONG}, {"rsa": LONG, "stream": True}, {"n": 3}):
            answer = post(running, **more)
            assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["code"] == "queue_full"
        assert post(running, max_tokens=2).status_code == 200, "there is room for one more"
        assert first.result().status_code == 200
        wait_for(lambda: free(running))
        # One that is wider than the server runs at the width that there is.
        assert post(running, rsa=SMALL | {"n": 9, "beta": 32}).json()["rsa"]["generations"] == 18


def test_the_end_of_the_server_ends_a_stream_with_an_error(babbler: Parrot) -> None:
    service = service_of(babbler, drain_seconds=0.2, temperature=1.0)
    slow(service, 0.02)
    with Running(service) as running:
        lines: list[str] = []

        def read() -> None:
            body = ASK | {"rsa": LONG, "stream": True}
            with httpx.stream("POST", running.url + CHAT, json=body, timeout=60) as answer:
                lines.extend(line for line in answer.iter_lines() if line)

        thread = threading.Thread(target=read)
        thread.start()
        wait_for(lambda: service.engine.scheduler.running > 0)
        running.server.handle_exit(signal.SIGTERM, None)
        wait_for(lambda: service.draining)
        assert post(running, rsa=SMALL).status_code == 503
        thread.join(20)
        assert not thread.is_alive()
        last = json.loads(lines[-1].removeprefix("data: "))
        assert last["error"]["code"] == "aborted", lines[-1]


def test_a_run_can_be_asked_to_answer_now(babbler: Parrot) -> None:
    service = service_of(babbler, temperature=1.0)
    slow(service, 0.003)
    with Running(service) as running:
        body = ASK | {"rsa": LONG | {"t": 8}}
        kinds: list[Any] = []
        url = f"{running.url}/rsa/runs"
        with httpx.stream("POST", url, json=body, timeout=60) as answer:
            name = answer.headers["x-run"]
            for line in answer.iter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line.removeprefix("data: "))
                kinds.append(event["type"])
                if event["type"] == "cand.end" and kinds.count("cand.end") == 3:
                    assert httpx.post(f"{url}/{name}/answer").status_code == 200
                if event["type"] == "run.stop":
                    assert event["reason"] == "cancelled"
        assert kinds[-1] == "run.end" and "cand.delta" in kinds
        assert httpx.post(f"{url}/{name}/answer").status_code == 404
        wait_for(lambda: free(running))
