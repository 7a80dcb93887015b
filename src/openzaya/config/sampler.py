"""Who writes: a model in this process, or one behind an endpoint."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from openzaya.config.base import Config


class SamplerConfig(Config):
    """A model folder, or a model behind an OpenAI-compatible endpoint."""

    model: str | None = None
    """Run folder or weights folder; with `endpoint`, the name that it knows the model by (none:
    the only one that it has)."""
    endpoint: str | None = None
    """Base URL such as http://localhost:8000/v1. Its key is in the variable `key_variable`."""
    key_variable: str = "OPENAI_API_KEY"
    tokenizer: str | None = None
    """tokenizer.json, or a folder with one, that cuts an endpoint's text into tokens; none: the
    endpoint's own /tokenize and /detokenize."""
    concurrency: PositiveInt = 16
    """Requests on their way at one time."""
    timeout: PositiveFloat = 3600.0
    """Seconds for one attempt at a request."""
    attempts: PositiveInt = 6
    """Attempts at a request whose failure may pass (429, 5xx, a cut stream, silence)."""
    fields: Literal["all", "openai"] = "all"
    """openai: OpenAI's own fields alone; then nothing is seeded."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request; the value "none" leaves one of ours out."""
    opens_think: bool = False
    """The chat template opens the think block and the server leaves the tags in the text: a text
    without `</think>` is reasoning that was cut."""

    @model_validator(mode="after")
    def _somebody_writes(self) -> SamplerConfig:
        if self.model is None and self.endpoint is None:
            raise ValueError("nobody writes: give a model folder, or an endpoint")
        return self
