"""The in-process `Sampler`: chat in, completions out, concurrent callers share batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from openzaya.engine.engine import Engine, Running
from openzaya.tokenizer import Tokenizer
from openzaya.types import Completion, Request, ThinkIds


class EngineSampler:
    """Serves the `Sampler` protocol from an `Engine`.

    Requests that arrive in one turn of the event loop run as one batch, so a thousand problems
    that each ask for N rollouts become one call of the engine.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.think_ids = ThinkIds(tokenizer.think_id, tokenizer.end_think_id, tokenizer.im_end_id)
        self.on_progress = on_progress
        self._waiting: list[tuple[Sequence[Request], asyncio.Future[list[Completion]]]] = []

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Completion]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)  # runs after every caller that is ready now
        self._waiting.append((requests, future))
        return await future

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(token_ids))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            done = self.run([r for requests, _ in waiting for r in requests])
        except Exception as error:  # hand it to the callers: they await, this callback cannot
            for _, future in waiting:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for requests, future in waiting:
            if not future.cancelled():
                future.set_result(done[: len(requests)])
            done = done[len(requests) :]

    def run(self, requests: Sequence[Request]) -> list[Completion]:
        """The same, synchronously."""
        cache: dict[tuple, list[int]] = {}
        prompts = []
        for request in requests:
            if request.messages not in cache:
                cache[request.messages] = self.tokenizer.prompt_ids(request.messages)
            prompts.append(cache[request.messages])
        running = self.engine.generate(
            prompts,
            [r.params for r in requests],
            capture_experts=any(r.return_experts for r in requests),
            on_progress=self.on_progress,
        )
        return [self._completion(s) for s in running]

    def _completion(self, s: Running) -> Completion:
        assert s.finish is not None
        reasoning, answer = self.think_ids.split(s.tokens)
        decode = self.tokenizer.decode
        return Completion(
            prompt_ids=np.array(s.prompt, dtype=np.int32),
            token_ids=np.array(s.tokens, dtype=np.int32),
            logprobs=np.array(s.logprobs, dtype=np.float32),
            policy_version=np.full(len(s.tokens), self.engine.version, dtype=np.int32),
            finish_reason=s.finish,
            text=decode(s.tokens, skip_special=False),
            reasoning=decode(reasoning),
            answer=None if answer is None else decode(answer).strip(),
            experts=np.concatenate(s.experts) if s.experts else None,
        )
