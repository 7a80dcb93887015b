"""What can be known to be wrong before a token is spent."""

from __future__ import annotations

from openzaya.config.rsa import RSAConfig
from openzaya.errors import ConfigError
from openzaya.ttc.choose import Scorer
from openzaya.ttc.cost import money
from openzaya.ttc.population import Tokens
from openzaya.ttc.prompts import aggregation_messages, find_template, template_of
from openzaya.types import Message, Sampler


def check(
    messages: tuple[Message, ...],
    sampler: Sampler,
    config: RSAConfig,
    score: Scorer | None = None,
) -> None:
    """ConfigError for a run that could not be carried out."""
    find_template(template_of(config))
    if not messages or messages[-1].role != "user":
        raise ConfigError(
            "the conversation does not end with a user's turn", "there is nothing to answer"
        )
    if config.selection == "best" and score is None:
        raise ConfigError(
            "selection = best needs a verifier", "give a scorer, or choose selection=majority"
        )
    _check_context(messages, sampler, config)
    first = Tokens(0, 0, config.budget_of(0))
    limits = config.limits
    if limits.tokens is not None and limits.tokens < first.decode:
        raise ConfigError(
            f"limits.tokens {limits.tokens} is less than one rollout may write ({first.decode})",
            "raise limits.tokens, or lower budget",
        )
    if limits.money is not None and money(first, config.prices) > limits.money:
        raise ConfigError(
            f"limits.money {limits.money:g} is less than one rollout may cost "
            f"({money(first, config.prices):.4g})",
            "raise limits.money, or lower budget",
        )


def prompt_tokens(
    messages: tuple[Message, ...], sampler: Sampler, config: RSAConfig, round_: int
) -> int:
    """The most tokens that a prompt of a round has: |q| + C * tau and the template's words. Where
    the sampler has no tokenizer to count them, problem and template count as nothing."""
    tokenizer = getattr(sampler, "tokenizer", None)
    shown = config.shown(round_)
    bare = aggregation_messages(messages, [""] * shown, template_of(config)) if shown else messages
    words = len(tokenizer.prompt_ids(bare)) if tokenizer is not None else 0
    return words + shown * config.tail


def _check_context(messages: tuple[Message, ...], sampler: Sampler, config: RSAConfig) -> None:
    holds = config.context or getattr(sampler, "context_length", None)
    if holds is None:
        return
    for t in range(config.rounds + 1):
        prompt, budget = prompt_tokens(messages, sampler, config, t), config.budget_of(t)
        if prompt + budget > holds:
            shown = config.shown(t)
            of = f", {shown} tails of {config.tail} among them" if shown else ""
            raise ConfigError(
                f"round {t} may need {prompt} prompt tokens{of}, and {budget} to write: more than "
                f"the {holds} that the model holds",
                "lower tail, candidates, budget or final_budget",
            )
