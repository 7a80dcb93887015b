"""Journals: a run goes on from any event, is shown again, and knows its own from others."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openzaya.config.rsa import RSAConfig
from openzaya.errors import EngineError, RunError
from openzaya.ttc import Journal, Result, play, read_events, reason, replay
from openzaya.ttc.events import CandEnd, Event, from_json
from openzaya.types import Message, Request

Q = (Message("system", "Be terse."), Message("user", "What is 12+7?\n\u2028🙂"))


def config(**changes: Any) -> RSAConfig:
    small: dict[str, Any] = dict(
        population=5, candidates=3, rounds=2, tail=12, budget=200, final_budget=None,
        template="aggregate-v1",
    )  # fmt: skip
    return RSAConfig.model_validate(small | changes)


def run(sampler: Any, path: Path, cfg: RSAConfig | None = None, **more: Any) -> Result:
    options: dict[str, Any] = {"messages": Q, "run_id": "p1"} | more
    with Journal.open(path, "never") as journal:
        return asyncio.run(
            reason(sampler=sampler, config=cfg or config(), journal=journal, **options)
        )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(path: Path) -> list[Any]:
    """The journal's last word on everything, in canonical order, without times."""
    last: dict[tuple[Any, ...], Any] = {}
    for row in rows(path):
        for key in ("at", "seconds"):
            row.pop(key, None)
        if row["type"] == "run.end":
            for key in ("seconds", "rollout_seconds"):
                row["usage"].pop(key)
        if row.get("finish") != "cancelled":
            last[row["type"], row.get("round", -1), row.get("slot", -1)] = row
    return [last[key] for key in sorted(last)]


class Killed(Exception):
    pass


def killed_after(sampler: Any, path: Path, events: int, tear: int, **more: Any) -> None:
    """Run until `events` events are in the journal, of whose last line `tear` bytes are lost."""

    def listener(_: Event) -> None:
        nonlocal heard
        heard += 1
        if heard == events:
            shutil.copy(path, path.with_suffix(".killed"))
            raise Killed

    heard = 0
    with pytest.raises(Killed):
        run(sampler, path, on_event=listener, **more)
    data = path.with_suffix(".killed").read_bytes()
    path.write_bytes(data[: len(data) - tear])


EVENTS = 1 + 3 + 15 + 15 + 3 + 3


@pytest.fixture(scope="module")
def whole(scripted: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run.jsonl"
    run(scripted(), path)
    assert len(rows(path)) == EVENTS
    return path


@pytest.mark.parametrize("events", range(1, EVENTS + 1))
def test_a_run_goes_on_from_any_event(
    scripted: Any, tmp_path: Path, whole: Path, events: int
) -> None:
    path, first, second = tmp_path / "run.jsonl", scripted(), scripted()
    tear = events % 5 * 7  # nothing, or a part of the last line
    killed_after(first, path, events, tear)
    kept = {row["seed"] for row in map(json.loads, _whole_lines(path)) if row["type"] == "cand.end"}
    result = run(second, path)
    assert timeless(path) == timeless(whole)
    again = [r.params.seed for r in second.asked]
    assert kept.isdisjoint(again), "no finished rollout is repeated"
    assert len(kept) + len(again) == 15
    assert result.populations == replay(path).populations
    third = scripted()
    before = path.read_bytes()
    assert run(third, path).answer == result.answer
    assert (third.asked, path.read_bytes()) == ([], before), "a whole run is only read"


def _whole_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@given(
    kills=st.lists(st.integers(1, 25), max_size=3),
    barrier=st.booleans(),
    ticks=st.integers(),
    bad=st.sets(st.integers(0, 14), max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_kills_and_faults_in_any_order_leave_the_same_run(
    scripted: Any, tmp_path_factory: Any, kills: list[int], barrier: bool, ticks: int, bad: set[int]
) -> None:
    folder, rng = tmp_path_factory.mktemp("kills"), random.Random(ticks)

    class Uneven(scripted):
        async def sample(self, requests: Sequence[Request]) -> Any:
            for _ in range(rng.randint(0, 4)):
                await asyncio.sleep(0)
            if requests[0].params.seed % 15 in bad:
                raise EngineError("not this one")
            return await super().sample(requests)

    cfg = config(retries=0, min_population=1, barrier=barrier)
    straight = run(Uneven(), folder / "straight.jsonl", cfg)
    path = folder / "run.jsonl"
    for n in kills:
        sampler = Uneven()
        try:
            killed_after(sampler, path, n, 0, cfg=cfg)
        except pytest.fail.Exception:
            break  # it ended before
    result = run(Uneven(), path, cfg)
    if straight.stop == "done":
        assert timeless(path) == timeless(folder / "straight.jsonl")
        assert result.answer == straight.answer


def test_the_comparison_sees_a_difference(scripted: Any, tmp_path: Path, whole: Path) -> None:
    """Negative control."""
    run(scripted(), tmp_path / "run.jsonl", config(tail=11))
    assert timeless(tmp_path / "run.jsonl") != timeless(whole)


def test_a_listener_of_a_resumed_run_hears_all_of_it(
    scripted: Any, tmp_path: Path, whole: Path
) -> None:
    path, heard = tmp_path / "run.jsonl", list[Event]()
    killed_after(scripted(), path, 17, 0)
    run(scripted(), path, on_event=heard.append)
    ends = [e.id for e in heard if isinstance(e, CandEnd)]
    assert sorted(ends) == sorted(e.id for e in read_events(whole) if isinstance(e, CandEnd))
    assert [e.at for e in heard] == sorted(e.at for e in heard), "one clock goes through"


@pytest.mark.parametrize(
    ("changes", "more", "says"),
    [
        ({"tail": 11}, {}, "tail differ"),
        ({"seed": 1, "budget": 90}, {}, "budget, seed differ"),
        ({}, {"messages": Q[1:]}, "the question differ"),
        ({}, {"run_id": "p2"}, "run_id differ"),
        ({}, {"model": "another"}, "model differ"),
    ],
)
def test_a_journal_of_another_run_is_refused(
    scripted: Any, tmp_path: Path, whole: Path, changes: Any, more: Any, says: str
) -> None:
    path, sampler = tmp_path / "run.jsonl", scripted()
    shutil.copy(whole, path)
    with pytest.raises(RunError, match=says):
        run(sampler, path, config(**changes), **more)
    assert (sampler.asked, path.read_bytes()) == ([], whole.read_bytes())


def test_a_run_goes_on_under_other_limits(scripted: Any, tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "run.jsonl"
    first, second = scripted(), scripted()
    assert run(first, path, config(limits={"tokens": 600})).stop == "budget"
    result = run(second, path, config(concurrency=2, barrier=True))
    assert (result.stop, len(first.asked) + len(second.asked)) == ("done", 15)
    assert result.populations == replay(path).populations
    theirs = [row for row in timeless(whole) if row["type"] == "cand.end"]
    assert [row for row in timeless(path) if row["type"] == "cand.end"] == theirs


def test_a_run_that_failed_tries_again(scripted: Any, tmp_path: Path, whole: Path) -> None:
    class Away(scripted):
        async def sample(self, requests: Sequence[Request]) -> Any:
            if len(self.asked) == 7:
                raise EngineError("the endpoint is away")
            return await super().sample(requests)

    path, sampler = tmp_path / "run.jsonl", scripted()
    stopped = run(Away(), path, config(retries=0))
    assert (stopped.stop, stopped.refusal) == ("error", None)
    result = run(sampler, path, config(retries=0))
    assert (result.stop, len(sampler.asked)) == ("done", 8)
    assert result.answer == replay(whole).answer


def test_replay_equals_the_run(scripted: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    for selection in ("majority", "uniform", "aggregate"):
        path.unlink(missing_ok=True)
        result, again = run(scripted(), path, config(selection=selection)), replay(path)
        assert again.populations == result.populations
        assert (again.choice, again.stop, again.detail) == (result.choice, "done", "")
        ours, theirs = result.cost.to_json(), again.cost.to_json()
        assert {k: v for k, v in ours.items() if "seconds" not in k} == {
            k: v for k, v in theirs.items() if "seconds" not in k
        }
    killed_after(scripted(), path.with_name("cut.jsonl"), 20, 0)
    unfinished = replay(path.with_name("cut.jsonl"))
    assert (unfinished.stop, unfinished.answer is not None) == ("unfinished", True)


def test_events_survive_the_journal(scripted: Any, tmp_path: Path, whole: Path) -> None:
    heard: list[Event] = []
    run(scripted(), tmp_path / "run.jsonl", on_event=heard.append)
    assert read_events(tmp_path / "run.jsonl") == heard
    played: list[Event] = []
    asyncio.run(play(tmp_path / "run.jsonl", played.append, speed=0))
    assert played == heard
    end = next(e for e in heard if isinstance(e, CandEnd))
    assert bytes(end.tail_ids).decode(errors="replace") == end.tail
    assert len(rows(whole)) == len(heard)


def test_play_keeps_the_times(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = [json.dumps(row | {"at": 100.0 * i}) for i, row in enumerate(rows(whole)[:11])]
    path.write_text("\n".join(lines) + "\n")

    async def timed(speed: float) -> float:
        began = asyncio.get_running_loop().time()
        await play(path, lambda _: None, speed)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(timed(5000)) >= 0.2 and asyncio.run(timed(0)) < 200


def test_a_corrupt_line_is_named_before_anything_is_spent(
    scripted: Any, tmp_path: Path, whole: Path
) -> None:
    path, sampler = tmp_path / "run.jsonl", scripted()
    for bad in ("{", "[]", "3", '{"type": "cand.end"}', '{"type": "nonsense"}', "\x00" * 9, ""):
        lines = whole.read_text().splitlines()
        lines[8] = bad
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(RunError, match=r"run\.jsonl:9: corrupt") as error:
            run(sampler, path)
        assert "delete line 9" in error.value.hint
        path.write_text("\n".join([*lines[:8], *lines[9:]]) + "\n")
        run(sampler, path)  # as the hint says
    assert len(sampler.asked) <= 7
    path.write_text("\n".join(whole.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(RunError, match="does not begin with a run"):
        run(sampler, path)


def test_one_writer_at_a_time(scripted: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Journal.open(path), pytest.raises(RunError, match="another process"):
        Journal.open(path)
    run(scripted(), path)
    with pytest.raises(RunError, match="no such journal"):
        read_events(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(RunError, match="holds no event"):
        read_events(tmp_path / "empty.jsonl")


@given(st.dictionaries(st.sampled_from(["type", "round", "id", "x"]), st.integers() | st.text()))
def test_rows_that_are_no_events_are_errors(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no event"):
        from_json(row)


@pytest.mark.parametrize("fsync", ["always", "round", "never"])
def test_what_is_synced(
    scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: Any
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    with Journal.open(tmp_path / "run.jsonl", fsync) as journal:
        asyncio.run(reason(Q, scripted(), config(), run_id="p1", journal=journal))
    assert len(synced) == {"always": 1 + 15 + 1, "round": 1 + 3 + 1, "never": 0}[fsync]
