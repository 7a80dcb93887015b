"""How a model is served."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.base import Config
from openzaya.config.sampler import SamplerConfig

DType = Literal["stored", "float32", "bfloat16", "auto"]


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
    dtype: DType = "stored"
    """Of the weights. auto: float32 or bfloat16, whichever decodes faster here; bfloat16 rounds
    weights that are stored in float32, and they no longer agree with their trainer's."""
    threads: PositiveInt | None = None
    """Of an engine step on a CPU; none: as many as decode fastest here, measured at start."""
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
    progress_seconds: PositiveFloat = 3.0
    """A stream of Markovian RSA that has had no chunk for so long says how far the run is."""
    max_rollouts: PositiveInt = 2048
    """Most rollouts of one run of Markovian RSA."""
    upstream: SamplerConfig | None = None
    """An endpoint to stand before, in place of a model: its requests go through, and those that
    ask for Markovian RSA are reasoned out here."""
    api_key_variable: str = "ZAYA_API_KEY"
    """Environment variable with the key that clients must send; unset: none."""
    control_token_variable: str = "ZAYA_CONTROL_TOKEN"
    """Environment variable with the token of the control routes; unset: there are none."""
