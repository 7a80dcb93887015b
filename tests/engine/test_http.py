"""Endpoints as others write them, right and wrong, behind a real port."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from openzaya.engine.endpoint import Patience, base_url, complaint, retry_after, served, shown
from openzaya.engine.http import HTTPSampler
from openzaya.engine.text_tokens import EndpointTokens, LocalTokens
from openzaya.errors import CheckpointError, EngineError
from openzaya.types import Completion, FinishReason, Message, Request, SamplingParams
from tests.engine.conftest import Scripted, ascii, chunk, completion

QUICK = Patience(attempts=3, timeout=5.0, first_wait=0.01)
QUESTION = (Message("system", "Be brief."), Message("user", "2+2?"))
TEXT = "naïve 😀\n\tcode()\n"


def ask(
    scripted: Scripted,
    tokens: LocalTokens,
    on_text: Callable[[str], None] | None = None,
    params: SamplingParams | None = None,
    stream: bool = True,
    **settings: Any,
) -> Completion:
    """One request of one sampler."""
    if not stream:
        settings["extra"] = {"stream": None}

    async def run() -> Completion:
        async with HTTPSampler(
            scripted.url, "m", tokens, patience=settings.pop("patience", QUICK), **settings
        ) as sampler:
            request = Request(QUESTION, params or SamplingParams(50, seed=2**40), on_text=on_text)
            return (await sampler.sample([request]))[0]

    return asyncio.run(run())


def answers(answer: Any, status: int = 200, **headers: str) -> Any:
    return lambda *_: JSONResponse(answer, status, headers)


def told(c: Completion) -> tuple[str, str | None]:
    return c.reasoning, c.answer


# What thinking looks like.


@pytest.mark.parametrize(
    ("content", "reasoning", "want"),
    [
        ("4", "2+2", ("2+2", "4")),
        ("<think>2+2</think>\n4", None, ("2+2", "4")),
        ("2+2</think>4", None, ("2+2", "4")),
        ("\n<think>2+", None, ("2+", None)),
        ("a</think>b</think>c", None, ("a", "b</think>c")),
        (None, "2+", ("2+", None)),
        ("So 4", None, ("So 4", "So 4")),
        ("", None, ("", "")),
        (None, None, ("", "")),
        ("\ud83d\ude00 \ud83d", None, ("😀 �", "😀 �")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_and_answer(
    content: str | None, reasoning: str | None, want: tuple[str, str | None], stream: bool,
    scripted: Scripted, byte_tokens: LocalTokens,
) -> None:  # fmt: skip
    """The same in one piece and letter by letter; a text without any sign of thinking is both."""
    heard: list[str] = []
    letters = [chunk(reasoning_content=c, content=None) for c in reasoning or ""]
    letters += [chunk(content=c) for c in content or ""]
    scripted.script = lambda s, body, _: (
        s.events(chunk(role="assistant", content=None), *letters, chunk("stop"))
        if body.get("stream") else ascii(completion(content, reasoning))
    )  # fmt: skip
    c = ask(scripted, byte_tokens, heard.append, stream=stream)
    assert told(c) == want
    assert c.finish_reason is FinishReason.STOP and np.isnan(c.logprobs).all()
    whole = "".join(heard)
    assert "<" not in whole, "tags are nobody's text"
    assert whole.encode("utf-8") or not (content or reasoning)
    think = byte_tokens.think_ids
    ids, answer = think.split([i for i in c.token_ids.tolist() if i != think.end])
    assert asyncio.run(byte_tokens.decode(ids)) == c.reasoning
    if c.answer is not None and c.answer != c.reasoning:
        assert answer is not None and asyncio.run(byte_tokens.decode(answer)) == c.answer


def test_a_template_that_opens_the_block(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    """Only who is told so can tell a cut thought from an answer."""
    scripted.script = answers(completion("2+2 is", finish="length"))
    assert told(ask(scripted, byte_tokens)) == ("2+2 is", "2+2 is")
    cut = ask(scripted, byte_tokens, opens_think=True)
    assert told(cut) == ("2+2 is", None) and cut.finish_reason is FinishReason.LENGTH


def test_tails_are_cut_between_bytes(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    scripted.script = answers(completion(TEXT))
    c = ask(scripted, byte_tokens)
    ids = [i for i in c.token_ids.tolist() if i >= 0]
    assert len(ids) == len(TEXT.encode())
    for n in range(len(ids) + 1):
        text = asyncio.run(byte_tokens.decode(ids[n:]))
        assert text == TEXT.encode()[n:].decode("utf-8", "replace")


def test_lines_inside_json_are_no_lines_of_the_stream(
    scripted: Scripted, byte_tokens: LocalTokens
) -> None:
    """Servers that do not escape: U+2028 and U+0085 end a line for Python, not for a stream."""
    text = "a\u2028b\u0085c\x0bd"
    event = json.dumps(chunk("stop", content=text), ensure_ascii=False)
    raw = f": ping\r\n\r\ndata: {event}\r\n\r\n".encode()
    pieces = [raw[i : i + 1] for i in range(len(raw))]
    scripted.script = lambda s, *_: s.events(*pieces)
    assert ask(scripted, byte_tokens).reasoning == text


# What things cost.


def test_usage_is_the_endpoints(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    usage = {
        "prompt_tokens": 90, "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 64},
    }  # fmt: skip
    scripted.script = lambda s, body, _: (
        s.events(chunk("length", content="four"), {"choices": [], "usage": usage})
        if body.get("stream") else JSONResponse(completion("four", usage=usage))
    )  # fmt: skip
    for stream in (True, False):
        c = ask(scripted, byte_tokens, stream=stream)
        assert (len(c.prompt_ids), c.cached_tokens, c.decode_tokens) == (90, 64, 7)
        assert set(c.prompt_ids.tolist()) == {-1}, "how many, not which"
    scripted.script = answers(completion("four", usage={"prompt_tokens": "many"}))
    c = ask(scripted, byte_tokens)
    assert (len(c.prompt_ids), c.cached_tokens, c.decode_tokens) == (13, 0, 5)


def test_a_stream_that_counts_but_does_not_say_why_it_ended(
    scripted: Scripted, byte_tokens: LocalTokens
) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 50}
    scripted.script = lambda s, *_: s.events(chunk(content="x" * 50), {"usage": usage})
    assert ask(scripted, byte_tokens).finish_reason is FinishReason.LENGTH


# What passes.


def first_time(bad: Callable[[Scripted], Response]) -> Any:
    """`bad` once, then a good answer."""

    def script(s: Scripted, body: dict[str, Any], number: int) -> Response:
        if number == 1:
            return bad(s)
        if body.get("stream"):
            return s.events(chunk(content="go"), chunk("stop", content="od"))
        return JSONResponse(completion("good"))

    return script


PASSING = {
    "429": lambda s: JSONResponse({"error": {"message": "busy"}}, 429, {"Retry-After": "0"}),
    "503": lambda s: PlainTextResponse("no", 503),
    "error with 200": lambda s: JSONResponse({"error": {"message": "oops", "code": 503}}),
    "no choices": lambda s: JSONResponse({"choices": []}),
    "aborted": lambda s: JSONResponse(completion("x", finish="abort")),
    "short body": lambda s: Response(
        '{"choices"', headers={"content-length": "999"}, media_type="application/json"
    ),
    "cut": lambda s: s.events(chunk(content="ba"), done=False),
    "error event": lambda s: s.events(chunk(content="b"), {"error": {"message": "gone"}}),
    "no JSON": lambda s: s.events("data: {oops\n\n"),
    "nothing": lambda s: s.events(done=False),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes(fault: str, scripted: Scripted, byte_tokens: LocalTokens) -> None:
    scripted.script = first_time(PASSING[fault])
    assert ask(scripted, byte_tokens).answer == "good"
    assert len(scripted.bodies) == 2
    # Negative control: with one attempt it is an error for people.
    scripted.bodies.clear()
    with pytest.raises(EngineError, match=r"asked once") as caught:
        ask(scripted, byte_tokens, patience=Patience(1, 5.0))
    assert caught.value.hint


def test_retry_after_is_waited_for(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    scripted.script = first_time(lambda s: JSONResponse({}, 503, {"Retry-After": "1"}))
    began = time.perf_counter()
    assert ask(scripted, byte_tokens).answer == "good"
    assert 0.75 < time.perf_counter() - began < 5


def test_retry_after_in_its_forms() -> None:
    import httpx

    def header(text: str) -> float | None:
        return retry_after(httpx.Response(429, headers={"Retry-After": text}))

    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (header(soon) or 0) <= 30
    assert (header("7"), header("-7"), header("soon"), header("")) == (7, 0, None, None)


def test_a_body_where_a_stream_was_asked_for(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    heard: list[str] = []
    scripted.script = answers(completion("<think>a</think>b"))
    assert told(ask(scripted, byte_tokens, heard.append)) == ("a", "b")
    assert "".join(heard) == "ab"


# What does not pass.

FINAL: dict[str, tuple[Any, str, str]] = {
    "key": (answers({"error": {"message": "bad key"}}, 401), "401 bad key", "key_variable"),
    "model": (answers({"error": "model 'm' not found"}, 404), "not found", "name of the model"),
    "seed": (
        answers({"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]}, 422),
        "422", "sampler.extra.seed=none",
    ),
    "param": (
        answers({"error": {"message": "Unsupported parameter", "param": "max_tokens"}}, 400),
        "Unsupported parameter", "sampler.fields=openai",
    ),
    "window": (
        answers({"object": "error", "message": "maximum context length is 9", "code": 400}, 400),
        "context length", "lower the budget",
    ),
    "quota": (
        answers({"error": {"message": "you ran out", "code": "insufficient_quota"}}, 429),
        "ran out", "name of the model",
    ),
    "200 that refuses": (
        answers({"error": {"message": "no such model", "code": "model_not_found"}}),
        "no such model", "check the name",
    ),
    "page": (lambda *_: HTMLResponse("<h1>Welcome"), "no chat completion: '<h1>", "/v1"),
    "list": (answers([1]), "no chat completion", "/v1"),
    "other JSON": (answers({"text": "hi"}), "no chat completion", "/v1"),
    "deep JSON": (lambda *_: Response("[" * 100_000), "no chat completion", "/v1"),
    "message": (answers({"choices": [{"message": "hi"}]}), "no chat completion", "/v1"),
    "overlong": (answers(completion("x" * 100_000)), "100000 characters", "max_tokens"),
    "long": (answers(completion("x" * 500)), "500 tokens", "max_tokens"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FINAL)
def test_a_fault_that_stays(fault: str, scripted: Scripted, byte_tokens: LocalTokens) -> None:
    scripted.script, match, hint = FINAL[fault]
    with pytest.raises(EngineError, match=match) as caught:
        ask(scripted, byte_tokens)
    assert hint in caught.value.hint and "\n" not in caught.value.message
    assert len(scripted.bodies) == 1, "it was not asked again"


def test_an_endless_stream_is_left(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    scripted.script = lambda s, *_: s.events(*[chunk(content="x" * 1000)] * 10_000)
    with pytest.raises(EngineError, match="characters where max_tokens was 50"):
        ask(scripted, byte_tokens)


def test_nobody_there(byte_tokens: LocalTokens) -> None:
    async def run(url: str) -> None:
        async with HTTPSampler(url, "m", byte_tokens, patience=Patience(1)) as sampler:
            await sampler.sample([Request(QUESTION, SamplingParams(5))])

    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9") as caught:
        asyncio.run(run("http://user:secret@127.0.0.1:9/v1"))
    assert "secret" not in caught.value.message
    for wrong in ("localhost:8000", "ftp://x/v1", "http://", "", "http://x:y", "/v1"):
        with pytest.raises(EngineError, match="is no endpoint"):
            base_url(wrong)


# What is sent.


def test_the_fields(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    params = SamplingParams(
        50, 0.5, 1.0, 2**40 + 3, top_k=7, min_p=0.1, stop=("\n",), thinking_budget=9
    )
    ask(scripted, byte_tokens, params=params)
    messages = [{"role": m.role, "content": m.content} for m in QUESTION]
    everything = {
        "model": "m", "messages": messages, "temperature": 0.5, "top_p": 1.0, "max_tokens": 50,
        "top_k": 7, "min_p": 0.1, "thinking_budget": 9, "seed": 3, "stop": ["\n"],
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert scripted.bodies[-1] == everything
    more = {"seed": None, "reasoning_effort": "low"}
    ask(scripted, byte_tokens, params=params, extra=more)
    want = {k: v for k, v in everything.items() if k != "seed"} | {"reasoning_effort": "low"}
    assert scripted.bodies[-1] == want
    ask(scripted, byte_tokens, fields="openai", stream=False)
    assert scripted.bodies[-1] == {
        "model": "m", "messages": messages, "max_completion_tokens": 50,
    }  # fmt: skip
    count = len(scripted.bodies)
    with pytest.raises(EngineError, match="have no top_k, min_p"):
        ask(scripted, byte_tokens, params=params, fields="openai")
    assert len(scripted.bodies) == count, "no token was spent"


def test_connections_are_kept(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    async def run(rounds: int) -> None:
        async with HTTPSampler(scripted.url, "m", byte_tokens, concurrency=4) as sampler:
            for _ in range(rounds):
                await sampler.sample([Request(QUESTION, SamplingParams(5))] * 8)

    asyncio.run(run(5))
    assert len(scripted.bodies) == 40 and len(set(scripted.clients)) <= 4


# Time.


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.time() + 10
    while not condition():
        assert time.time() < until
        time.sleep(0.01)


def hanging(s: Scripted, body: dict[str, Any], number: int) -> Response:
    return s.events(*[chunk(content="x")] * 5, *[": ping\n\n"] * 3000, pause=0.02)


@pytest.mark.parametrize("how", ["timeout", "cancelled", "a sibling failed"])
def test_a_hung_request_frees_its_place(
    how: str, scripted: Scripted, byte_tokens: LocalTokens
) -> None:
    """The endpoint sees the client leave while it still writes."""

    def script(s: Scripted, body: dict[str, Any], number: int) -> Response:
        if how == "a sibling failed" and number == 3:
            return JSONResponse({"error": "no"}, 400)
        return hanging(s, body, number)

    scripted.script = script

    async def run() -> None:
        patience = Patience(1, 0.5 if how == "timeout" else 60.0)
        async with HTTPSampler(scripted.url, "m", byte_tokens, patience=patience) as sampler:
            requests = [Request(QUESTION, SamplingParams(50))] * 3
            task = asyncio.ensure_future(sampler.sample(requests))
            await asyncio.sleep(0.2)
            if how == "cancelled":
                assert scripted.open == 3, "negative control: they were there"
                task.cancel()
            try:
                await task
            except (EngineError, asyncio.CancelledError) as error:
                if how == "timeout":
                    assert "no answer within 0.5 s" in str(error)

    began = time.perf_counter()
    asyncio.run(run())
    wait_for(lambda: scripted.open == 0)
    assert time.perf_counter() - began < 5 and scripted.left


def test_silence_is_asked_again(scripted: Scripted, byte_tokens: LocalTokens) -> None:
    def script(s: Scripted, body: dict[str, Any], number: int) -> Any:
        async def late() -> Response:
            await asyncio.sleep(0 if number > 1 else 30)
            return JSONResponse(completion("good"))

        return late()

    scripted.script = script
    assert ask(scripted, byte_tokens, patience=Patience(2, 0.3, 0.01)).answer == "good"


# What an endpoint says about itself.


def tokenizing(scripted: Scripted, kind: str) -> None:
    """Routes as the servers have them, a byte a token."""

    def tokenize(body: dict[str, Any]) -> Response:
        field = "content" if kind == "llama.cpp" else "prompt"
        if kind == "strict" and set(body) - {"model", "prompt"}:
            return JSONResponse({"error": {"message": "unknown field"}}, 400)
        text = body.get(field, "")
        special = [1] if body.get("add_special_tokens", True) and kind == "vllm" else []
        return JSONResponse({"tokens": special + [b + 2 for b in text.encode()]})

    def detokenize(body: dict[str, Any]) -> Response:
        text = bytes(t - 2 for t in body["tokens"] if t > 1).decode("utf-8", "replace")
        key = {"llama.cpp": "content", "sglang": "text"}.get(kind, "prompt")
        return JSONResponse({key: text if kind != "lossy" else text.strip().lower()[:3]})

    below = "/v1" if kind == "below" else ""
    scripted.routes = {f"{below}/tokenize": tokenize, f"{below}/detokenize": detokenize}


@pytest.mark.parametrize("kind", ["vllm", "sglang", "strict", "llama.cpp", "below"])
def test_the_endpoints_own_tokens(kind: str, scripted: Scripted, byte_tokens: LocalTokens) -> None:
    tokenizing(scripted, kind)

    async def run() -> None:
        import httpx

        async with httpx.AsyncClient() as client:
            tokens = await EndpointTokens.find(client, scripted.url, "m", QUICK)
            ids = await tokens.encode(TEXT)
            assert ids == [b + 2 for b in TEXT.encode()]
            assert await tokens.decode([*ids[6:], -1, -3]) == TEXT.encode()[6:].decode()
            assert await tokens.encode("") == [] and await tokens.decode([-1]) == ""

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["none", "lossy"])
def test_an_endpoint_without_tokens(kind: str, scripted: Scripted) -> None:
    if kind == "lossy":
        tokenizing(scripted, kind)

    async def run() -> None:
        import httpx

        async with httpx.AsyncClient() as client:
            await EndpointTokens.find(client, scripted.url, "m", QUICK)

    if kind == "lossy":  # "a" survives it; nothing longer does
        scripted.routes["/detokenize"] = lambda body: JSONResponse({"prompt": "?"})
    with pytest.raises(EngineError, match="does not tokenize") as caught:
        asyncio.run(run())
    assert "--tokenizer" in caught.value.hint and not scripted.bodies


def test_models_and_windows(scripted: Scripted) -> None:
    rows = [
        {"id": "a", "max_model_len": 100}, {"id": "b", "meta": {"n_ctx": 200}}, {"id": "c"},
        {"id": 3}, "junk", {"id": "d", "context_length": True, "meta": []},
    ]  # fmt: skip
    scripted.routes["/v1/models"] = lambda _: JSONResponse({"data": rows})

    async def run() -> list[Any]:
        import httpx

        async with httpx.AsyncClient() as client:
            return [(m.name, m.context_length) for m in await served(client, scripted.url)]

    assert asyncio.run(run()) == [("a", 100), ("b", 200), ("c", None), ("d", None)]
    scripted.routes.clear()
    assert asyncio.run(run()) == []


@pytest.mark.parametrize(
    ("table", "want"),
    [
        ({"error": {"message": "a", "code": None}}, "a"), ({"error": "b"}, "b"),
        ({"object": "error", "message": "c"}, "c"), ({"detail": "d"}, "d"),
        ({"error": None, "choices": []}, None), ({"error": {}}, None), ([], None), (None, None),
    ],
)  # fmt: skip
def test_complaints(table: Any, want: str | None) -> None:
    found = complaint(table)
    assert (found and found.message) == want


def test_passwords_are_not_shown() -> None:
    assert shown("http://a:b@c/v1") == "http://c/v1" and shown("http://c/@x") == "http://c/@x"


def test_a_tokenizer_that_is_none(tmp_path: Any) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    for path, match in ((tmp_path / "no", "no tokenizer at"), (tmp_path, "is not a tokenizer")):
        with pytest.raises(CheckpointError, match=match):
            LocalTokens.load(str(path))
