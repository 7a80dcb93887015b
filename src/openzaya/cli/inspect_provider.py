"""Our model folders as models of inspect-ai: `inspect eval task.py --model zaya/FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspect_ai.model import GenerateConfig, modelapi

from openzaya.cli.sampler import local_sampler
from openzaya.evals.provider import SamplerAPI


@modelapi(name="zaya")
class FolderAPI(SamplerAPI):
    """Opens the folder once. `connections`: requests on their way at one time."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        connections: int = 16,
        **more: Any,
    ) -> None:
        super().__init__(
            model_name, local_sampler(Path(model_name)), connections, base_url=base_url,
            api_key=api_key, config=config or GenerateConfig(), **more,
        )  # fmt: skip
