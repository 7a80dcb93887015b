"""How a model is served."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.base import Config


class ServeConfig(Config):
    """`zaya serve FOLDER key=value`. Secrets come from the environment, never from a recipe."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: NonNegativeInt = 8000
    """0 takes any free one and prints it."""
    name: str | None = None
    """What clients call the model; none: the folder's name."""
    max_sequences: PositiveInt = 64
    """Sequences decoded together; those beyond wait."""
    max_queue: PositiveInt = 256
    """Sequences that may wait; a request beyond gets 429 and Retry-After."""
    max_step_tokens: PositiveInt = 512
    """Tokens of one engine step: prompts are read in pieces of it, between which others decode."""
    cache_gb: PositiveFloat | None = None
    """Bound on keys, values and contexts; none: an eighth of the machine's memory."""
    max_body_mb: PositiveFloat = 32.0
    """A longer request body gets 413."""
    max_choices: PositiveInt = 128
    """Largest `n` of a request."""
    temperature: float = Field(default=1.0, ge=0.0)
    """Where a request names none (the released models': 1.0)."""
    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Where a request names none (the released models': 0.95)."""
    drain_seconds: PositiveFloat = 30.0
    """After SIGTERM, requests on their way have so long to end."""
    heartbeat_seconds: PositiveFloat = 15.0
    """A stream that is silent for so long gets a comment line."""
    api_key_variable: str = "ZAYA_API_KEY"
    """Environment variable with the key that clients must send; unset: none."""
    control_token_variable: str = "ZAYA_CONTROL_TOKEN"
    """Environment variable with the token of the control routes; unset: there are none."""
