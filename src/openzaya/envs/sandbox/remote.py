"""Sandboxes that others run: services in the manner of Piston and of SandboxFusion.

They give a program standard input and return its output. An entry is therefore called by a few
lines that are sent along: they read the arguments from standard input, and write the result behind
a mark to the real standard output, while the program's own prints go nowhere. As everywhere, what
a program forges is only its answer. What isolates it is the service's affair: the self-test runs
there too.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox import driver
from openzaya.envs.sandbox.job import Accept, Call, Input, Program, Run, Status
from openzaya.envs.sandbox.read import read_run
from openzaya.errors import EnvError

COMPILE_SECONDS = 60.0
_CALLER = """
from __future__ import annotations
import json, os, sys
DEEPEST = {deepest}
{encode}
{decode}
def _main():
    real = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    request = json.loads(sys.stdin.read())
    try:
        space = {{"__name__": "program"}}
        exec(compile(request["code"], "<program>", "exec"), space)
        value = eval(request["entry"], space)(*decode(request["args"]), **decode(request["kwargs"]))
        told = {{"value": encode(value)}}
    except BaseException as error:
        told = {{"error": type(error).__name__ + ": " + str(error)[:500]}}
    os.write(real, b"\\n" + request["mark"].encode() + json.dumps(told).encode())
    os._exit(0)
_main()
"""
CALLER = _CALLER.format(
    deepest=driver.DEEPEST,
    encode=inspect.getsource(driver.encode),
    decode=inspect.getsource(driver.decode),
)


class Remote(ABC):
    """A `Backend` over HTTP. EnvError where the service cannot be reached."""

    def __init__(self, config: SandboxConfig) -> None:
        if config.url is None:
            raise EnvError(
                f"sandbox.backend={config.backend} needs the address of the service",
                "add sandbox.url=http://HOST:PORT",
            )
        self.url = config.url.rstrip("/")
        self._client = httpx.Client(timeout=httpx.Timeout(10.0, read=None))
        self.versions = self.connect()

    @abstractmethod
    def connect(self) -> Mapping[str, str]:
        """language -> its version at the service."""

    @abstractmethod
    def one(self, program: Program, stdin: str, limits: LimitsConfig) -> Mapping[str, Any] | Run:
        """One run as the fields of a driver's answer, or a Run that ended before it."""

    @property
    def fingerprint(self) -> str:
        told = json.dumps([type(self).__name__, self.url, dict(self.versions), CALLER])
        return "remote-" + hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def execute(
        self, program: Program, inputs: Sequence[Input], limits: LimitsConfig, accept: Accept
    ) -> list[Run]:
        runs: list[Run] = []
        for number, given in enumerate(inputs):
            runs.append(self._run(program, given, limits))
            if not accept(number, runs[-1]):
                break
        return runs

    def _run(self, program: Program, given: Input, limits: LimitsConfig) -> Run:
        mark = secrets.token_hex(16)
        sent = program
        if isinstance(given, Call):
            request = {
                "code": program.code, "entry": program.entry, "mark": mark,
                "args": driver.encode(given.args), "kwargs": driver.encode(dict(given.kwargs)),
            }  # fmt: skip
            sent, stdin = Program("python", CALLER), json.dumps(request)
        else:
            stdin = given.decode("utf-8", "replace")
        told = self.one(sent, stdin, limits)
        if isinstance(told, Run):
            return told
        output, value = str(told.get("stdout", "")), b""
        if isinstance(given, Call):
            _, _, frame = output.partition(f"\n{mark}")
            value, output = frame.encode("utf-8", "replace"), ""
        answer = {
            "stdout": output.encode("utf-8", "replace").hex(),
            "value": (len(value).to_bytes(4, "big") + value).hex() if value else "",
            "why": told.get("why", ""), "signal": 0, "stderr": "",
            "cpu": told.get("seconds", 0.0), "wall": told.get("seconds", 0.0),
        }  # fmt: skip
        if len(output) > limits.output_kb << 10:
            answer["why"] = "output"
        run = read_run(answer, limits, isinstance(given, Call))
        crashed = told.get("crashed") and run.status is Status.OK and not isinstance(given, Call)
        if crashed:
            return Run(Status.ERROR, run.stdout, reason=str(told.get("stderr", ""))[-300:])
        return run

    def post(self, path: str, body: Mapping[str, Any], seconds: float) -> dict[str, Any] | Run:
        """The service's answer, or a failed Run. Never raises for what a service may do."""
        text = json.dumps(body)
        try:
            answer = self._client.post(
                self.url + path, content=text, headers={"Content-Type": "application/json"},
                timeout=httpx.Timeout(10.0, read=seconds),
            )  # fmt: skip
            told = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            return Run(Status.FAILED, reason=f"{self.url}: {type(error).__name__}")
        if not isinstance(told, dict):
            return Run(Status.FAILED, reason=f"{self.url} answered {answer.status_code}")
        return told


class Piston(Remote):
    """`POST /api/v2/execute`."""

    NAMES = (("python", "python"), ("cpp", "c++"))

    def connect(self) -> Mapping[str, str]:
        try:
            runtimes = self._client.get(f"{self.url}/api/v2/runtimes", timeout=10.0).json()
            found = {r["language"]: r["version"] for r in runtimes}
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise _unreachable(self.url, error) from None
        return {ours: found[theirs] for ours, theirs in self.NAMES if theirs in found}

    def one(self, program: Program, stdin: str, limits: LimitsConfig) -> Mapping[str, Any] | Run:
        if program.language not in self.versions:
            return Run(Status.FAILED, reason=f"{self.url} has no {program.language}")
        name = dict(self.NAMES)[program.language]
        body = {
            "language": name, "version": self.versions[program.language], "stdin": stdin,
            "files": [{"name": f"main.{'py' if name == 'python' else 'cpp'}",
                       "content": program.code}],
            "run_timeout": int(1000 * limits.wall_seconds),
            "run_memory_limit": limits.memory_mb << 20,
            "compile_timeout": int(1000 * COMPILE_SECONDS),
        }  # fmt: skip
        told = self.post("/api/v2/execute", body, limits.wall_seconds + COMPILE_SECONDS + 30)
        if isinstance(told, Run):
            return told
        compiled, run = told.get("compile") or {}, told.get("run")
        if not isinstance(compiled, dict) or not isinstance(run, dict):
            return Run(Status.FAILED, reason=f"{self.url} sent no run")
        if compiled.get("code") not in (None, 0) or compiled.get("signal"):
            said = str(compiled.get("stderr", ""))[:1000]
            return Run(Status.ERROR, reason=f"not compiled: {said}")
        late = run.get("status") == "TO" or (run.get("signal") == "SIGKILL" and not run.get("code"))
        why = {"OL": "output", "EL": "output"}.get(str(run.get("status")), "")
        return {
            "stdout": run.get("stdout", ""), "stderr": run.get("stderr", ""),
            "why": why or ("timeout" if late else ""),
            "crashed": bool(run.get("signal")) or run.get("code") not in (0, None),
            "seconds": _number(run.get("cpu_time")) / 1000,
        }  # fmt: skip


class SandboxFusion(Remote):
    """`POST /run_code`."""

    def connect(self) -> Mapping[str, str]:
        try:
            answer = self._client.get(f"{self.url}/v1/ping", timeout=10.0)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from None
        return {"python": "any", "cpp": "any"}

    def one(self, program: Program, stdin: str, limits: LimitsConfig) -> Mapping[str, Any] | Run:
        body = {
            "code": program.code, "language": program.language, "stdin": stdin,
            "run_timeout": limits.wall_seconds, "compile_timeout": COMPILE_SECONDS,
            "memory_limit_MB": limits.memory_mb,
        }  # fmt: skip
        told = self.post("/run_code", body, limits.wall_seconds + COMPILE_SECONDS + 30)
        if isinstance(told, Run):
            return told
        compiled, run = told.get("compile_result") or {}, told.get("run_result")
        if told.get("status") == "SandboxError" or not isinstance(compiled, dict):
            return Run(Status.FAILED, reason=str(told.get("message", ""))[:300])
        if compiled.get("return_code") not in (None, 0):
            said = str(compiled.get("stderr", ""))[:1000]
            return Run(Status.ERROR, reason=f"not compiled: {said}")
        if not isinstance(run, dict):
            return Run(Status.FAILED, reason=f"{self.url} sent no run")
        return {
            "stdout": run.get("stdout") or "", "stderr": run.get("stderr") or "",
            "why": "timeout" if run.get("status") == "TimeLimitExceeded" else "",
            "crashed": run.get("return_code") not in (0, None),
            "seconds": _number(run.get("execution_time")),
        }  # fmt: skip


def _number(told: Any) -> float:
    return float(told) if isinstance(told, int | float) else 0.0


def _unreachable(url: str, error: Exception) -> EnvError:
    return EnvError(
        f"no sandbox service answers at {url} ({type(error).__name__})",
        "start the service, or correct sandbox.url",
    )
