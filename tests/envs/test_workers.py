"""Worker processes: what hangs, dies or prints does so alone, and the next call is served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openzaya.envs.workers import CallFailed, CallTimeout, WorkerPool

SERVED = """
import os, random, sys, time
import numpy as np
def start(greeting="hello"):
    global said
    said = greeting
def echo(x): return [said, x]
def hang(): time.sleep(1000)
def spin():
    while True: pass
def native(): return sum(range(10**12))  # one C loop: no Python code runs in it
def die(): os._exit(0)
def crash(): os.kill(os.getpid(), 11)
def fail(): raise SystemExit("bye")
def deep(): return deep()
def hoard(): return len(bytearray(8 * 2**30))
def chatter():
    print("x" * 100_000); sys.stdout.flush(); os.write(1, b"y" * 100_000)
    return "done"
def order(): return list({"alpha", "beta", "gamma", "delta", "epsilon"})
def strange(): return {1, 2}
CALLS = {f.__name__: f for f in
         (echo, hang, spin, native, die, crash, fail, deep, hoard, chatter, order, strange)}
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    (tmp_path / "served_here.py").write_text(SERVED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = WorkerPool("served_here", size=2)
    yield pool
    pool.close()


def test_calls_and_options(pool: WorkerPool) -> None:
    text = "any \ud800 \x00 text"
    assert pool.call("echo", timeout=30, x=text) == ["hello", text]
    other = WorkerPool("served_here", {"greeting": "hi"}, size=1)
    assert other.call("echo", timeout=30, x="é" * 1_000_000) == ["hi", "é" * 1_000_000]
    other.close()


@pytest.mark.parametrize("function", ["hang", "spin", "native"])
def test_what_does_not_end_is_killed(pool: WorkerPool, function: str) -> None:
    pool.call("echo", timeout=30, x=0)
    started = time.perf_counter()
    with pytest.raises(CallTimeout):
        pool.call(function, timeout=0.5)
    assert time.perf_counter() - started < 20 and pool.kills == 1
    assert pool.call("echo", timeout=30, x=1) == ["hello", 1]


@pytest.mark.parametrize("function", ["die", "crash", "fail", "deep", "hoard", "strange"])
def test_what_breaks_is_a_failure_and_no_more(pool: WorkerPool, function: str) -> None:
    with pytest.raises(CallFailed):
        pool.call(function, timeout=60)
    assert pool.call("echo", timeout=30, x=2) == ["hello", 2]


def test_printing_does_not_reach_the_pipe(pool: WorkerPool) -> None:
    assert pool.call("chatter", timeout=30) == "done"


def test_sets_have_one_order_whatever_the_hash_seed(pool: WorkerPool) -> None:
    orders = [pool.call("order", timeout=30)]
    for seed in (0, 1, 2, 3):
        other = WorkerPool("served_here", size=1, hash_seed=seed)
        orders.append(other.call("order", timeout=30))
        other.close()
    assert orders[0] == orders[1]
    assert any(order != orders[0] for order in orders), "control: the seed matters"


def test_threads_share_a_pool(pool: WorkerPool) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda x: pool.call("echo", timeout=60, x=x)[1], range(60)))
    assert found == list(range(60))


def test_a_module_that_cannot_start_says_why() -> None:
    with pytest.raises(CallFailed, match="no_such_module"):
        WorkerPool("no_such_module").call("x", timeout=1)


def test_children_end_with_a_parent_that_is_killed(pool: WorkerPool, tmp_path: Path) -> None:
    script = (
        "import threading, time, sys\n"
        "from openzaya.envs.workers import WorkerPool\n"
        "pool = WorkerPool('served_here', size=2)\n"
        "pool.call('echo', timeout=60, x=0)\n"
        "print(pool._idle[0].process.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)  # it is there
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{child}/cmdline").read_bytes():
            break  # a zombie nobody reaps: ended
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()
