"""OpenAI's own client against a real port."""

from __future__ import annotations

import asyncio
import json
import math

import openai
import pytest

from openzaya.serve.schema import Tool
from openzaya.serve.tools import read_calls
from tests.serve.conftest import CALL, KNOWN, WEATHER, WINDOW, Parrot, Running


@pytest.fixture(scope="module")
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)


def ask(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("number", [0, 1])
def test_a_conversation(client: openai.OpenAI, number: int) -> None:
    question, thought, answer = KNOWN[number]
    got = client.chat.completions.create(model="parrot", messages=ask(question))  # type: ignore[arg-type]
    (choice,) = got.choices
    assert choice.message.content == answer and choice.finish_reason == "stop"
    assert choice.message.reasoning_content == thought  # type: ignore[attr-defined]
    assert choice.message.reasoning == thought  # type: ignore[attr-defined]
    assert got.usage is not None and got.usage.completion_tokens_details is not None
    # Every letter is a token here; </think> and <|im_end|> are one each.
    assert got.usage.completion_tokens == len(thought) + len(answer) + 2
    assert got.usage.completion_tokens_details.reasoning_tokens == len(thought)
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
    assert got.model == "parrot" and got.policy_version == 0  # type: ignore[attr-defined]


def test_a_stream_says_the_same(client: openai.OpenAI) -> None:
    question, thought, answer = KNOWN[1]
    stream = client.chat.completions.create(
        model="parrot", messages=ask(question), stream=True,  # type: ignore[arg-type]
        stream_options={"include_usage": True}, logprobs=True, top_logprobs=2,
    )  # fmt: skip
    chunks = list(stream)
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert "".join(d.content or "" for d in deltas) == answer
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == thought
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(thought) + len(answer) + 2
    assert all(c.id == chunks[0].id and c.model and c.created for c in chunks)
    listed = [
        e for c in chunks if c.choices and c.choices[0].logprobs
        for e in c.choices[0].logprobs.content or []
    ]  # fmt: skip
    assert "".join(e.token for e in listed[:-1]) == answer
    assert all(len(e.top_logprobs) == 2 for e in listed)


def test_async_clients_side_by_side(running: Running) -> None:
    async def go() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
            calls = [
                client.chat.completions.create(model="parrot", messages=ask(KNOWN[i % 2][0]))  # type: ignore[arg-type]
                for i in range(12)
            ]
            return [c.choices[0].message.content for c in await asyncio.gather(*calls)]

    assert asyncio.run(go()) == [KNOWN[i % 2][2] for i in range(12)]


def test_n_choices_and_seeds(client: openai.OpenAI) -> None:
    def texts(**more: object) -> list[str]:
        got = client.chat.completions.create(
            model="parrot", messages=ask("Who?"), n=4, temperature=1.5, max_tokens=12, **more  # type: ignore[arg-type]
        )  # fmt: skip
        assert [c.index for c in got.choices] == [0, 1, 2, 3]
        return [str(c.message.model_extra) + str(c.message.content) for c in got.choices]

    assert texts(seed=3) == texts(seed=3)
    assert len(set(texts(seed=3))) > 1
    assert texts(seed=3) != texts(seed=4)
    assert texts() != texts(), "without a seed every request has its own"


def test_one_prefill_for_n_choices(client: openai.OpenAI, running: Running) -> None:
    before = running.service.engine.steps
    client.chat.completions.create(model="parrot", messages=ask("Well?" * 30), n=8, max_tokens=1)  # type: ignore[arg-type]
    assert running.service.engine.steps == before + 1


def test_cached_tokens_are_reported(client: openai.OpenAI) -> None:
    question = "Tell me again, " * 20
    got = [
        client.chat.completions.create(model="parrot", messages=ask(question), max_tokens=2)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    cached = [g.usage.prompt_tokens_details.cached_tokens for g in got if g.usage]  # type: ignore[union-attr]
    assert cached[0] == 0 and cached[1] > 250 and cached[1] % 32 == 0


@pytest.mark.parametrize("stop", ["three", ["zzz", "ee\nf"], ["e", "two"]])
@pytest.mark.parametrize("stream", [False, True])
def test_stop_texts(client: openai.OpenAI, stop: str | list[str], stream: bool) -> None:
    """The reasoning of this one is free of them."""
    answer = KNOWN[1][2]
    places = [answer.find(s) for s in ([stop] if isinstance(stop, str) else stop)]
    want = answer[: min(p for p in places if p >= 0)]
    # "lines" has an e: the thinking is cut there, and no answer follows.
    thinks = stop == ["e", "two"]
    got = client.chat.completions.create(
        model="parrot", messages=ask(KNOWN[1][0]), stop=stop, stream=stream  # type: ignore[call-overload]
    )  # fmt: skip
    if stream:
        deltas = [c.choices[0] for c in got]
        text = "".join(d.delta.content or "" for d in deltas)
        thought = "".join(getattr(d.delta, "reasoning_content", None) or "" for d in deltas)
        reason = deltas[-1].finish_reason
    else:
        (choice,) = got.choices
        text, thought = choice.message.content, choice.message.reasoning_content
        reason = choice.finish_reason
    assert reason == "stop"
    assert (thought, text or "") == (("lin", "") if thinks else ("lines", want))


def test_logprobs(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(
        model="parrot", messages=ask(KNOWN[0][0]), logprobs=True, top_logprobs=3  # type: ignore[arg-type]
    )  # fmt: skip
    listed = got.choices[0].logprobs
    assert listed is not None and listed.content is not None
    assert "".join(e.token for e in listed.content[:-1]) == KNOWN[0][2]
    for e in listed.content:
        assert e.logprob <= 0 and e.bytes == list(e.token.encode())
        # Greedy: the token is the likeliest of the three.
        assert math.isclose(e.top_logprobs[0].logprob, e.logprob, abs_tol=1e-4)
        assert e.top_logprobs[0].token == e.token
        assert [t.logprob for t in e.top_logprobs] == sorted(
            (t.logprob for t in e.top_logprobs), reverse=True
        )


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call(client: openai.OpenAI, stream: bool) -> None:
    question = KNOWN[2][0]
    got = client.chat.completions.create(
        model="parrot", messages=ask(question), tools=[WEATHER], stream=stream  # type: ignore[call-overload]
    )  # fmt: skip
    if stream:
        choices = [c.choices[0] for c in got]
        calls = [call for c in choices for call in c.delta.tool_calls or []]
        content = "".join(c.delta.content or "" for c in choices)
        reason = choices[-1].finish_reason
        assert not any("zyphra" in (c.delta.content or "") for c in choices)
    else:
        (choice,) = got.choices
        calls, content, reason = (
            choice.message.tool_calls,
            choice.message.content,
            choice.finish_reason,
        )
    assert reason == "tool_calls" and content.strip() == "Let me see."
    (call,) = calls
    assert call.function.name == "weather" and call.id.startswith("call_")
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 3}


def test_without_tools_a_call_is_text(client: openai.OpenAI, parrot: Parrot) -> None:
    """Negative control: nothing is read that was not offered."""
    tools = [Tool.model_validate(WEATHER)]
    assert read_calls(f"a {CALL} b", tools)[0] == "a  b"
    text, calls = read_calls(CALL.replace("weather", "launch"), tools)
    assert not calls and "launch" in text
    broken = CALL.replace("</function>", "")
    assert read_calls(broken, tools) == (broken, [])


def test_the_answer_to_a_tool_call_can_be_sent(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(
        model="parrot", messages=ask(KNOWN[2][0]), tools=[WEATHER]  # type: ignore[arg-type, list-item]
    )  # fmt: skip
    message = first.choices[0].message
    assert message.tool_calls
    again = client.chat.completions.create(
        model="parrot", max_tokens=3, tools=[WEATHER],  # type: ignore[list-item]
        messages=[
            {"role": "user", "content": KNOWN[2][0]},
            message,  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"},
        ],
    )  # fmt: skip
    assert again.choices[0].finish_reason == "length"


def test_the_older_interface(client: openai.OpenAI, parrot: Parrot) -> None:
    question, thought, answer = KNOWN[0]
    text = f"x{question}"
    got = client.completions.create(model="parrot", prompt=[text, text], max_tokens=5, logprobs=1)
    assert len(got.choices) == 2 and got.choices[0].text == got.choices[1].text
    assert got.choices[0].logprobs is not None
    assert len(got.choices[0].logprobs.tokens or []) == 5
    ids = parrot.tokenizer.prompt_ids(_messages(question))
    by_ids = client.completions.create(model="parrot", prompt=ids, max_tokens=500)
    assert by_ids.choices[0].text == thought + answer
    stream = client.completions.create(model="parrot", prompt=ids, max_tokens=500, stream=True)
    assert "".join(c.choices[0].text for c in stream) == thought + answer


def _messages(question: str) -> tuple[object, ...]:
    from openzaya.types import Message

    return (Message("user", question),)


def test_the_thinking_budget(client: openai.OpenAI) -> None:
    got = client.chat.completions.create(
        model="parrot", messages=ask(KNOWN[3][0]), max_tokens=60,  # type: ignore[arg-type]
        extra_body={"thinking_budget": 7},
    )  # fmt: skip
    message = got.choices[0].message
    assert message.reasoning_content == "x" * 7  # type: ignore[attr-defined]
    assert message.content
    free = client.chat.completions.create(model="parrot", messages=ask(KNOWN[3][0]), max_tokens=60)  # type: ignore[arg-type]
    assert free.choices[0].message.reasoning_content == "x" * 40  # type: ignore[attr-defined]


def test_logit_bias_forbids_and_forces(client: openai.OpenAI, parrot: Parrot) -> None:
    letter = parrot.tokenizer.encode("q")[0]
    got = client.chat.completions.create(
        model="parrot", messages=ask("Hm"), max_tokens=6, logit_bias={str(letter): 100}  # type: ignore[arg-type]
    )  # fmt: skip
    assert got.choices[0].message.reasoning_content == "qqqqqq"  # type: ignore[attr-defined]


def test_models_and_tokens(client: openai.OpenAI, running: Running) -> None:
    import httpx

    model, *_ = client.models.list()
    assert model.id == "parrot" and model.max_model_len == WINDOW  # type: ignore[attr-defined]
    ids = httpx.post(f"{running.url}/tokenize", json={"prompt": "ab c"}).json()
    assert ids["count"] == 4
    back = httpx.post(f"{running.url}/detokenize", json={"tokens": ids["tokens"]}).json()
    assert back == {"prompt": "ab c"}
    chat = httpx.post(f"{running.url}/tokenize", json={"messages": ask("ab")}).json()
    assert chat["count"] == len(running.service.tokenizer.prompt_ids(_messages("ab")))  # type: ignore[arg-type]
    assert httpx.get(f"{running.url}/ready").status_code == 200
    text = httpx.get(f"{running.url}/metrics").text
    assert "zaya_generation_tokens_total" in text and "zaya_request_seconds_bucket" in text
