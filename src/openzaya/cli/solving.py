"""The work behind `zaya solve`: problems through a sampler, one view, one way out."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from openzaya.cli.problems import Asked, in_form
from openzaya.cli.sampler import open_sampler
from openzaya.cli.solve import row_of
from openzaya.cli.watch import Progress, title, view_on
from openzaya.config.rsa import RSAConfig
from openzaya.config.sampler import SamplerConfig
from openzaya.engine.http import HTTPSampler
from openzaya.run_dir import RunDir
from openzaya.ttc import Journal, Result, check, reason
from openzaya.ttc.events import Event
from openzaya.ttc.kinds import normalised
from openzaya.types import Sampler

RESULTS_FILE, JOURNALS = "results.jsonl", "journals"


class Solving:
    """`all` once. `interrupted`: the number of the signal that came."""

    def __init__(
        self,
        config: RSAConfig,
        sampler: SamplerConfig,
        journal: Path | None,
        out: RunDir | None,
        as_json: bool,
        jobs: int,
    ) -> None:
        self.config, self.sampler = config, sampler
        self.journal, self.out, self.as_json = journal, out, as_json
        self.interrupted: int | None = None
        self._room = asyncio.Semaphore(jobs)
        self._stop = asyncio.Event()
        self._view = view_on(Console(stderr=True))
        self._scores: list[tuple[float, float]] = []
        self._rows: list[dict[str, Any]] = []

    async def all(self, problems: list[Asked]) -> list[Result | None]:
        """A result per problem; None for those that an interrupt left untouched."""
        async with open_sampler(self.sampler) as sampler:
            for asked in problems:  # all, before the first token is spent
                check(in_form(asked.messages, self.config.kind), sampler, self.config)
            self._listen()
            many = len(problems) > 1
            work = [
                asyncio.ensure_future(self._one(asked, sampler, i if many else 0, len(problems)))
                for i, asked in enumerate(problems, 1)
            ]
            try:
                results = list(await asyncio.gather(*work))
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
        if self.out is not None:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self._rows)
            self.out.write_text(RESULTS_FILE, text)
        if self._scores:
            self._view.say(scored(self._scores))
        return results

    def _listen(self) -> None:
        """The first signal ends in an answer, the second at once."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def hear(number: int) -> None:
            if self.interrupted is not None:
                task.cancel()
                loop.remove_signal_handler(number)  # a third one is not waited for
                return
            self.interrupted = number
            self._view.say("interrupted: answering from what there is; once more ends at once")
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, hear, number)

    async def _one(self, asked: Asked, sampler: Sampler, number: int, of: int) -> Result | None:
        async with self._room:
            if self._stop.is_set():
                return None
            place = f"{number}/{of} " if number else ""
            run = Progress(title(asked.question, place), self.config)

            def hear(event: Event) -> None:
                run.hear(event)
                self._view.hear(run, event)

            path = self.journal if self.out is None else self.out.path / JOURNALS / asked.file
            name = sampler.model if isinstance(sampler, HTTPSampler) else self.sampler.model
            with nullcontext() if path is None else Journal.open(path) as journal:
                self._view.open(run)
                try:
                    result = await reason(
                        in_form(asked.messages, self.config.kind), sampler, self.config,
                        run_id=asked.id, journal=journal, on_event=hear, stop=self._stop,
                        model=name or "",
                    )  # fmt: skip
                finally:
                    self._view.close(run)
            self._tell(asked, result, path, alone=of == 1)
            return result

    def _tell(self, asked: Asked, result: Result, path: Path | None, alone: bool) -> None:
        """The answer on stdout."""
        row: dict[str, Any] = {"id": asked.id, "problem": asked.question, **row_of(result)}
        if path is not None:
            row["journal"] = str(path)
        if asked.answer is not None:
            row["reference"] = asked.answer
            row["correct"], row["mean_correct"] = score = self._score(asked.answer, result)
            self._scores.append(score)
        self._rows.append(row)
        if result.refusal is not None:
            self._view.say(f"no answer: {result.refusal}")
        if self.as_json:
            line = json.dumps(row, ensure_ascii=False)
        elif alone:
            line = result.answer if result.answer is not None else "no answer"
        else:
            line = f"{asked.id}\t{' '.join((result.answer or 'no answer').split())}"
        with self._view.paused():
            sys.stdout.write(line.encode("utf-8", "replace").decode() + "\n")
            sys.stdout.flush()

    def _score(self, answer: str, result: Result) -> tuple[float, float]:
        """(whether the answer is right, mean correctness of the last population), by votes."""
        kind = self.config.kind
        right = normalised(kind, answer)
        votes = [None if c is None else c.vote for c in result.populations[-1]]
        chosen = result.answer is not None and normalised(kind, result.answer) == right
        return float(chosen), sum(vote == right for vote in votes) / len(votes)


def scored(scores: list[tuple[float, float]]) -> str:
    """Accuracies over problems, with standard errors."""
    from openzaya.evals.stats import avg_at_k

    parts = []
    for name, column in zip(("answers", "last population"), zip(*scores, strict=True), strict=True):
        e = avg_at_k([[value] for value in column])
        error = f" +- {e.standard_error:.1%}" if e.n_problems > 1 else ""
        parts.append(f"{name} {e.mean:.1%}{error}")
    return f"right on {len(scores)} problems: {', '.join(parts)}"
