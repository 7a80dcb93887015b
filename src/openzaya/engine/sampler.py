"""The in-process `Sampler`: chat in, completions out, concurrent callers share steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Many

import numpy as np

from openzaya.engine.engine import Engine
from openzaya.engine.sequence import Sequence
from openzaya.engine.service import AsyncEngine
from openzaya.engine.text import StopTexts, TextStream
from openzaya.errors import EngineError
from openzaya.tokenizer import Tokenizer
from openzaya.types import Completion, FinishReason, Request, ThinkIds


class EngineSampler:
    """Serves the `Sampler` protocol from an engine. `on_progress` hears of each completion."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        on_progress: Callable[[int], None] | None = None,
        service: AsyncEngine | None = None,
    ) -> None:
        """`service`: whoever drives the engine already; an engine has one."""
        self.engine = engine
        self.service = service or AsyncEngine(engine)
        self.tokenizer = tokenizer
        self.think_ids = ThinkIds(tokenizer.think_id, tokenizer.end_think_id, tokenizer.im_end_id)
        self.on_progress = on_progress
        self.context_length = engine.capacity
        """Tokens of prompt and answer that fit."""

    async def sample(self, requests: Many[Request]) -> list[Completion]:
        """EngineError for requests that could never run, or whose logits broke."""
        sequences = self.sequences(requests)
        telling = asyncio.ensure_future(self._tell(requests, sequences))
        try:
            await self.service.run(sequences)
            await telling
        finally:
            telling.cancel()
        if self.on_progress is not None:
            self.on_progress(len(sequences))
        return [self.completion(s) for s in sequences]

    def run(self, requests: Many[Request]) -> list[Completion]:
        """The same, where no event loop runs."""
        return asyncio.run(self.sample(requests))

    async def detokenize(self, token_ids: Many[int]) -> str:
        return self.tokenizer.decode(list(token_ids))

    async def _tell(self, requests: Many[Request], sequences: list[Sequence]) -> None:
        """Each listener hears its text until its sequence has ended."""
        heard = [
            (r.on_text, _Spoken(s, self.tokenizer))
            for r, s in zip(requests, sequences, strict=True)
            if r.on_text is not None
        ]
        with self.service.listening() as news:
            while heard:
                await news.wait()
                news.clear()
                for pair in list(heard):
                    on_text, spoken = pair
                    if spoken.sequence.finish is not None:
                        heard.remove(pair)
                    if piece := spoken.push():
                        on_text(piece)

    def sequences(self, requests: Many[Request]) -> list[Sequence]:
        prompts = {r.messages: None for r in requests}
        ids = {messages: self.tokenizer.prompt_ids(messages) for messages in prompts}
        return [
            Sequence(
                ids[r.messages], r.params, r.return_experts,
                StopTexts(self.tokenizer, r.params.stop) if r.params.stop else None,
            )
            for r in requests
        ]  # fmt: skip

    def completion(self, s: Sequence) -> Completion:
        """What a sequence that has ended comes to."""
        assert s.finish is not None
        if s.finish is FinishReason.ERROR:
            raise EngineError(
                "the model's logits hold no finite number", "the weights are broken: load others"
            )
        reasoning, answer = self.think_ids.split(s.tokens)
        decode = self.tokenizer.decode
        thought, said = decode(reasoning), None if answer is None else decode(answer).strip()
        if isinstance(s.watch, StopTexts):
            thought, said = (
                (s.watch.cut(thought), None) if said is None else (thought, s.watch.cut(said))
            )
        return Completion(
            prompt_ids=np.array(s.prompt, dtype=np.int32),
            token_ids=np.array(s.tokens, dtype=np.int32),
            logprobs=np.array(s.logprobs, dtype=np.float32),
            policy_version=np.array(s.versions, dtype=np.int32),
            finish_reason=s.finish,
            text=decode(s.tokens, skip_special=False),
            reasoning=thought,
            answer=said,
            experts=s.experts,
            cached_tokens=s.cached,
        )


class _Spoken:
    """The text of a sequence as it comes, reasoning and then answer, without special tokens."""

    def __init__(self, sequence: Sequence, tokenizer: Tokenizer) -> None:
        self.sequence, self._tokenizer, self._seen = sequence, tokenizer, 0
        self._stream = TextStream(tokenizer)

    def push(self) -> str:
        """What came since the last time."""
        end, text = len(self.sequence.tokens), ""
        for token in self.sequence.tokens[self._seen : end]:
            if token == self._tokenizer.end_think_id:  # two texts, decoded apart
                self._stream = TextStream(self._tokenizer)
            else:
                text += self._stream.push([token])
        self._seen = end
        return text
