"""An endpoint whose answers are scripted, problems whose gold is known, and `zaya eval` on both."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.engine.conftest import Scripted, byte_tokens, scripted

__all__ = ["byte_tokens", "scripted"]


def answer(s: Scripted, text: str, *, cut: bool = False, pause: float = 0.0) -> Response:
    """A stream of a thought and an answer, 20 tokens, as the strict clients want it."""

    def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return {**head, "choices": choices}

    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
    last = piece("length" if cut else "stop", content="" if cut else text)
    return s.events(
        piece(role="assistant", reasoning_content="hm "), last,
        {**head, "choices": [], "usage": usage}, pause=pause,
    )  # fmt: skip


@pytest.fixture
def endpoint(scripted: Scripted, byte_tokens: Any, tmp_path: Path) -> Iterator[Scripted]:
    scripted.script = lambda s, body, n: answer(s, "\\boxed{42}")
    scripted.routes["/v1/models"] = lambda _: JSONResponse({"data": [{"id": "m"}]})
    byte_tokens._inner.save(str(tmp_path / "tokenizer.json"))
    yield scripted


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """Six of GSM8K's form; the answer of number n is n."""
    rows = [{"question": f"Number {n}, please?", "answer": f"easy\n#### {n}"} for n in range(1, 7)]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def line(endpoint: Scripted, problems: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Arguments of `zaya eval` on GSM8K's form before the endpoint."""

    def make(*more: object) -> list[str]:
        return [
            "eval", endpoint.url, "gsm8k", f"data.gsm8k={problems}", "--out", str(tmp_path / "out"),
            f"sampler.tokenizer={tmp_path / 'tokenizer.json'}", "sampler.attempts=1", "--json",
            *map(str, more),
        ]  # fmt: skip

    return make


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    def run(arguments: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "openzaya.cli", *arguments]
        return subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # A shell's background job ignores SIGINT, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    return run


@pytest.fixture
def ends() -> Callable[..., tuple[int, Any]]:
    """(exit status, the printed JSON or what went wrong)."""
    from typer.testing import CliRunner

    from openzaya.cli.app import app

    def run(arguments: list[str]) -> tuple[int, Any]:
        done = CliRunner().invoke(app, arguments)
        with warnings.catch_warnings():  # inspect-ai's clients end with their last reference: here
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        assert done.exit_code in (0, 1, 2), done.output
        if done.exit_code == 2:
            return 2, done.stderr
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)

    return run
