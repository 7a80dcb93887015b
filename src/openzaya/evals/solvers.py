"""Methods as solvers of inspect-ai: a single rollout, and everything that `ttc` spans.

A solver leaves its draws in the sample's store: each is one answer that counts. A single rollout
is one draw; Markovian RSA leaves its last population, whose mean correctness is the report's
score, and the answer that it would have given.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from inspect_ai.model import ChatMessageAssistant, ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver

from openzaya.config.rsa import RSAConfig
from openzaya.errors import EvalError
from openzaya.evals.provider import ModelSampler, chat_of, config_of, texts_of, tokens_of
from openzaya.evals.tasks.spec import Item, Sampling, TaskSpec
from openzaya.evals.writer import Writer
from openzaya.ttc import Journal, Result, derived_seed, reason
from openzaya.types import SamplingParams

DRAWS, RUN = "draws", "run"
Items = dict[str, Item]


def single(
    task: TaskSpec, items: Items, sampling: Sampling, max_tokens: int, seed: int, seconds: float,
    writer: Writer,
) -> Solver:  # fmt: skip
    """One rollout. Its seed is the problem's and the epoch's, so no order of events matters."""

    @solver(name="openzaya_single")
    def make(temperature: float, top_p: float, top_k: int, max_tokens: int, seed: int) -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            item = items[str(state.sample_id)]
            params = SamplingParams(
                max_tokens, temperature, top_p, derived_seed(seed, item.id, state.epoch), top_k
            )
            config = config_of(params, openai=writer.openai)
            async with asyncio.timeout(seconds):
                output = await writer.model.generate(chat_of(item.messages), config=config)
            if output.error or not output.choices:
                raise EvalError(f"no completion: {output.error or 'no choices'}")
            reasoning, answer = texts_of(output, writer.opens_think)
            read, cached, written = tokens_of(output)
            state.output = output
            state.messages.append(output.message)
            cut = output.stop_reason == "max_tokens"
            state.store.set(
                DRAWS,
                [{"response": answer, "reasoning": len(reasoning), "cut": cut, "written": written}],
            )
            state.store.set(RUN, {"written": written, "read": read, "cached": cached, "lost": 0})
            return state

        return solve

    return make(sampling.temperature, sampling.top_p, sampling.top_k, max_tokens, seed)


def reasoner(
    task: TaskSpec, items: Items, rsa: RSAConfig, seconds: float, writer: Writer,
    journals: Path | None,
) -> Solver:  # fmt: skip
    """A run of `ttc.reason` per sample. With `journals`, one that was killed goes on where it was:
    no rollout that has ended is made again."""

    @solver(name="openzaya_rsa")
    def make(population: int, candidates: int, rounds: int, tail: int, budget: int) -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            item = items[str(state.sample_id)]
            config = rsa.model_copy(update={"seed": rsa.seed + state.epoch - 1})
            path = None
            if journals is not None:
                path = journals / f"{_file(item.id)}.{state.epoch}.jsonl"
            async with asyncio.timeout(seconds), writer.tokens() as tokens:
                sampler = ModelSampler(
                    writer.model, tokens, opens_think=writer.opens_think, openai=writer.openai,
                    context_length=writer.window,
                )  # fmt: skip
                with nullcontext() if path is None else Journal.open(path) as journal:
                    result = await reason(
                        item.messages, sampler, config, run_id=item.id, journal=journal,
                        model=writer.name,
                    )  # fmt: skip
            if result.stop in ("error", "cancelled"):
                raise EvalError(f"the run ended by {result.stop}: {result.detail}")
            _leave(state, result, writer)
            return state

        return solve

    return make(rsa.population, rsa.candidates, rsa.rounds, rsa.tail, rsa.budget)


def _leave(state: TaskState, result: Result, writer: Writer) -> None:
    shown = result.response or ""
    state.output = ModelOutput.from_content(writer.name, shown)
    state.messages.append(ChatMessageAssistant(content=shown))
    last = next((p for p in reversed(result.populations) if any(p)), [])
    state.store.set(DRAWS, [_draw(c) for c in last if c is not None])
    rounds = [[c.response for c in p if c is not None] for p in result.populations]
    tokens = result.cost.tokens
    state.store.set(RUN, {
        "written": tokens.decode, "read": tokens.prompt, "cached": tokens.cached,
        "lost": sum(c is None for c in last), "chosen": result.response, "stop": result.stop,
        "rounds": rounds[:-1], "failures": result.cost.failures,
    })  # fmt: skip


def _draw(c: Any) -> dict[str, Any]:
    return {
        "response": c.response, "reasoning": c.tokens.reasoning, "cut": c.finish == "length",
        "written": c.tokens.decode,
    }  # fmt: skip


def _file(id_: str) -> str:
    """A file's name for an id, and no two ids the same."""
    if id_.isascii() and id_.replace("-", "").replace("_", "").isalnum() and len(id_) < 80:
        return id_
    return f"{derived_seed(0, id_):x}"
