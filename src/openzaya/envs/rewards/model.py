"""A scalar reward model behind vLLM or SGLang.

Both serve one number a conversation, in three shapes: vLLM's /pooling gives the pooler's output (a
vector, or one for each token, of which the last counts), vLLM's /classify class scores, SGLang's
/classify an "embedding" of one number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from openzaya.config.chat_reward import RewardModelConfig
from openzaya.envs.rewards.base import RewardError, defused
from openzaya.envs.rewards.endpoint import Endpoint, gathered
from openzaya.errors import ConfigError


class ScalarRewardModel:
    """A `ChatReward`. Raw scores are cached; what normalises them is computed anew."""

    def __init__(self, config: RewardModelConfig) -> None:
        self.config = config
        self.endpoint = Endpoint(config.endpoint)
        self._template = None if config.chat_template is None else _template(config.chat_template)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.__aexit__()

    async def score(self, prompt: str, answer: str) -> float:
        (value,) = await self.score_batch([(prompt, answer)])
        if isinstance(value, RewardError):
            raise value
        return value

    async def score_batch(self, pairs: Sequence[tuple[str, str]]) -> list[float | RewardError]:
        raw = await gathered([self.raw(prompt, answer) for prompt, answer in pairs])
        return self._normalised(raw)

    async def raw(self, prompt: str, answer: str) -> float:
        """The model's own number."""
        return await self.endpoint.remembered((prompt, answer), lambda: self._asked(prompt, answer))

    async def _asked(self, prompt: str, answer: str) -> float:
        turns = [
            {"role": "user", "content": defused(prompt)},
            {"role": "assistant", "content": defused(answer)},
        ]
        text = None if self._template is None else self._template.render(messages=turns)
        body: dict[str, Any] = {"model": self.config.endpoint.model}
        if self.config.api == "sglang-classify":
            got = await self.endpoint.post("/classify", body | {"text": text})
        else:
            body |= {"messages": turns} if text is None else {"input": text}
            body["use_activation"] = False  # the raw logit, not vLLM's sigmoid or softmax of it
            path = "/" + self.config.api.removeprefix("vllm-")
            got = await self.endpoint.post(path, body)
        try:
            value = _number(got, self.config.api)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RewardError(
                f"{self.config.endpoint.url} answered with no score: {str(got)[:200]}",
                f"check that it serves a reward model of one label and api={self.config.api}",
            ) from error
        return value

    def _normalised(self, raw: Sequence[float | RewardError]) -> list[float | RewardError]:
        config = self.config
        known = [value for value in raw if not isinstance(value, RewardError)]
        shift, scale = config.shift, config.scale
        if config.normalise == "zscore" and known:
            shift = math.fsum(known) / len(known)
            scale = math.sqrt(math.fsum((v - shift) ** 2 for v in known) / len(known))
        out: list[float | RewardError] = []
        for value in raw:
            if isinstance(value, RewardError):
                out.append(value)
            elif config.normalise == "none":
                fits = 0.0 <= value <= 1.0
                out.append(value if fits else RewardError(f"{value} is no score in [0, 1]", _HINT))
            elif config.normalise == "zscore" and len(known) < 2:
                out.append(RewardError("one score alone has no deviation from a mean", _HINT))
            else:
                out.append(_sigmoid((value - shift) / scale if scale > 0 else 0.0))
        return out


_HINT = "set normalise=sigmoid"


def _template(path: Path) -> Any:
    import jinja2
    import jinja2.sandbox

    if not path.is_file():
        raise ConfigError(f"{path}: no such chat template", "give the path of a Jinja file")
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    try:
        return environment.from_string(path.read_text(encoding="utf-8"))
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{path}: {error}", "fix the template") from None


def _number(got: Any, api: str) -> float:
    if api == "sglang-classify":
        value = (got[0] if isinstance(got, list) else got)["embedding"]
    elif api == "vllm-classify":
        value = got["data"][0]["probs"]
    else:
        value = got["data"][0]["data"]
        if isinstance(value, list) and value and isinstance(value[0], list):
            value = value[-1]  # one vector for each token
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f"{len(value)} numbers")
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    return float(value)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
