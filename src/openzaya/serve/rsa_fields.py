"""How a chat request asks for Markovian RSA, in any of three ways.

    {"model": "zaya:rsa-paper"}                   a preset by the model's name
    {"rsa": {"preset": "light", "n": 8, ...}}     an object; every field wins over the preset's
    {"rsa_t": 2, "rsa_n": 8, ...}                 the fields of Zyphra's proxy, with its defaults

Letters are the report's: N rollouts, C shown, T rounds after round 0, beta and tau in tokens.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from openzaya.config.rsa import PRESETS, Kind, RSAConfig, preset
from openzaya.errors import ConfigError
from openzaya.serve.errors import ApiError
from openzaya.serve.schema import Body, ChatRequest

SUFFIX = ":rsa"
PROXY = "zyphra-proxy"
BY_WINDOW = ("deploy", "light", "cpu")
"""What a request that names no preset gets: the first that the window holds."""
OFFERED = tuple(name for name in PRESETS if preset(name).selection != "best")
"""Presets that need no verifier."""
VARIANTS = ("paper", "deploy", "light", "high", "extra-high", PROXY, "cpu")
"""Those that /v1/models lists as models of their own."""

Count = Annotated[int, Field(ge=1, lt=2**31)]
Share = Annotated[float, Field(gt=0, le=1)]
Warmth = Annotated[float, Field(ge=0, le=100)]
TopK = Annotated[int, Field(ge=-1, lt=2**31)]


class Prices(Body):
    """Money per million tokens."""

    prefill: float = Field(default=0.0, ge=0)
    cached: float = Field(default=0.0, ge=0)
    decode: float = Field(default=0.0, ge=0)


class RSAFields(Body):
    """The `rsa` object."""

    preset: str | None = None
    n: Count | None = None
    c: Count | None = None
    t: int | None = Field(default=None, ge=0, le=1000)
    """Rounds of aggregation after round 0."""
    beta: Count | None = None
    tau: Count | None = None
    final_max_tokens: Count | None = None
    """beta of the last round; `max_tokens` of the request means the same."""
    final_n: Count | None = None
    final_temperature: Warmth | None = None
    final_top_p: Share | None = None
    final_top_k: TopK | None = None
    selection: Literal["majority", "aggregate", "uniform"] | None = None
    kind: Kind | None = None
    tail_scope: Literal["full", "reasoning", "answer"] | None = None
    order: Literal["slot", "drawn"] | None = None
    template: str | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    budget_tokens: Count | None = None
    """Tokens written by all rollouts together, at which the run answers from what it has."""
    budget_seconds: float | None = Field(default=None, gt=0)
    budget_money: float | None = Field(default=None, gt=0)
    prices: Prices | None = None
    early_stop: float | None = Field(default=None, gt=0.5, le=1)
    """Share of a round that must agree for the run to end there."""
    retries: int | None = Field(default=None, ge=0, le=16)
    min_population: Count | None = None
    rollout_timeout: float | None = Field(default=None, gt=0)
    max_concurrency: int | None = Field(default=None, ge=0, lt=2**31)
    """Rollouts on their way at one time; 0: as many as the server has room for."""
    barrier: bool | None = None


class RSAChatRequest(ChatRequest):
    """A chat request that may ask for RSA."""

    rsa: RSAFields | bool | None = None
    rsa_t: int | None = Field(default=None, ge=0, le=1000)
    rsa_k: Count | None = None
    rsa_n: Count | None = None
    rsa_tail_window: Count | None = None
    tail_window_len: Count | None = None
    short_resp_len: Count | None = None
    rsa_final_n: Count | None = None
    final_temperature: Warmth | None = None
    final_top_p: Share | None = None
    final_top_k: TopK | None = None
    rsa_max_concurrency: int | None = Field(default=None, ge=0, lt=2**31)
    use_pacore: bool | None = None
    return_aggregation_prompt: bool | None = None
    return_rsa_metadata: bool | None = None
    rsa_summarize: bool | None = None
    summary_prompt: str | None = None
    rsa_debug: bool | None = None


OURS = {
    "n": "population", "c": "candidates", "t": "rounds", "beta": "budget", "tau": "tail",
    "final_max_tokens": "final_budget", "final_n": "final_population",
    "budget_tokens": "limits.tokens", "budget_seconds": "limits.seconds",
    "budget_money": "limits.money", "early_stop": "early_stop.share",
    "max_concurrency": "concurrency",
}  # fmt: skip
"""Config key of a field of the object, where it has another name."""
THEIRS = {
    "rsa_t": "rounds", "rsa_k": "candidates", "rsa_n": "population", "rsa_tail_window": "tail",
    "tail_window_len": "tail", "short_resp_len": "budget", "rsa_final_n": "final_population",
    "final_temperature": "final_temperature", "final_top_p": "final_top_p",
    "final_top_k": "final_top_k", "rsa_max_concurrency": "concurrency",
}  # fmt: skip
SWITCHES = ("use_pacore", "return_aggregation_prompt", "return_rsa_metadata")
REFUSED = {
    "rsa_summarize": "tails are cut by tokens here, never summarised",
    "summary_prompt": "tails are cut by tokens here, never summarised",
    "rsa_debug": "every event of a run is in its stream: use stream, or POST /rsa/runs",
}
PLAIN = {
    "tools": "a run ends in one answer, not in calls",
    "logprobs": "an answer chosen from many has no log-probabilities of its own",
    "top_logprobs": "an answer chosen from many has no log-probabilities of its own",
    "logit_bias": "not passed to rollouts",
    "stop": "rollouts end by themselves or at their budget",
    "stop_token_ids": "rollouts end by themselves or at their budget",
    "min_p": "not passed to rollouts",
    "thinking_budget": "beta bounds a rollout",
    "return_token_ids": "the answer is chosen from many",
    "return_routed_experts": "the answer is chosen from many",
}
"""Fields of a plain request that mean nothing here, and why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for."""

    model: str | None
    """Without the suffix."""
    preset: str
    config: RSAConfig
    names: dict[str, str]
    """Config key -> the client's name for it; "preset" is always there."""
    prompt_back: bool = False
    """Zyphra's `return_aggregation_prompt`."""
    metadata_back: bool = False
    """Zyphra's `return_rsa_metadata`."""

    def field_of(self, message: str) -> str:
        """The client's field that an error of the configuration is about."""
        for key, name in self.names.items():
            if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", message):
                return name
        return self.names["preset"]

    def misfit(self, window: int | None) -> str:
        """The client's field that makes the largest prompt too large for the window."""
        if fits(self.config, window):
            return "messages"
        for key in ("final_budget", "budget", "tail", "candidates"):
            if key in self.names and fits(self.config.model_copy(update={key: 1}), window):
                return self.names[key]
        return "short_resp_len" if self.preset == PROXY else self.names["preset"]


def base_model(model: str | None) -> tuple[str | None, str | None]:
    """("zaya:rsa-paper") -> ("zaya", "paper"); the preset is "" where only `:rsa` stands."""
    name, mark, rest = (model or "").rpartition(SUFFIX)
    if not mark or (rest and not rest.startswith("-")):
        return model, None
    return name or None, rest.removeprefix("-")


def wish_of(body: RSAChatRequest, window: int | None, seed: int) -> Wish | None:
    """None for a plain request; ApiError 400, which names the field, for what cannot be.

    `window`: tokens that the model holds, None if unknown. `seed`: where the request has none.
    """
    sent = {k for k in body.model_fields_set if getattr(body, k) is not None}
    model, suffix = base_model(body.model)
    for name, why in REFUSED.items():
        if getattr(body, name):
            raise ApiError(400, f"{name} is not offered: {why}", name, "unsupported_parameter")
    proxied = sorted(sent & {*THEIRS, *SWITCHES})
    asked = body.rsa not in (None, False)
    if suffix is None and not asked and not proxied:
        return None
    if asked and proxied:
        raise ApiError(400, f"{proxied[0]}: give either the rsa object or {proxied[0]}", proxied[0])
    for name, why in PLAIN.items():
        if name in sent and getattr(body, name):
            raise ApiError(
                400, f"{name} does not go with RSA: {why}", name, "unsupported_parameter"
            )
    if proxied:
        return _proxy_wish(body, model, suffix, proxied, seed)
    if (body.n or 1) > 1:
        raise ApiError(400, "n: a run gives one answer; its population is rsa.n", "n")
    own = body.rsa if isinstance(body.rsa, RSAFields) else RSAFields()
    if own.preset is not None and suffix and suffix != own.preset:
        raise ApiError(400, f"rsa.preset: the model's name asks for {suffix!r}", "rsa.preset")
    given = own.model_dump(exclude_none=True, exclude={"preset"})
    values = {OURS.get(k, k): v for k, v in given.items()}
    names = {OURS.get(k, k): f"rsa.{k}" for k in given}
    names["preset"] = "model" if suffix else "rsa.preset"
    chosen = own.preset or suffix or _by_window(window)
    return _wish(body, model, chosen, values, names, seed)


def _proxy_wish(
    body: RSAChatRequest, model: str | None, suffix: str | None, proxied: list[str], seed: int
) -> Wish:
    """Zyphra's fields over Zyphra's defaults."""
    if suffix not in (None, "", PROXY):
        raise ApiError(400, f"{proxied[0]} does not go with the preset {suffix!r}", proxied[0])
    values, names = {}, {}
    for name, key in THEIRS.items():
        value = getattr(body, name)
        if value is None:
            continue
        if values.get(key, value) != value:
            raise ApiError(400, f"{name} and {names[key]} differ", name)
        values[key], names[key] = value, name
    if body.n is not None and body.rsa_n is None:  # their default for N
        values["population"], names["population"] = body.n, "n"
    if body.use_pacore:
        values |= {"tail_scope": "answer", "order": "drawn", "template": "pacore-v1"}
    names["preset"] = proxied[0]
    return _wish(
        body, model, PROXY, values, names, seed,
        prompt_back=bool(body.return_aggregation_prompt),
        metadata_back=bool(body.return_rsa_metadata),
    )  # fmt: skip


def _wish(
    body: RSAChatRequest,
    model: str | None,
    chosen: str,
    values: dict[str, Any],
    names: dict[str, str],
    seed: int,
    **more: Any,
) -> Wish:
    if chosen not in OFFERED:
        verifier = " (it needs a verifier)" if chosen in PRESETS else ""
        raise ApiError(
            400, f"{names['preset']}: no preset is called {chosen!r}{verifier}; there are "
            f"{', '.join(OFFERED)}", names["preset"],
        )  # fmt: skip
    for name, key in (
        ("temperature", "temperature"), ("top_p", "top_p"), ("top_k", "top_k"), ("seed", "seed"),
        ("max_tokens", "final_budget"), ("max_completion_tokens", "final_budget"),
    ):  # fmt: skip
        value = getattr(body, name)
        if value is not None and key not in values:
            values[key], names[key] = value, name
    values.setdefault("seed", seed)
    for key in ("top_k", "final_top_k"):
        if values.get(key) == -1:
            values[key] = 0
    if values.get("concurrency") == 0:
        del values["concurrency"]
    values |= {f"prices.{k}": v for k, v in values.pop("prices", {}).items()}
    _check(values, names, chosen)
    try:
        config = preset(chosen, [f"{k}={json.dumps(v)}" for k, v in values.items()])
    except ConfigError as error:
        said = error.message.removeprefix("the command line: ")
        param = Wish(model, chosen, preset(chosen), names).field_of(said)
        raise ApiError(400, f"{param}: {said}", param) from None
    return Wish(model, chosen, config, names, **more)


def _check(values: dict[str, Any], names: dict[str, str], chosen: str) -> None:
    """What two fields must keep between them, said in the client's words."""
    base = preset(chosen)
    for small, large, what in (
        ("candidates", "population", "tails cannot be drawn from {} rollouts"),
        ("tail", "budget", "tokens of tail cannot be cut from a budget of {}"),
    ):
        low, high = values.get(small, getattr(base, small)), values.get(large, getattr(base, large))
        if low > high:
            param = names.get(small) or names[large]
            own = "" if small in values and large in values else f" (preset {chosen})"
            raise ApiError(400, f"{param}: {low} {what.format(high)}{own}", param)


def fits(config: RSAConfig, window: int | None) -> bool:
    """Whether the largest prompt and its rollout have room, with some for the question."""
    longest = max(config.budget_of(t) for t in range(config.rounds + 1))
    shown = config.candidates * config.tail if config.rounds else 0
    return window is None or shown + longest + 128 <= window


def _by_window(window: int | None) -> str:
    return next((p for p in BY_WINDOW if fits(preset(p), window)), BY_WINDOW[-1])


def about(model: str, window: int | None) -> dict[str, Any]:
    """What the page offers."""
    rows = []
    for name in OFFERED:
        c = preset(name)
        rows.append({
            "name": name, "n": c.population, "c": c.candidates, "t": c.rounds, "beta": c.budget,
            "tau": c.tail, "final_max_tokens": c.budget_of(c.rounds), "final_n": c.width(c.rounds),
            "fits": fits(c, window),
        })  # fmt: skip
    return {
        "model": model,
        "window": window,
        "preset": _by_window(window),
        "presets": rows,
        "kinds": list(get_args(Kind)),
        "kind": "math",
        "selections": ["majority", "aggregate", "uniform"],
    }
