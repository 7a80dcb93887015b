"""Services in the manner of Piston and SandboxFusion, spoken to by a real server of that shape.

The server runs what it is sent as plain processes: what is tested is the speech, not isolation.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox import Call, Program, Run, Status
from openzaya.envs.sandbox.open import proven
from openzaya.envs.sandbox.remote import Piston, Remote, SandboxFusion
from openzaya.errors import EnvError

LIMITS = LimitsConfig(wall_seconds=5, output_kb=64)
ADD = Program("python", "def solve(a, b): return a + b", "solve")


def execute(code: str, stdin: str, seconds: float) -> tuple[int | None, str, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], input=stdin, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, "", ""
    return done.returncode, done.stdout, done.stderr


class Handler(BaseHTTPRequestHandler):
    broken = ""
    seen: list[dict[str, Any]] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, code: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        if self.path == "/api/v2/runtimes":
            languages = (("python", "3.12.0"), ("c++", "10.2.0"))
            self.reply(200, [{"language": n, "version": v} for n, v in languages])
        elif self.path == "/v1/ping":
            self.reply(200, "pong")
        else:
            self.reply(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body)
        if self.broken == "500":
            self.reply(500, {"message": "overloaded"})
        elif self.broken == "text":
            self.reply(200, b"<html>")
        elif self.broken == "list":
            self.reply(200, [])
        elif self.broken == "empty":
            self.reply(200, {})
        elif self.path == "/api/v2/execute":
            self.reply(200, self.piston(body))
        else:
            self.reply(200, self.fusion(body))

    def piston(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["language"] == "c++":
            return {"compile": {"code": 1, "stderr": "no such type"}, "run": {}}
        code, out, err = execute(
            body["files"][0]["content"], body["stdin"], body["run_timeout"] / 1000
        )
        if code is None:
            return {"run": {"code": None, "signal": "SIGKILL", "status": "TO", "stdout": ""}}
        run = {"code": code, "signal": None, "stdout": out, "stderr": err, "cpu_time": 12}
        return {"run": run, "language": "python", "version": "3.12.0"}

    def fusion(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["language"] == "cpp":
            failed = {"status": "Error", "return_code": 1, "stderr": "no such type"}
            return {"status": "Failed", "compile_result": failed, "run_result": None}
        code, out, err = execute(body["code"], body["stdin"], body["run_timeout"])
        status = "TimeLimitExceeded" if code is None else "Finished"
        run = {"status": status, "return_code": code, "stdout": out, "stderr": err,
               "execution_time": 0.01}  # fmt: skip
        return {"status": "Success", "run_result": run, "compile_result": None}


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Fresh", (Handler,), {"seen": [], "broken": ""})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", handler
        made.shutdown()
        thread.join()


@pytest.fixture(params=[("piston", Piston), ("sandboxfusion", SandboxFusion)], ids=lambda p: p[0])
def remote(request: pytest.FixtureRequest, server: tuple[str, type[Handler]]) -> Iterator[Remote]:
    name, cls = request.param
    made = cls(SandboxConfig(backend=name, url=server[0] + "/"))
    yield made
    made._client.close()


def run(remote: Remote, program: Program, given: bytes | Call) -> Run:
    return remote.execute(program, [given], LIMITS, lambda *_: True)[0]


def test_calls_streams_and_errors(remote: Remote) -> None:
    assert run(remote, ADD, Call((2, 3))).value == 5
    assert run(remote, ADD, Call(((1,), (2,)))).value == (1, 2)
    assert run(remote, Program("python", "print(input())"), b"hello\n").stdout == b"hello\n"
    wrong = run(remote, ADD, Call((2, "x")))
    assert wrong.status is Status.ERROR
    assert "TypeError" in wrong.reason
    assert run(remote, Program("python", "1 / 0"), b"").status is Status.ERROR
    assert run(remote, Program("cpp", "int main("), b"").status is Status.ERROR


def test_limits(remote: Remote) -> None:
    late = remote.execute(
        Program("python", "import time; time.sleep(9)"), [b""], LimitsConfig(wall_seconds=0.5),
        lambda *_: True,
    )  # fmt: skip
    assert late[0].status is Status.TIMEOUT
    loud = run(remote, Program("python", "print('x' * 100000)"), b"")
    assert loud.status is Status.KILLED


@pytest.mark.parametrize(
    "code",
    [
        "print('ALL TESTS PASSED')\ndef solve(a, b): return None",
        "def solve(a, b):\n import os\n os._exit(0)",
        "print('{\"value\": 5}')\ndef solve(a, b): return 4",
        "class R(int):\n def __eq__(self, o): return True\n __hash__ = int.__hash__\n"
        "def solve(a, b): return R(0)",
        "import json\njson.dumps = lambda *_: '{\"value\": 0}'\ndef solve(a, b): return 0",
    ],
)
def test_tricks_do_not_pass(remote: Remote, code: str) -> None:
    told = run(remote, Program("python", code, "solve"), Call((2, 3)))
    assert not (told.returned and told.value == 5)


@pytest.mark.parametrize("how", ["500", "text", "list", "empty"])
def test_a_broken_service_says_nothing_about_the_program(
    remote: Remote, server: tuple[str, type[Handler]], how: str
) -> None:
    server[1].broken = how
    assert run(remote, ADD, Call((2, 3))).status is Status.FAILED


def test_expected_outputs_and_secrets_are_not_sent(
    remote: Remote, server: tuple[str, type[Handler]]
) -> None:
    run(remote, ADD, Call((2, 3)))
    (body,) = server[1].seen
    assert "expected" not in json.dumps(body)


@pytest.mark.slow
def test_a_service_without_isolation_is_refused(remote: Remote, tmp_path) -> None:
    """The attack list is run there as well, and this server holds nothing back."""
    tmp_path.chmod(0o755)
    with pytest.raises(EnvError, match="does not hold"):
        proven(remote, SandboxConfig(folder=tmp_path))


@pytest.mark.parametrize("cls", [Piston, SandboxFusion])
def test_no_service(cls: type[Remote]) -> None:
    with pytest.raises(EnvError, match="no sandbox service answers") as caught:
        cls(SandboxConfig(backend="piston", url="http://127.0.0.1:9"))
    assert "sandbox.url" in caught.value.hint
    with pytest.raises(EnvError, match="needs the address"):
        cls(SandboxConfig(backend="piston"))
