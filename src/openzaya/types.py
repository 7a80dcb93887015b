"""The nouns that all floors share. No torch here: a laptop script may import this alone.

Problem -> (prompt) -> Request -> Sampler -> Completion -> (score) -> Score.
Rollouts, groups and populations are lists of these; they get their own types where they
gain their own fields (`rl.rollout`, `ttc.population`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `reasoning` is the text inside the think block (assistant turns only)."""

    role: str
    content: str
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one completion is drawn. `seed` makes it reproducible whatever shares the batch.

    temperature 0 is greedy. `max_tokens` is the thinking budget beta of Markovian RSA: it
    bounds reasoning, answer and end token together. Truncation in vLLM's order: min-p, top-k,
    top-p. `thinking_budget` bounds the reasoning alone: once spent, `</think>` is written.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0
    """Likeliest tokens kept; 0 keeps all."""
    min_p: float = 0.0
    """Tokens below this part of the likeliest one's probability are dropped."""
    stop: tuple[str, ...] = ()
    """Texts before which the completion ends."""
    stop_ids: tuple[int, ...] = ()
    """Further tokens with which it ends."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token, added to its logit)."""
    top_logprobs: int = 0
    """Likeliest tokens whose log-probabilities are reported at each step."""
    thinking_budget: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One generation request: a conversation that ends with a user turn."""

    messages: tuple[Message, ...]
    params: SamplingParams
    return_experts: bool = False
    on_text: Callable[[str], None] | None = field(default=None, compare=False)
    """Hears pieces of the text as they are written; a sampler that cannot stream never calls it."""


class FinishReason(StrEnum):
    STOP = "stop"
    """The model wrote its end token."""
    LENGTH = "length"
    """`max_tokens` ran out first."""
    ABORT = "abort"
    """Cancelled, by the caller or to make way for new weights."""
    ERROR = "error"
    """The logits held no finite number."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a sampler returns for one request; RL trains on exactly these arrays.

    P = prompt tokens, T = generated tokens (end token included), L = layers.
    `logprobs[t]` is the log-probability under the distribution that token t was drawn from
    (after temperature and truncation), `policy_version[t]` the weights that drew it.
    `experts` holds the router's choice for every position that was fed to the model, prompt
    first; the last generated token was never fed, hence P + T - 1 rows.
    """

    prompt_ids: np.ndarray  # (P,) int32
    token_ids: np.ndarray  # (T,) int32
    logprobs: np.ndarray  # (T,) float32
    policy_version: np.ndarray  # (T,) int32
    finish_reason: FinishReason
    text: str
    """The generated text, special tokens included."""
    reasoning: str
    """Text inside the think block, closed or not."""
    answer: str | None
    """Text after `</think>`; None while the think block is open."""
    experts: np.ndarray | None = None  # (P + T - 1, L) uint8
    cached_tokens: int = 0
    """Prompt tokens that a prefix cache spared."""
    written: int | None = None
    """Tokens that an endpoint says it wrote; it may tokenize otherwise, or hide its reasoning."""

    @property
    def decode_tokens(self) -> int:
        """Tokens that were paid for."""
        return len(self.token_ids) if self.written is None else self.written


@dataclass(frozen=True, slots=True)
class ThinkIds:
    """Token ids that delimit reasoning: `<think>`, `</think>` and the end of a turn."""

    open: int
    close: int
    end: int

    def split(self, token_ids: Sequence[int]) -> tuple[Sequence[int], Sequence[int] | None]:
        """Generated ids as (reasoning, answer); the answer is None while the block is open.

        The first close token decides. On ids, since a model may spell the tag in letters.
        """
        if self.close not in token_ids:
            return token_ids, None
        end = token_ids.index(self.close)
        return token_ids[:end], token_ids[end + 1 :]


class Sampler(Protocol):
    """All that RL, RSA and evaluation know about generation: in-process engine or HTTP server."""

    think_ids: ThinkIds

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion per request, in order. Concurrent calls may share batches."""
        ...

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        """Text of `token_ids` (special tokens dropped); tails are cut on ids, then rendered."""
        ...


@dataclass(frozen=True, slots=True)
class Problem:
    """One verifiable task instance. `private` never enters a prompt."""

    env: str
    seed: int
    prompt: str
    private: Mapping[str, Any] = field(repr=False)
    fingerprint: str = ""
    """Hash of the prompt: equal prompts are equal problems, whatever their seed."""
    difficulty: int = 0


class Outcome(StrEnum):
    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSEABLE = "unparseable"
    """No answer to judge, for instance a think block that never closed."""
    TIMEOUT = "timeout"
    """The verifier, or the code it ran, had no verdict in time."""
    SANDBOX_KILLED = "sandbox-killed"
    """Submitted code broke a limit of the sandbox."""
    VERIFIER_ERROR = "verifier-error"
    """The verifier failed, not the answer; such a rollout is no evidence."""


@dataclass(frozen=True, slots=True)
class Score:
    """A verifier's verdict. `reward` in [0, 1]; `correct` is the binary reward RL uses."""

    reward: float
    outcome: Outcome
    format_ok: bool = True
    """Whether the answer came in the form that the prompt asks for."""
    reason: str = ""
    """Why, in a few words, for people who read rollouts."""

    @property
    def correct(self) -> bool:
        return self.outcome is Outcome.CORRECT


class Environment(Protocol):
    """A generator of problems and their verifier."""

    name: str
    family: str
    source: str
    licence: str
    version: str

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        """Pure: equal arguments give equal problems in every process; no global RNG is touched.
        `difficulty` counts from 0 and has no upper end unless the environment names one."""
        ...

    def score(self, problem: Problem, answer: str | None) -> Score:
        """Judge the text after `</think>`; None: the block never closed. Never raises."""
        ...

    def oracle(self, problem: Problem) -> Message | None:
        """A solution that scores 1, where the environment knows one."""
        ...
