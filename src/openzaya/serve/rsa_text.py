"""A run as lines for people, and as the objects that stand beside its answer."""

from __future__ import annotations

import time
from typing import Any

from openzaya.config.rsa import RSAConfig
from openzaya.ttc.events import (
    CandEnd,
    Event,
    RoundEnd,
    RoundStart,
    RunStart,
    RunStop,
)
from openzaya.ttc.run import Result

SHOWN = 60
"""Characters of an answer in a line of progress."""
STOPS = {
    "agreed": "The population agrees",
    "budget": "The budget is spent",
    "cancelled": "Asked to answer now",
    "error": "The run failed",
}


class Narrator:
    """Progress in words: the reasoning that a chat client shows."""

    def __init__(self, config: RSAConfig) -> None:
        self._config = config
        self._began = time.monotonic()
        self._ended = self._tokens = 0

    def line(self, event: Event) -> str:
        """What to say of `event`; empty for what is not worth a line."""
        c = self._config
        match event:
            case RunStart():
                times = "round" if c.rounds == 1 else "rounds"
                later = f", then {c.rounds} {times} of aggregation" if c.rounds else ""
                return f"Markovian RSA: {c.population} rollouts{later}.\n"
            case RoundStart(round=r, budget=budget, width=width):
                return f"Round {r}: {width} rollouts of at most {budget} tokens.\n"
            case CandEnd():
                self._ended += 1
                self._tokens += event.tokens.get("decode", 0)
                if event.finish == "error":
                    return f"  {event.id} failed: {event.error}\n"
                said = "no answer" if event.answer is None else short(event.answer)
                return f"  {event.id} {said} ({event.tokens.get('decode', 0)} tokens)\n"
            case RoundEnd(round=r, votes=votes, agreement=agreement):
                first = [f"{short(a)} ×{n}" for a, n in list(votes.items())[:3]]
                return (
                    f"Round {r} ended: {', '.join(first) or 'no votes'}; {agreement:.0%} agree.\n"
                )
            case RunStop(reason=reason, detail=detail) if reason in STOPS:
                return f"{STOPS[reason]}{': ' + detail if detail else ''}.\n"
        return ""

    def silence(self) -> str:
        """A line that only says that the run goes on."""
        seconds = time.monotonic() - self._began
        return (
            f"  … {self._ended} of {self._config.generations} rollouts, {self._tokens} tokens, "
            f"{seconds:.0f} s\n"
        )


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def plain(event: Event) -> dict[str, Any]:
    """The event without the ids of its tail: a page shows text, and resumes nothing."""
    row = event.to_json()
    row.pop("ids", None)
    return row


def usage(result: Result) -> dict[str, Any]:
    """OpenAI's object, summed over all rollouts, failed tries included."""
    table = result.cost.to_json()
    prompt, written = table["prompt_tokens"], table["decode_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": table["cached_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": table["reasoning_tokens"]},
    }


def metadata(result: Result, preset: str, run_id: str) -> dict[str, Any]:
    """The `rsa` object of a completion."""
    c, cost = result.config, result.cost
    return {
        "preset": preset,
        "n": c.population,
        "c": c.candidates,
        "t": c.rounds,
        "beta": c.budget,
        "tau": c.tail,
        "final_max_tokens": c.budget_of(c.rounds),
        "selection": c.selection,
        "kind": c.kind,
        "seed": c.seed,
        "run_id": run_id,
        "answer": result.answer,
        "chosen": None if result.chosen is None else result.chosen.id,
        "votes": result.votes,
        "agreement": result.agreement,
        "rounds": len(result.populations),
        "mean_tokens": _mean_tokens(result),
        "generations": cost.generations,
        "failures": cost.failures,
        "stop": result.stop,
        "detail": result.detail,
        "refusal": result.refusal,
        "saved_tokens": result.saved_tokens,
        "seconds": round(cost.seconds, 3),
        "money": cost.money,
    }


def zyphra(result: Result) -> dict[str, Any]:
    """What Zyphra's proxy calls `rsa_metadata`."""
    c = result.config
    return {
        "rsa_t": c.rounds,
        "rsa_k": c.candidates,
        "rsa_n": c.population,
        "tail_window_len": c.tail,
        "short_resp_len": c.budget,
        "rsa_final_n": c.width(c.rounds),
        "mean_tokens_per_round": _mean_tokens(result),
    }


def _mean_tokens(result: Result) -> list[float]:
    """Tokens that a rollout of each round wrote, on average."""
    rows = [[c.tokens.decode for c in p if c is not None] for p in result.populations]
    return [round(sum(row) / len(row), 1) if row else 0.0 for row in rows]
