"""The whole way beside software of others: two servers, a kill, inspect's viewer, a browser.

`OPENZAYA_IMAGES=docs/images pytest -m peer tests/evals/test_peers.py` also takes the picture that
docs/evaluation.md shows. GSM8K's and HumanEval's published files are read from
`OPENZAYA_DATA` (gsm8k/train.jsonl, humaneval/HumanEval.jsonl.gz).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.peer, pytest.mark.timeout(1800)]
DATA = Path(os.environ.get("OPENZAYA_DATA", "data"))
GSM8K, HUMANEVAL = DATA / "gsm8k/train.jsonl", DATA / "humaneval/HumanEval.jsonl.gz"
SMALL = [
    "--rsa", "cpu", "rsa.population=2", "rsa.candidates=2", "rsa.rounds=1", "rsa.budget=48",
    "rsa.tail=16", "samples=1", "--limit", "3",
]  # fmt: skip


def zaya(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "openzaya.cli", *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def tasks_of(*arguments: object) -> dict[str, Any]:
    """Scores of a run that must be whole."""
    out, err = (process := zaya(*arguments, "--json")).communicate(timeout=1500)
    assert process.returncode == 0, err
    return json.loads(out)["tasks"]


@pytest.fixture(scope="module")
def data() -> list[str]:
    if not GSM8K.is_file() or not HUMANEVAL.is_file():
        pytest.skip(f"no {GSM8K} and {HUMANEVAL}: set OPENZAYA_DATA")
    return [f"data.gsm8k={GSM8K}", f"data.humaneval={HUMANEVAL}"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def answers(url: str, seconds: float = 60.0) -> None:
    for _ in range(int(seconds * 5)):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"nobody answers at {url}")


@pytest.fixture(scope="module", params=["zaya", "xllamacpp"])
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[list[str]]:
    """Arguments that name the model: ours behind `zaya serve`, SmolLM2-135M behind xllamacpp."""
    if request.param == "xllamacpp":
        pytest.importorskip("xllamacpp")
        path = Path(__file__).parents[2] / "bench/rsa.py"
        spec = importlib.util.spec_from_file_location("bench_rsa", path)
        assert spec is not None and spec.loader is not None
        bench = sys.modules["bench_rsa"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(bench)
        with bench.SmolServer() as running:
            yield [running.url, "--model-name", "smollm2"]
        return
    from openzaya.model.checkpoint import save_model
    from tests.serve.conftest import newborn

    folder, port = tmp_path_factory.mktemp("served"), free_port()
    model, tokenizer = newborn()
    save_model(model, folder)
    tokenizer.save(folder)
    process = zaya("serve", folder, f"port={port}")
    answers(f"http://127.0.0.1:{port}/health")
    yield [f"http://127.0.0.1:{port}/v1"]
    process.terminate()
    process.communicate(timeout=30)


def test_single_then_rsa_killed_and_resumed(
    server: list[str], data: list[str], tmp_path: Path
) -> None:
    single = tasks_of(
        "eval", server[0], "gsm8k", "humaneval", *data, *server[1:], "--limit", "3", "--epochs",
        "2", "max_tokens=64", "samples=4", "--out", tmp_path / "single",
    )  # fmt: skip
    for task in single.values():
        assert task["n_draws"] == 6 and task["tokens"]["written"] > 6 and task["score"]
    line = [
        "eval", server[0], "gsm8k", "humaneval", *data, *server[1:], *SMALL, "--out",
        tmp_path / "rsa",
    ]  # fmt: skip
    process = zaya(*line)
    journals = tmp_path / "rsa" / "journals"
    for _ in range(3000):
        ended = sum(f.read_text().count('"cand.end"') for f in journals.rglob("*.jsonl"))
        if ended >= 6 or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reasoned = tasks_of(*line)
    for task in reasoned.values():
        assert task["n_draws"] == 6 and len(task["rounds"]) == 2 and task["vote"] is not None
    for file in journals.rglob("*.jsonl"):
        # Four rollouts each; none that had ended was made again.
        assert file.read_text().count('"cand.end"') == 4, file
    print({n: (t["score"], t["truncated"], t["tokens"]) for n, t in single.items()})
    print({n: (t["score"], t["truncated"], t["tokens"]) for n, t in reasoned.items()})
    in_a_browser(tmp_path)


def in_a_browser(runs: Path) -> None:
    """inspect's viewer opens the log, and our page opens offline; neither complains."""
    api = pytest.importorskip("playwright.sync_api")
    if (path := shutil.which("chromium")) is None:
        pytest.skip("apt-get install chromium")
    done = zaya("report", runs / "single", runs / "rsa", "--out", runs / "page")
    assert done.communicate(timeout=120)[0] is not None and done.returncode == 0
    told = json.loads((runs / "rsa" / "evaluation.json").read_text())
    (shown := runs / "shown").mkdir()  # the one that went on: the killed one's is there as well
    shutil.copy(runs / "rsa" / "logs" / told["tasks"]["humaneval"]["log"], shown)
    port = free_port()
    viewer = subprocess.Popen(
        [Path(sys.executable).parent / "inspect", "view", "start", "--log-dir",
         shown, "--port", str(port), "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        answers(f"http://127.0.0.1:{port}/")
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/")
            page.get_by_text("humaneval").first.click(timeout=60_000)
            page.get_by_text("HumanEval-0").first.wait_for(timeout=60_000)
            own = browser.new_context(offline=True, viewport={"width": 1360, "height": 1000})
            report, said = own.new_page(), []
            report.on("console", lambda m: said.append(m.text))
            report.on("pageerror", lambda e: said.append(str(e)))
            report.goto((runs / "page" / "report.html").as_uri())
            assert "Main table" in report.inner_text("body") and not said, said
            report.locator("details").first.click()
            if images := os.environ.get("OPENZAYA_IMAGES"):
                report.screenshot(path=Path(images) / "evaluation.png")
            browser.close()
    finally:
        viewer.terminate()
        viewer.wait(timeout=30)
