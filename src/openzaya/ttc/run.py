"""The one loop of all methods, over any `Sampler` (Markovian RSA: report arXiv 2605.05365; RSA:
arXiv 2509.26626).

    P_0     = { tail_tau(y_i),   y_i ~ pi(. | q),                       i = 1..N }
    P_t     = { tail_tau(y_i),   y_i ~ pi(. | aggregate(q, S_i)),       i = 1..N },  t = 1..T
    S_i     = C tails of P_{t-1}, uniform without replacement, independent across i

One run is a pure function of (messages, sampler, config, run_id): every rollout and every draw
has a seed of its own, and nothing depends on what ends first. Who may start is `board`'s matter,
a single rollout `rollout`'s, the answer `choose`'s; here events happen, and the run ends.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from openzaya.config.base import to_plain
from openzaya.config.rsa import RSAConfig
from openzaya.ttc.board import Board
from openzaya.ttc.check import check, prompt_tokens
from openzaya.ttc.choose import Scorer, choose, votes_of
from openzaya.ttc.cost import Cost
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.events import (
    CandDelta,
    CandEnd,
    CandStart,
    FinalDelta,
    RoundEnd,
    RoundStart,
    RunEnd,
    RunStart,
    RunStop,
)
from openzaya.ttc.journal import Journal
from openzaya.ttc.population import Candidate, Tokens, name, tokens_of
from openzaya.ttc.prompts import TEMPLATES, aggregation_messages, template_of
from openzaya.ttc.purse import Purse
from openzaya.ttc.record import OnEvent, Record
from openzaya.ttc.result import Past, Result
from openzaya.ttc.rollout import Try, roll
from openzaya.ttc.vote import majority, tally
from openzaya.types import Message, Sampler

Tails = list[list[int] | None]
TailsFrom = Callable[[int, Tails], Awaitable[Tails]]
"""(round that will read them, own tails of the round before; None: failed) -> those to use."""
SHOWN_OF_CANCELLED = 2000
"""Characters of a cancelled rollout that its event keeps."""


async def reason(
    messages: tuple[Message, ...],
    sampler: Sampler,
    config: RSAConfig,
    *,
    run_id: str,
    journal: Journal | None = None,
    on_event: OnEvent | None = None,
    stop: asyncio.Event | None = None,
    score: Scorer | None = None,
    tails_from: TailsFrom | None = None,
    model: str = "",
) -> Result:
    """Answer the conversation `messages` (it ends with a user turn) as `config` says.

    `run_id` separates the random streams of different problems under one seed. `on_event` hears
    everything, on the event loop. Setting `stop` makes the run answer from what it has;
    cancelling the task cancels its rollouts. With a `journal` of the same run it goes on from
    there, and repeats no rollout that has ended. `score` is the verifier of selection = best.
    `tails_from` substitutes the tails that a round's prompts draw from (controls). `model` names
    the model in the journal.

    ConfigError for what could not be carried out, RunError for a journal of another run, both
    before any token is spent. Failed rollouts, limits and `stop` are no errors: see `Result`.
    """
    check(messages, sampler, config, score)
    record = Record(journal, on_event)
    run = _Run(messages, sampler, config, run_id, record, score, tails_from)
    return await run.go(stop, model)


class _Run:
    """One run on its way. Rollouts are tasks, and `over` is set when no more is to come."""

    def __init__(
        self,
        messages: tuple[Message, ...],
        sampler: Sampler,
        config: RSAConfig,
        run_id: str,
        record: Record,
        score: Scorer | None,
        tails_from: TailsFrom | None,
    ) -> None:
        self.messages, self.sampler, self.config, self.run_id = messages, sampler, config, run_id
        self.record, self.score, self.tails_from = record, score, tails_from
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[RunStop] = self.loop.create_future()
        may_agree = config.early_stop.share is not None
        hold = config.barrier or may_agree or tails_from is not None
        self.board = Board(config, run_id, hold)
        self.purse, self.cost = Purse(config), Cost(config.prices)
        self.most = [self._most(t) for t in range(config.rounds + 1)]
        self.tasks: dict[tuple[int, int], asyncio.Task[None]] = {}
        self.foreign: dict[int, asyncio.Future[Tails]] = {}
        self.begun: set[int] = set()
        self.error = ""
        """Of the last rollout that failed."""
        self.unfinished: list[str] = []
        self.hears = False
        """Whether anybody needs the text of a rollout before its end."""

    async def go(self, stop: asyncio.Event | None, model: str) -> Result:
        limit = self.config.limits.seconds
        self._begin(model)
        self.hears = self.record.heard or stop is not None or limit is not None
        watch = clock = None
        if stop is not None:
            watch = self.loop.create_task(stop.wait())
            watch.add_done_callback(lambda t: t.cancelled() or self._halt("cancelled"))
        if limit is not None:
            left = limit - self.record.at()
            clock = self.loop.call_later(left, self._halt, "budget", f"{limit:g} s have passed")
        self.record.broken.add_done_callback(self._broken)
        try:
            self._launch()
            await asyncio.sleep(0)  # the first rollouts are on their way: time to draw
            self.board.plan()
            self._launch()
            ended = await self.over
        except asyncio.CancelledError:
            await self._cancel()
            self.record.emit(RunStop("cancelled", "the caller has left"))
            raise
        finally:
            self.record.broken.remove_done_callback(self._broken)
            if clock is not None:
                clock.cancel()
            if watch is not None:
                watch.cancel()
            await self._cancel()
            self.record.flush()
        result = self._end(ended)
        self.record.flush()
        if self.record.broken.done():
            self.record.broken.result()
        return result

    # Beginning

    def _begin(self, model: str) -> None:
        template = template_of(self.config)
        start = RunStart(
            self.run_id, self.config.seed, to_plain(self.config),
            [asdict(m) for m in self.messages], self.messages[-1].content,
            {"id": template, **asdict(TEMPLATES[template])}, model,
        )  # fmt: skip
        past = self.record.begin(start)
        if past is not None:
            self._go_on(past)
        self.board.begin()

    def _go_on(self, past: Past) -> None:
        """Take over the rollouts that have ended."""
        # If so many failed that the run ended, what made them fail may have passed.
        anew = past.stop is not None and past.stop.reason == "error"
        for (round_, slot), event in sorted(past.ends.items()):
            failed = event.finish == "error"
            if failed and anew:
                continue
            tokens = tokens_of(event.tokens)
            self.purse.pay(tokens)
            self.cost.add(round_, tokens, event.seconds, failed=failed)
            self.board.restore(round_, slot, past.candidate(round_, slot))
        self.begun = set(past.rounds)
        for t, still_open in enumerate(self.board.open):
            self._check_population(t)
            if not still_open:
                self._round_ended(t)

    def _most(self, round_: int) -> Tokens:
        """That a rollout of a round may take. Prompts count only where they are paid for."""
        budget = self.config.budget_of(round_)
        if self.config.limits.money is None:
            return Tokens(0, 0, budget)
        prompt = prompt_tokens(self.messages, self.sampler, self.config, round_)
        return Tokens(prompt, 0, budget)

    # Rollouts

    def _launch(self) -> None:
        """Start what may start and can be paid."""
        config, ready = self.config, self.board.ready
        while ready and not self.over.done():
            if config.concurrency is not None and len(self.tasks) >= config.concurrency:
                return
            round_, slot, parents = ready[0]
            if no := self.purse.refusal(self.most[round_]):
                if not self.tasks:
                    self._halt("budget", no)
                return
            heapq.heappop(ready)
            self.purse.reserve(round_, slot, self.most[round_])
            task = self.loop.create_task(self._rollout(round_, slot, parents))
            self.tasks[round_, slot] = task
            task.add_done_callback(self._broken)

    async def _rollout(self, round_: int, slot: int, parents: tuple[int, ...]) -> None:
        config = self.config
        if round_ not in self.begun:
            self.begun.add(round_)
            budget, width = config.budget_of(round_), config.width(round_)
            self.record.emit(RoundStart(round_, budget, width))
        seed = derived_seed(config.seed, self.run_id, round_, slot)
        messages, own = self.messages, True
        if round_:
            tails = await self._tails(round_, parents)
            messages = aggregation_messages(messages, tails, template_of(config))
            own = self.tails_from is None
        job = Try(round_, slot, parents, seed, messages)
        shown = None if own else messages[-1].content
        self.record.emit(CandStart(name(round_, slot), round_, slot, list(parents), seed, shown))
        started = self.loop.time()
        try:
            candidate = await roll(
                job, self.sampler, config, self.run_id,
                on_text=self._heard(round_, slot), pay=self._pay,
            )  # fmt: skip
        except asyncio.CancelledError:
            self._cancelled(job, self.loop.time() - started)
            raise
        self._settle(job, candidate, self.loop.time() - started)

    async def _tails(self, round_: int, parents: tuple[int, ...]) -> list[str]:
        """Texts of the tails that a prompt shows."""
        before = self.board.table[round_ - 1]
        if self.tails_from is None:
            return [c.tail for p in parents if (c := before[p]) is not None]
        if round_ not in self.foreign:
            own: Tails = [None if c is None else c.tail_ids for c in before]
            self.foreign[round_] = asyncio.ensure_future(self.tails_from(round_, own))
        given = await asyncio.shield(self.foreign[round_])
        assert len(given) == len(before), "one tail per slot"
        tails = [t for p in parents if (t := given[p]) is not None]
        assert all(len(t) <= self.config.tail for t in tails), "a prompt holds at most C * tau"
        return [await self.sampler.detokenize(t) for t in tails]

    def _heard(self, round_: int, slot: int) -> Callable[[str], None] | None:
        """Where text is told to; None where a run neither tells it nor may need unfinished ones."""
        if not self.hears:
            return None
        return lambda text: self.record.emit(CandDelta(name(round_, slot), text))

    def _pay(self, tokens: Tokens) -> bool:
        """For a try that has ended; whether there may be another, whose budget was set aside."""
        self.purse.pay(tokens)
        return not self.purse.refusal()

    def _settle(self, job: Try, candidate: Candidate | None, seconds: float) -> None:
        """A rollout has ended, or failed for good."""
        round_, slot = job.round, job.slot
        self.tasks.pop((round_, slot), None)  # gone if the run ends at this moment
        self.purse.release(round_, slot)
        if candidate is None:
            self.error = job.error
            event = CandEnd(
                name(round_, slot), round_, slot, "error", tokens=job.tokens._asdict(),
                seconds=seconds, tries=job.tries, seed=job.seed, error=job.error,
            )  # fmt: skip
            self.record.emit(event)
        else:
            self.record.emit(candidate.event)
        self.cost.add(round_, job.tokens, seconds, failed=candidate is None)
        self.board.settle(round_, slot, candidate)
        if candidate is None:
            self._check_population(round_)
        if self.board.open[round_] == 0:
            self._round_ended(round_)
        self._launch()

    def _cancelled(self, job: Try, seconds: float) -> None:
        text = "".join(job.text)
        self.unfinished.append(text)
        event = CandEnd(
            name(job.round, job.slot), job.round, job.slot, "cancelled",
            tail=text[-SHOWN_OF_CANCELLED:], seconds=seconds, tries=job.tries, seed=job.seed,
            error="cancelled",
        )  # fmt: skip
        self.record.emit(event)

    def _broken(self, work: asyncio.Future[None]) -> None:
        """A fault of ours in a rollout's task, or of a listener, ends the run."""
        if not work.cancelled() and (error := work.exception()) and not self.over.done():
            self.over.set_exception(error)

    # Rounds and the end

    def _check_population(self, round_: int) -> None:
        failed, width = len(self.board.failed[round_]), self.config.width(round_)
        if width - failed < self.config.needed(round_):
            last = f": {self.error}" if self.error else ""
            self._halt("error", f"{failed} of {width} rollouts of round {round_} failed{last}")

    def _round_ended(self, round_: int) -> None:
        config, population = self.config, self.board.table[round_]
        votes = votes_of(population)
        _, agreement = majority(votes, str)
        decode = self.cost.rounds[round_].decode
        failed = len(self.board.failed[round_])
        self.record.emit(RoundEnd(round_, tally(votes), agreement, decode, failed))
        self._check_population(round_)
        if not any(self.board.open):
            self._halt("done")
            return
        share, voters = config.early_stop.share, sum(v is not None for v in votes)
        if share is not None and agreement >= share and voters >= config.early_stop.voters:
            made = self.cost.generations
            saved = self.cost.decode_tokens * (config.generations - made) // max(made, 1)
            self._halt("agreed", f"{agreement:.0%} of round {round_}", saved)

    def _halt(self, reason: str, detail: str = "", saved: int = 0) -> None:
        if not self.over.done():
            self.over.set_result(RunStop(reason, detail, saved))

    async def _cancel(self) -> None:
        """End what still runs."""
        tasks = [*self.tasks.values(), *self.foreign.values()]
        self.tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, stop: RunStop) -> Result:
        cost, table = self.cost, self.board.table
        cost.seconds = self.record.at()
        choice = choose(self.config, self.run_id, table, self.unfinished, self.score)
        refusal = None if choice.answer is not None else self._refusal(stop)
        self.record.emit(stop)
        if choice.response is not None:
            self.record.emit(FinalDelta(choice.response))
        chosen = None if choice.chosen is None else choice.chosen.id
        votes, agreement = dict(choice.votes), choice.agreement
        end = RunEnd(cost.to_json(), choice.answer, chosen, votes, agreement, refusal)
        self.record.emit(end)
        return Result(
            self.config, self.run_id, table, choice, cost, stop.reason, stop.detail,
            stop.saved_tokens, refusal,
        )  # fmt: skip

    def _refusal(self, stop: RunStop) -> str:
        made = self.cost.generations
        why = f" ({stop.detail})" if stop.detail else ""
        if not made:
            return f"no rollout ended: {stop.reason}{why}"
        return f"{made} rollouts ended and none gives an answer: {stop.reason}{why}"
