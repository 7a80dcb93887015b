"""Whatever comes in: a 4xx that names the field, and the next request is served."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.conftest import KNOWN, WINDOW, Parrot, Running, service_of

CHAT = "/v1/chat/completions"
GOOD = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"temprature": 1}, "temprature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -5}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"n": 0}, "n"),
    ({"n": 1000}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -3}, "max_tokens"),
    ({"max_tokens": 2.5}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"),
    ({"max_completion_tokens": True}, "max_completion_tokens"),
    ({"thinking_budget": -1}, "thinking_budget"),
    ({"stop": ""}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stop": "a" * 257}, "stop"),
    ({"stop": [1]}, "stop"),
    ({"seed": 2**70}, "seed"),
    ({"logit_bias": {"abc": 1}}, "logit_bias"),
    ({"logit_bias": {"99999": 1}}, "logit_bias"),
    ({"logit_bias": {"5": 1000}}, "logit_bias"),
    ({"logit_bias": {"-1": 1}}, "logit_bias"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ({"messages": [{"role": "user", "content": "☃"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "a" * 5000}]}, "messages"),
    ({"stream_options": {"usage": True}}, "stream_options"),
    ({"stream": "yes"}, "stream"),
]


def refused(answer: httpx.Response) -> dict[str, Any]:
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


@pytest.mark.parametrize(("change", "field"), FAULTS, ids=lambda x: str(x)[:40])
def test_the_field_is_named(running: Running, change: dict[str, Any], field: str) -> None:
    error = refused(httpx.post(running.url + CHAT, json=GOOD | change))
    assert error["param"] == field and field in error["message"], error


def test_the_good_request_is_good(running: Running) -> None:
    """Negative control of the list above."""
    assert httpx.post(running.url + CHAT, json=GOOD).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[1]", b'"x"', b"\xff\xfe", b'{"messages": "\xc3\x28"}',
        b"[" * 100_000, b'{"a":' * 50_000, b'{"temperature": NaN}', b'{"temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    ],
    ids=lambda b: repr(b[:20]),
)  # fmt: skip
def test_no_json_of_ours(running: Running, body: bytes) -> None:
    for path in (CHAT, "/v1/completions", "/tokenize", "/detokenize"):
        refused(httpx.post(running.url + path, content=body))


def test_a_huge_body(running: Running) -> None:
    body = json.dumps(GOOD | {"user": "a" * 33_000_000})
    assert httpx.post(running.url + CHAT, content=body, timeout=60).status_code == 413


def test_an_unknown_model_and_route(running: Running) -> None:
    answer = httpx.post(running.url + CHAT, json=GOOD | {"model": "gpt-9"})
    assert answer.status_code == 404 and refused(answer)["code"] == "model_not_found"
    assert httpx.get(f"{running.url}/v2").status_code == 404
    assert httpx.get(running.url + CHAT).status_code == 405


def test_a_prompt_beyond_the_window(running: Running) -> None:
    for prompt in ([5] * WINDOW, [[5] * (WINDOW + 9)]):
        answer = httpx.post(f"{running.url}/v1/completions", json={"prompt": prompt})
        assert refused(answer)["code"] == "context_length_exceeded"
    answer = httpx.post(f"{running.url}/v1/completions", json={"prompt": [2**30]})
    assert "token ids" in refused(answer)["message"]
    for empty in ("", [], [[]], [""]):
        status = httpx.post(f"{running.url}/v1/completions", json={"prompt": empty}).status_code
        assert status in (200, 400)  # "" is <bos> alone


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from([
    "model", "messages", "prompt", "temperature", "top_p", "top_k", "min_p", "seed", "n", "stop",
    "logit_bias", "thinking_budget", "stream", "stream_options", "max_tokens", "logprobs",
    "top_logprobs", "tools", "tool_choice", "response_format", "tokens", "stop_token_ids",
    "return_token_ids", "return_routed_experts", "x",
])  # fmt: skip


@given(changes=st.dictionaries(fields, values, max_size=4), path=st.sampled_from(
    [CHAT, "/v1/completions", "/tokenize", "/detokenize"]
))  # fmt: skip
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzz(running: Running, changes: dict[str, Any], path: str) -> None:
    """No body makes a 500, hangs, or ends the server."""
    good: dict[str, Any] = {
        CHAT: GOOD, "/v1/completions": {"prompt": "Hi", "max_tokens": 2},
        "/tokenize": {"prompt": "a"}, "/detokenize": {"tokens": [9]},
    }[path]  # fmt: skip
    body = json.dumps(good | changes).encode()
    with httpx.stream("POST", running.url + path, content=body, timeout=20) as answer:
        answer.read()
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        refused(answer)


def test_broken_weights_are_said(parrot: Parrot) -> None:
    """NaN logits end their own request; the server lives on and serves new weights."""
    import asyncio
    import copy

    import torch

    service = service_of(parrot)
    bad = copy.deepcopy(parrot.model)
    with torch.no_grad():
        bad.model.norm.weight.fill_(torch.nan)
    with Running(service) as running:
        service.engine.load(bad, 1)
        answer = httpx.post(running.url + CHAT, json=GOOD)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "model_broken"
        with httpx.stream("POST", running.url + CHAT, json=GOOD | {"stream": True}) as stream:
            assert "model_broken" in stream.read().decode()
        service.engine.load(parrot.model, 2)
        body = {"messages": [{"role": "user", "content": KNOWN[0][0]}]}
        good = httpx.post(running.url + CHAT, json=body).json()
        assert good["choices"][0]["message"]["content"] == KNOWN[0][2]
    assert asyncio.iscoroutinefunction(service.run)
