"""Prometheus metrics, named after vLLM's where they mean the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence as Many

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from openzaya.engine.engine import Engine
from openzaya.engine.sequence import Sequence

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """Counts what ends; asks the engine for the rest when somebody looks."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "zaya_requests", "HTTP requests by route and status", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.finished = Counter(
            "zaya_sequences", "Sequences by how they ended", ["reason"], registry=self.registry
        )
        self.latency = Histogram(
            "zaya_request_seconds", "From admission to the last token", buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.registry.register(_EngineState(engine))
        self._recent: deque[float] = deque(maxlen=32)

    def ended(self, sequences: Many[Sequence], seconds: float) -> None:
        for s in sequences:
            self.finished.labels(s.finish.value if s.finish else "abort").inc()
        self.latency.observe(seconds)
        self._recent.append(seconds)

    def retry_after(self) -> int:
        """Seconds: what requests took lately."""
        recent = sorted(self._recent)
        return max(1, min(60, round(recent[len(recent) // 2]))) if recent else 1

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _EngineState:
    """Read at the moment of a scrape."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def collect(self) -> Iterator[Metric]:
        engine, scheduler = self.engine, self.engine.scheduler
        gauges = {
            "zaya_sequences_running": ("Sequences in the batch", scheduler.running),
            "zaya_sequences_waiting": ("Sequences in the queue", scheduler.queued),
            "zaya_cache_blocks": ("Cache blocks of 32 tokens", scheduler.blocks.count),
            "zaya_cache_blocks_held": ("Blocks of running sequences", scheduler.blocks.held),
            "zaya_policy_version": ("Version of the weights", engine.version),
        }
        counters = {
            "zaya_prompt_tokens": ("Prompt tokens", engine.prompt_tokens),
            "zaya_cached_tokens": ("Prompt tokens not computed again", engine.cached_tokens),
            "zaya_generation_tokens": ("Tokens drawn", engine.generated_tokens),
            "zaya_engine_steps": ("Forward passes", engine.steps),
            "zaya_preemptions": ("Sequences that made way", scheduler.preempted),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value)
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(name, text, value)
