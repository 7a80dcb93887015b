"""Programs in, runs out: values, streams, limits, the cache, the pool, the copy of Python."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox import Call, Program, Run, Sandbox, Status
from openzaya.envs.sandbox.bubblewrap import COMPILER, COMPILING, Bubblewrap
from openzaya.envs.sandbox.diagnose import need
from openzaya.envs.sandbox.driver import decode, encode
from openzaya.envs.sandbox.folders import cache_folder
from openzaya.envs.sandbox.job import Input, job_key
from openzaya.envs.sandbox.read import read_frame, read_run
from openzaya.errors import EnvError

ADD = Program("python", "def solve(a, b): return a + b", "solve")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.integers() | st.text(), inner)
    | st.frozensets(st.integers() | st.text()) | st.sets(st.integers()),
    max_leaves=20,
)  # fmt: skip


@given(plain)
def test_values_survive_the_way(value: object) -> None:
    import json

    back = decode(json.loads(json.dumps(encode(value))))
    assert back == value
    assert repr(type(back)) == repr(type(value))


@pytest.mark.parametrize("told", [{"x": 1}, {"i": 5}, {}, {"t": 3}, 1.5, {"d": [[1]]}, {"f": "z"}])
def test_what_is_no_value_is_refused(told: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(told)


def test_calls_and_streams(sandbox: Sandbox) -> None:
    runs = sandbox.run(ADD, [Call((1, 2)), Call((), {"a": "x", "b": "y"}), Call(([1], (2,)))])
    assert [(r.status, r.value) for r in runs] == [
        (Status.OK, 3), (Status.OK, "xy"), (Status.ERROR, None)
    ]  # fmt: skip
    assert "TypeError" in runs[2].reason
    (run,) = sandbox.run(Program("python", "print(sum(map(int, open(0))))"), [b"1\n2\n"])
    assert run.stdout == b"3\n"


def test_programs_of_many_habits(sandbox: Sandbox) -> None:
    """What competitive programs do: exit, atexit, a thread with a large stack, deep recursion."""
    for code in (
        "import sys\nprint(input())\nsys.exit(0)",
        "import atexit\natexit.register(lambda: print(input()))",
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 26)\n"
        "def f(n): return n and f(n - 1)\n"
        "threading.Thread(target=lambda: (f(50000), print(input()))).start()",
        "import os, sys\nos.write(1, sys.stdin.buffer.readline())",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nprint(A(input()).x)",
        "if __name__ == '__main__':\n    print(open('/dev/stdin').readline(), end='')",
    ):
        (run,) = sandbox.run(Program("python", code), [b"ok\n"])
        assert (run.status, run.stdout) == (Status.OK, b"ok\n"), (code, run)


@pytest.mark.parametrize(
    "code",
    ["", "\0", "def solve(", "solve = 5", "\ud800", "x" * 300_000, "(" * 5000 + ")" * 5000,
     "def solve(a, b): return solve", "def solve(a, b):\n\treturn a\n        return b",
     "#include <iostream>", "1" * 20_000, "solve = lambda a, b: [[]] * 10**5",
     "def solve(a, b):\n x = []\n x.append(x)\n return x", "raise KeyboardInterrupt"],
)  # fmt: skip
def test_any_text_is_a_run(code: str, sandbox: Sandbox) -> None:
    (run,) = sandbox.run(Program("python", code, "solve"), [Call((2, 3))])
    assert run.status is not Status.FAILED
    assert run.value != 5
    assert run.status is Status.OK or run.reason


def test_cpp(sandbox: Sandbox) -> None:
    code = (
        "#include <bits/stdc++.h>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }"
    )
    runs = sandbox.run(Program("cpp", code), [b"2 3", b"4 5"])
    assert [run.stdout for run in runs] == [b"5", b"9"]
    (run,) = sandbox.run(Program("cpp", "int main() { return x; }\ud800\0"), [b""])
    assert run.status is Status.ERROR
    assert "not compiled" in run.reason
    (run,) = sandbox.run(Program("cpp", "int main() { *(volatile int*)0 = 1; }"), [b""])
    assert run.status is Status.ERROR
    assert "SIGSEGV" in run.reason


def test_the_precompiled_header_is_used(bubblewrap: Bubblewrap) -> None:
    """-H makes the compiler list what it includes, a precompiled header with a mark."""
    bubblewrap.header()
    job = {
        "code": "", "entry": None, "product": None, "scratch": ["/tmp", "/dev/shm"],
        "limits": COMPILING.model_dump(),
        "argv": [need("g++", "g++"), *COMPILER, "-H", "-c", "-I", "/header", "a.cpp"],
    }  # fmt: skip
    with bubblewrap._session(job, COMPILING, "0", None, compiling=True) as session:
        files = {"/tmp/a.cpp": "#include <bits/stdc++.h>\n"}
        said = session.ask({"stdin": "", "files": files}, 60)["stderr"]
    assert said.startswith("! /header/bits/stdc++.h.gch")


def test_it_stops_where_the_caller_has_seen_enough(sandbox: Sandbox) -> None:
    runs = sandbox.run(ADD, [Call((i, i)) for i in range(9)], None, lambda i, run: run.value < 6)
    assert [run.value for run in runs] == [0, 2, 4, 6]


class Counting:
    """A backend that counts; its answers are made up."""

    fingerprint = "counting"

    def __init__(self, status: Status = Status.OK) -> None:
        self.executed, self.status = 0, status

    def execute(self, program, inputs: Sequence[Input], limits, accept) -> list[Run]:
        self.executed += 1
        runs: list[Run] = []
        for i in range(len(inputs)):
            runs.append(Run(self.status, value=i, returned=True, stdout=b"x" * 1000))
            if not accept(i, runs[-1]):
                break
        return runs


def test_results_are_kept_by_hash() -> None:
    backend = Counting()
    with Sandbox(backend, SandboxConfig(workers=1)) as pool:
        inputs = [Call((i,)) for i in range(4)]
        first = pool.run(ADD, inputs)
        assert pool.run(ADD, inputs) == first
        assert backend.executed == 1
        assert len(pool.run(ADD, inputs, None, lambda i, run: i < 1)) == 2  # a part of what is kept
        assert backend.executed == 1
        pool.run(ADD, inputs, LimitsConfig(cpu_seconds=1))
        pool.run(Program("python", "other", "solve"), inputs)
        assert backend.executed == 3


def test_a_part_that_is_kept_is_not_taken_for_the_whole() -> None:
    backend = Counting()
    with Sandbox(backend, SandboxConfig(workers=1)) as pool:
        inputs = [Call((i,)) for i in range(4)]
        assert len(pool.run(ADD, inputs, None, lambda i, run: False)) == 1
        assert len(pool.run(ADD, inputs)) == 4


def test_what_a_busy_machine_caused_is_not_kept() -> None:
    backend = Counting(Status.TIMEOUT)
    with Sandbox(backend, SandboxConfig(workers=1)) as pool:
        pool.run(ADD, [Call((1, 2))])
        pool.run(ADD, [Call((1, 2))])
        assert backend.executed == 2


def test_the_cache_has_a_bound() -> None:
    with Sandbox(Counting(), SandboxConfig(workers=1, cache_mb=0.01)) as pool:
        for i in range(100):
            pool.run(ADD, [Call((i, 0))])
        assert 0 < len(pool._kept) < 12


def test_keys_tell_everything_apart() -> None:
    limits = LimitsConfig()
    keys = {
        job_key(program, inputs, chosen, mark)
        for program in (ADD, Program("python", ADD.code), Program("cpp", ADD.code))
        for inputs in ([b"1"], [Call((1,))], [Call((1.0,))], [Call((True,))], [Call(([1],))])
        for chosen in (limits, LimitsConfig(memory_mb=64))
        for mark in ("a", "b")
    }
    assert len(keys) == 3 * 5 * 2 * 2


class Meeting(Counting):
    """A backend whose programs end only once four of them run."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = threading.Barrier(4)

    def execute(self, program, inputs, limits, accept) -> list[Run]:
        self.barrier.wait(timeout=60)
        return super().execute(program, inputs, limits, accept)


def test_the_pool_runs_as_many_as_it_has_workers() -> None:
    with Sandbox(Meeting(), SandboxConfig(workers=4)) as pool:
        jobs = [pool.submit(ADD, [Call((i, i))]) for i in range(4)]
        assert all(job.result()[0].status is Status.OK for job in jobs)


def test_sandboxes_at_once_do_not_disturb_each_other(bubblewrap: Bubblewrap) -> None:
    with Sandbox(bubblewrap, SandboxConfig(workers=4)) as pool:
        jobs = [pool.submit(ADD, [Call((i, j)) for j in range(3)]) for i in range(12)]
        for i, job in enumerate(jobs):
            assert [run.value for run in job.result()] == [i, i + 1, i + 2]


def test_it_can_be_awaited(sandbox: Sandbox) -> None:
    async def both() -> list[list[Run]]:
        return await asyncio.gather(*(sandbox.arun(ADD, [Call((i, i))]) for i in range(2)))

    assert [runs[0].value for runs in asyncio.run(both())] == [0, 2]


def test_results_do_not_depend_on_the_hash_seed_of_the_day(bubblewrap: Bubblewrap) -> None:
    code = "def solve(): return list({str(i) for i in range(30)})"
    runs = [
        bubblewrap.execute(Program("python", code, "solve"), [Call()], LimitsConfig(), lambda *_: 1)
        for _ in range(2)
    ]
    other = bubblewrap.execute(
        Program("python", code + "\n", "solve"), [Call()], LimitsConfig(), lambda *_: True
    )
    assert runs[0][0].value == runs[1][0].value
    assert runs[0][0].value != other[0].value  # and a program cannot count on one order


def test_only_the_standard_library_is_shown(bubblewrap: Bubblewrap) -> None:
    copies = [copy for copy, _ in bubblewrap.python.mounts]
    assert not any(p.name == "site-packages" for c in copies if c.is_dir() for p in c.iterdir())
    (run,) = bubblewrap.execute(
        Program("python", "import sys; print(*sys.path)"), [b""], LimitsConfig(), lambda *_: True
    )
    assert b"site-packages" not in run.stdout
    assert b"/tmp" not in run.stdout.split()


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(EnvError, match="changed by other users"):
        cache_folder(tmp_path)
    tmp_path.chmod(0o755)
    assert cache_folder(tmp_path) == tmp_path


ANSWER = {
    "stdout": "", "stderr": "", "value": "", "why": "", "signal": 0, "cpu": 0.0, "wall": 0.0
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"stdout": 5},
        {"value": "zz"},
        {"cpu": "x"},
        {"signal": None},
        {"stdout": None},
        {"wall": []},
    ],
)
def test_answers_from_inside_are_not_believed(change: dict[str, object]) -> None:
    run = read_run(ANSWER | change, LimitsConfig(), True)
    assert run.status is Status.KILLED
    assert not run.returned
    assert read_run(ANSWER, LimitsConfig(), True).status is Status.OK  # the control


@given(st.binary(max_size=40))
def test_any_bytes_are_at_most_one_result(data: bytes) -> None:
    assert isinstance(read_frame(data), dict | str)
    run = read_run(ANSWER | {"value": data.hex()}, LimitsConfig(), True)
    assert run.status in (Status.OK, Status.ERROR, Status.KILLED)
