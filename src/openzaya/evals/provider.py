"""Our samplers inside inspect-ai, and inspect-ai's models inside our methods.

`SamplerAPI` is a model of inspect whose tokens a `Sampler` writes. `ModelSampler` is the other way
round: what Markovian RSA asks for goes through inspect's `Model.generate`, so that every rollout
is in the log's transcript and counted there, whoever writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from openzaya.engine.text_tokens import TextTokens
from openzaya.errors import EngineError
from openzaya.ttc.events import pack_ids, unpack_ids
from openzaya.types import Completion, FinishReason, Message, Request, Sampler, SamplingParams

SEEDS = 2**31
"""Others take fewer bits of a seed than we."""
IDS = "token_ids"
"""Under which an output carries what was drawn."""
DEFAULT_TOKENS = 2048


class SamplerAPI(ModelAPI):
    """A model that is a `Sampler` of ours. Tools are not offered to it."""

    def __init__(self, model_name: str, sampler: Sampler, connections: int, **more: Any) -> None:
        super().__init__(model_name, **more)
        self.sampler, self.connections = sampler, connections

    def max_connections(self) -> int:
        return self.connections

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        if tools:
            raise EngineError("a model in this process calls no tools", "use `zaya serve`")
        messages = tuple(Message(m.role, m.text) for m in input)
        (made,) = await self.sampler.sample([Request(messages, _params(config))])
        return output_of(made, self.model_name)


def _params(config: GenerateConfig) -> SamplingParams:
    return SamplingParams(
        config.max_tokens or DEFAULT_TOKENS,
        1.0 if config.temperature is None else config.temperature,
        1.0 if config.top_p is None else config.top_p,
        config.seed or 0,
        config.top_k or 0,
        stop=tuple(config.stop_seqs or ()),
    )


def output_of(made: Completion, model: str) -> ModelOutput:
    """A completion as inspect has it; its ids go along, so that tails can be cut exactly."""
    content: list[Any] = [ContentReasoning(reasoning=made.reasoning)] if made.reasoning else []
    content.append(ContentText(text=made.answer or ""))
    stop = "max_tokens" if made.finish_reason is FinishReason.LENGTH else "stop"
    read, written = len(made.prompt_ids), made.decode_tokens
    return ModelOutput(
        model=model,
        choices=[ChatCompletionChoice(
            message=ChatMessageAssistant(content=content, model=model), stop_reason=stop
        )],
        usage=ModelUsage(
            input_tokens=read - made.cached_tokens, output_tokens=written,
            total_tokens=read + written, input_tokens_cache_read=made.cached_tokens,
        ),
        metadata={IDS: pack_ids(made.token_ids.tolist()), "closed": made.answer is not None},
    )  # fmt: skip


def texts_of(output: ModelOutput, opens_think: bool) -> tuple[str, str | None]:
    """(reasoning, answer); the answer is None while the think block is open."""
    message = output.message
    parts = message.content if isinstance(message.content, list) else []
    reasoning = "\n".join(p.reasoning for p in parts if isinstance(p, ContentReasoning))
    answer = message.text
    if output.metadata is not None and "closed" in output.metadata:
        return reasoning, answer if output.metadata["closed"] else None
    if not reasoning and opens_think:
        return answer, None
    return reasoning, None if reasoning and not answer.strip() else answer


def tokens_of(output: ModelOutput) -> tuple[int, int, int]:
    """(read, of them spared by a cache, written), as the model says."""
    usage = output.usage or ModelUsage()
    cached = usage.input_tokens_cache_read or 0
    return usage.input_tokens + cached, cached, usage.output_tokens


def config_of(p: SamplingParams, *, openai: bool = False) -> GenerateConfig:
    """As inspect asks for it. Its OpenAI provider leaves top-k out, so that goes beside."""
    beside = {"top_k": p.top_k} if p.top_k and not openai else None
    return GenerateConfig(
        max_tokens=p.max_tokens, temperature=p.temperature, top_p=p.top_p,
        seed=None if openai else p.seed % SEEDS, top_k=p.top_k or None, extra_body=beside,
    )  # fmt: skip


def chat_of(messages: Sequence[Message]) -> list[ChatMessage]:
    kinds: dict[str, Any] = {
        "user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem,
    }  # fmt: skip
    return [kinds[m.role](content=m.content) for m in messages]


class ModelSampler:
    """A `Sampler` over a model of inspect."""

    def __init__(
        self,
        model: Model,
        tokens: TextTokens,
        *,
        opens_think: bool = False,
        openai: bool = False,
        context_length: int | None = None,
    ) -> None:
        self.model, self.tokens, self.think_ids = model, tokens, tokens.think_ids
        self.opens_think, self.openai = opens_think, openai
        self.context_length = context_length

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        return list(await asyncio.gather(*(self._one(r) for r in requests)))

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return await self.tokens.decode(token_ids)

    async def _one(self, request: Request) -> Completion:
        config = config_of(request.params, openai=self.openai)
        output = await self.model.generate(chat_of(request.messages), config=config)
        if output.error or not output.choices:
            raise EngineError(f"no completion: {output.error or 'no choices'}", "ask again")
        reasoning, answer = texts_of(output, self.opens_think)
        finish = FinishReason.LENGTH if output.stop_reason == "max_tokens" else FinishReason.STOP
        ids = (output.metadata or {}).get(IDS)
        drawn = unpack_ids(ids) if ids is not None else await self._encode(reasoning, answer)
        if ids is None and finish is FinishReason.STOP:
            drawn.append(self.think_ids.end)
        read, cached, written = tokens_of(output)
        return Completion(
            prompt_ids=np.full(read, -1, dtype=np.int32),
            token_ids=np.array(drawn, dtype=np.int32),
            logprobs=np.full(len(drawn), np.nan, dtype=np.float32),
            policy_version=np.zeros(len(drawn), dtype=np.int32),
            finish_reason=finish, text=reasoning + (answer or ""), reasoning=reasoning,
            answer=answer, cached_tokens=cached, written=written or None,
        )  # fmt: skip

    async def _encode(self, reasoning: str, answer: str | None) -> list[int]:
        """A text without any thought is its own reasoning: its tail is cut from it."""
        if not reasoning:
            return list(await self.tokens.encode(answer or ""))
        ids = list(await self.tokens.encode(reasoning))
        if answer is not None:
            ids += [self.think_ids.close, *await self.tokens.encode(answer)]
        return ids
