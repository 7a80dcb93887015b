"""What `zaya eval` measures, with whom, and how."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from openzaya.config.base import Config
from openzaya.config.rsa import RSAConfig
from openzaya.config.sampler import SamplerConfig
from openzaya.config.sandbox import SandboxConfig


class EvalConfig(Config):
    """Tasks of `zaya eval --list`, one model, one method. None: what the task sets."""

    how: ClassVar[tuple[str, ...]] = ("sampler", "samples", "sandbox")

    tasks: tuple[str, ...] = Field(min_length=1)
    """Names, or env:NAME@DIFFICULTY for an environment of `zaya envs list`."""
    model: str
    """The folder, or the name that an endpoint has for it: another one is another run."""
    sampler: SamplerConfig
    method: str = "single"
    """single, or the RSA preset that `rsa` began with."""
    rsa: RSAConfig | None = None
    """Reason by this instead of single rollouts; its `kind` is each task's own."""
    epochs: PositiveInt | None = None
    """k: samples of each problem. None: the report's k; with `rsa`, one run."""
    limit: PositiveInt | None = None
    """Problems of each task, from the first; None: all (env: tasks 100)."""
    max_tokens: PositiveInt | None = None
    """Tokens that a single rollout may write, reasoning and answer together."""
    temperature: NonNegativeFloat | None = None
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    top_k: NonNegativeInt | None = None
    """Likeliest tokens kept; 0 keeps all."""
    data: dict[str, str] = Field(default_factory=dict)
    """Task to local file, instead of the hub: data.gsm8k=test.jsonl."""
    params: dict[str, int | float | str] = Field(default_factory=dict)
    """Passed to the environments of env: tasks."""
    seed: NonNegativeInt = 0
    samples: PositiveInt = 16
    """Problems on their way at one time."""
    sample_seconds: PositiveFloat = 36000.0
    """After which a sample is an error."""
    sandbox: SandboxConfig = SandboxConfig()
    """Where programs of the code tasks run."""
