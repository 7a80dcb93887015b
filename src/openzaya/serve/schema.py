"""What clients may send. A field that is not here is an error: a typo must not pass as a default.

OpenAI's fields that do not change what a model writes are accepted and not used.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from openzaya.serve.errors import ApiError

MOST_STOPS, LONGEST_STOP = 16, 256
B = TypeVar("B", bound="Body")
Ids = list[Annotated[int, Field(ge=0, lt=2**31)]]
Stop = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]

Nothing = Annotated[float, Field(ge=0, le=0)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Part(Body):
    """Content in parts; a model of text takes text."""

    type: Literal["text"]
    text: str


class FunctionCall(Body):
    name: str
    arguments: str


class ToolCall(Body):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class Function(Body):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"]
    function: Function


class StreamOptions(Body):
    include_usage: bool = False


class ResponseFormat(Body):
    """Only text: nothing constrains what the model writes."""

    type: Literal["text"]


class Sampling(Body):
    """Fields that /v1/chat/completions and /v1/completions share."""

    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=2**31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    n: int | None = Field(default=None, ge=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    stop_token_ids: Annotated[Ids, Field(max_length=64)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=1024)] | None = None
    thinking_budget: int | None = Field(default=None, ge=0)
    """Reasoning tokens after which `</think>` is written."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: bool = False
    """Adds token ids, the log-probabilities they were drawn with, and policy versions."""
    return_routed_experts: bool = False
    """Adds the router's choices, base64 of uint8 (tokens, layers)."""
    presence_penalty: Nothing | None = None
    frequency_penalty: Nothing | None = None
    user: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatRequest(Sampling):
    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None


class CompletionRequest(Sampling):
    prompt: str | list[str] | Ids | list[Ids]
    max_tokens: int | None = Field(default=16, ge=1)
    """OpenAI's default of 16 is part of this older interface."""
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: Literal[False] | None = None
    suffix: None = None
    best_of: Literal[1] | None = None


class TokenizeRequest(Body):
    """A text as it is, or a conversation as the model would be given it."""

    model: str | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = Field(default=None, min_length=1)


class DetokenizeRequest(Body):
    model: str | None = None
    tokens: Ids


class PauseRequest(Body):
    mode: Literal["keep", "wait", "abort"] = "keep"
    """What becomes of requests on their way: they stay where they are, end first, or are cut."""


class LoadRequest(Body):
    """SGLang's body of /update_weights_from_disk."""

    model_path: str
    weight_version: int | None = Field(default=None, ge=0, lt=2**31)
    """Stamped on all that is drawn from then on; none: one more than now."""


def parse(cls: type[B], raw: bytes) -> B:
    """A body as `cls`; ApiError 400 names the field at fault."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: {error.reason} at {error.start}") from None
    try:
        table = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    if not isinstance(table, dict):
        raise ApiError(400, "the body must be one JSON object")
    try:
        return cls.model_validate(table)
    except pydantic.ValidationError as error:
        raise _explain(error) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _explain(error: pydantic.ValidationError) -> ApiError:
    """The first fault, in one line. Of a union's branches, the one that went deepest."""
    first = max(error.errors(include_url=False), key=lambda e: (-_top(error, e), len(e["loc"])))
    path = ".".join(str(p) for p in first["loc"] if not str(p).startswith(("list[", "function-")))
    field = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"unknown field {path}", field, "unknown_parameter")
    return ApiError(400, f"{path}: {first['msg'][0].lower()}{first['msg'][1:]}", field)


def _top(error: pydantic.ValidationError, one: Any) -> int:
    """Place of the faulty field among all faults, so that the first field is reported."""
    fields = list(dict.fromkeys(e["loc"][:1] for e in error.errors(include_url=False)))
    return fields.index(one["loc"][:1])
