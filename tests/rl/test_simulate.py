"""The orchestrator under simulated crashes, hangs and restarts: what holds after every event."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest

from openzaya.config.asynchrony import AsyncConfig
from openzaya.config.simulate import LengthConfig, SimulateConfig
from openzaya.errors import ConfigError
from openzaya.rl.orchestrator import Orchestrator
from openzaya.rl.simulate import Simulation
from openzaya.rl.tabular import log_probabilities, table

VOCABULARY = 5


def world(seed: int, **asynchrony: object) -> SimulateConfig:
    """Small, heavy-tailed and unlucky. The seed chooses how far generation may run ahead."""
    rng = random.Random(seed)
    if not asynchrony:
        staleness = rng.randrange(4)
        every = rng.randint(1, staleness + 1)
        ready = rng.randint(1, staleness + 2 - every)
        asynchrony = {
            "max_staleness": staleness, "sync_every": every, "ready_batches": ready,
            "buffer": rng.choice([None, ready * 3, ready * 3 + 2]),
            "order": rng.choice(["started", "window", "finished"]), "refill": rng.random() < 0.5,
        }  # fmt: skip
    return SimulateConfig(
        seed=seed, steps=5, groups_per_batch=3, group_size=3,
        asynchrony=AsyncConfig.model_validate(asynchrony),
        length=LengthConfig(median=8, sigma=0.9, longest=60), samplers=rng.randint(1, 3),
        slots=rng.randint(2, 12), step_seconds=1.0, sequence_seconds=0.1,
        train_tokens_per_second=30, publish_seconds=rng.choice([0.0, 3.0]),
        crash_seconds=rng.choice([None, 60.0]), hang_share=rng.choice([0.0, 0.03]),
        restart_seconds=9, timeout_seconds=150, vocabulary=VOCABULARY,
    )  # fmt: skip


TABLES = {v: log_probabilities(table(v, VOCABULARY)) for v in range(8)}


class Invariants:
    """Called after every event; remembers what it has seen."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: the largest staleness that is fine; None: the run's own."""
        self.seen: set[int] = set()
        self.most = most

    def __call__(self, sim: Simulation, kind: str) -> None:
        o = sim.orchestrator
        batch = sim.training if sim.idle_since is None else None
        new = [g for g in batch or [] if g.id not in self.seen]
        for group in new:
            self.seen.add(group.id)
            most = o.config.max_staleness if self.most is None else self.most
            assert o.staleness(group) <= most  # 1
            assert set(group.rollouts) == set(range(o.G))  # 5
            for rollout in group.rollouts.values():
                versions = [v for v, n in rollout.segments for _ in range(n)]
                assert versions == sorted(versions)  # 3
                assert len(versions) == len(rollout.tokens) == len(rollout.logprobs) > 0
                for v, token, logp in zip(versions, rollout.tokens, rollout.logprobs, strict=True):
                    assert logp == TABLES[v][token]  # 2
        dropped = sum(o.dropped.values())
        assert o.started == o.trained + dropped + o.alive  # 4
        alive = [*o.flying, *(g.id for g in o.ready)]
        assert len(set(alive)) == len(alive) and not self.seen & set(alive)
        assert len(o.ready) <= o.capacity  # 6
        assert not o.stuck()  # 7
        assert o.serving <= o.version
        for machine in sim.machines:  # 10
            for w in machine.weights:
                assert np.array_equal(log_probabilities(w.logits_V), TABLES[w.version])


def unlucky(seeds: range) -> None:
    kinds: set[str] = set()
    crashes = 0
    for seed in seeds:
        sim = Simulation(world(seed), Invariants()).run()
        assert sim.orchestrator.version == 5
        kinds |= {k.partition(":")[0] for k in sim.orchestrator.dropped}
        crashes += sum(m.crashes for m in sim.machines)
    assert kinds == {"no contrast", "evicted", "stale", "failed"} and crashes > len(seeds) / 10


def test_unlucky_runs() -> None:
    unlucky(range(150))


@pytest.mark.slow
def test_a_thousand_unlucky_runs() -> None:
    unlucky(range(1000))


@pytest.mark.parametrize("seed", range(12))
def test_goes_on_from_any_event_as_if_nothing_had_been(seed: int) -> None:  # 9
    whole = Simulation(world(seed))
    copies = []
    while whole.step():
        copies.append(copy.deepcopy(whole))
    for at in range(0, len(copies), 7):
        again = copies[at].run()
        assert (again.log_hash, again.log_length) == (whole.log_hash, whole.log_length)


def _torn(sim: Simulation) -> None:
    for machine in sim.machines:
        machine.weights[-1].logits_V[0] += 1.0


def _twice(sim: Simulation) -> None:
    sim.orchestrator.trained += 1


@pytest.mark.parametrize("damage", [_torn, _twice])
def test_the_invariants_can_fail(damage: Callable[[Simulation], None]) -> None:
    for seed in range(5):
        sim = Simulation(world(seed, max_staleness=1), Invariants())
        for _ in range(10):
            sim.step()
        damage(sim)
        with pytest.raises(AssertionError):
            while not Invariants()(sim, "") and sim.step():
                pass


def test_too_old_tokens_are_seen() -> None:
    """The bound of the run is 3, that of the check 1."""
    with pytest.raises(AssertionError):
        for seed in range(20):
            Simulation(world(seed, max_staleness=3), Invariants(most=1)).run()


def test_in_the_order_of_starts_nothing_grows_too_old() -> None:
    """What may start is reckoned so that it is trained in time; the reckoning must count the groups
    of the step that is being made."""
    for seed in range(40):
        rng = random.Random(seed)
        config = world(seed, max_staleness=3, sync_every=rng.randint(1, 4), order="started")
        assert "stale" not in Simulation(config).run().orchestrator.dropped


def test_forgetting_the_groups_in_training_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    alive = property(lambda o: len(o.flying) + len(o.ready))
    monkeypatch.setattr(Orchestrator, "alive", alive)
    with pytest.raises(AssertionError):
        test_in_the_order_of_starts_nothing_grows_too_old()


def test_staleness_0_waits_for_everything() -> None:  # 8
    """Batches are the groups in the order of their starts, each wholly of the weights it trains."""

    def watch(sim: Simulation, kind: str) -> None:
        if sim.training is not None:
            v = sim.orchestrator.version
            assert [g.id for g in sim.training] == [3 * v, 3 * v + 1, 3 * v + 2]
            assert all(r.segments[0][0] == v and len(r.segments) == 1
                       for g in sim.training for r in g.rollouts.values())  # fmt: skip

    for seed in range(30):
        lucky = {"crash_seconds": None, "hang_share": 0.0}
        config = world(seed, max_staleness=0).model_copy(update=lucky)
        sim = Simulation(config, watch).run()
        assert set(sim.staleness) == {0} and not {"stale", "evicted"} & set(
            sim.orchestrator.dropped
        )


def test_orders_prefer_what_they_say() -> None:
    """First come, first trained is biased towards short rollouts; the order of starts is not."""
    means = {}
    for order in ("started", "window", "finished"):
        lengths = []

        def watch(sim: Simulation, kind: str, lengths: list[int] = lengths) -> None:
            if sim.training is not None and kind != "trained":
                lengths.extend(len(r.tokens) for g in sim.training for r in g.rollouts.values())

        for seed in range(40):
            config = world(seed, max_staleness=3, order=order)
            config = config.model_copy(update={"crash_seconds": None, "hang_share": 0.0})
            Simulation(config, watch).run()
        means[order] = float(np.mean(lengths))
    assert means["finished"] < 0.9 * means["started"]
    assert means["finished"] < means["window"] <= means["started"] * 1.05


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"sync_every": 2}, "max_staleness of at least 1"),
        ({"max_staleness": 1, "ready_batches": 3}, "ready_batches of at most 2"),
        ({"max_staleness": 2, "ready_batches": 2, "buffer": 5}, "at least 6 groups"),
    ],
)
def test_what_could_never_train_is_refused(config: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Orchestrator(
            AsyncConfig.model_validate(config), 3, 2,
            draw=lambda _: None, judge=lambda _: None, learn=lambda _: None,
        )  # fmt: skip
    assert words in caught.value.hint
