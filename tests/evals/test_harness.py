"""`zaya eval` as typed: scores by hand, gaps that are named, a kill that repeats nothing."""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.engine.conftest import Scripted
from tests.evals.conftest import answer

pytest.importorskip("inspect_ai")
# inspect-ai's own: its retries, and clients that it leaves to the collector.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{name}")
    for name in ("DeprecationWarning", "ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
]
Line = Callable[..., list[str]]
Ends = Callable[..., tuple[int, Any]]
RSA = [
    "--rsa",
    "paper",
    "rsa.population=4",
    "rsa.candidates=2",
    "rsa.rounds=1",
    "rsa.budget=60",
    "rsa.tail=20",
    "rsa.final_budget=none",
    "--limit",
    "4",
    "samples=1",
]


def number(body: dict[str, Any]) -> int:
    found = re.search(r"Number (\d+)", body["messages"][-1]["content"])
    assert found is not None
    return int(found[1])


def mixed(s: Scripted, body: dict[str, Any], _: int) -> Response:
    """1 and 2 always right, 3 by the seed, 4 wrong, 5 cut, 6 without a box."""
    n = number(body)
    texts = {1: "\\boxed{1}", 2: "#### 2", 4: "\\boxed{9}", 6: "perhaps 6, perhaps not"}
    by_seed = "\\boxed{3}" if body["seed"] % 3 else "\\boxed{8}"
    return answer(s, texts.get(n, by_seed), cut=n == 5)


def test_scores_by_hand_in_both_places(
    endpoint: Scripted, line: Line, ends: Ends, tmp_path: Path
) -> None:
    endpoint.script = mixed
    status, result = ends(line("--epochs", 4, "max_tokens=50"))
    task = result["tasks"]["gsm8k"]
    assert status == 0, task["failures"]
    assert task["n_problems"] == 6 and task["n_draws"] == 24
    seeds = {b["seed"] for b in endpoint.bodies if number(b) == 3}
    odd = sum(seed % 3 > 0 for seed in seeds)
    assert len(seeds) == 4, "four epochs are four different draws"
    assert 0 < odd < 4
    assert task["score"]["mean"] == pytest.approx((2 + odd / 4) / 6)
    assert task["truncated"] == pytest.approx(1 / 6) and task["unparseable"] == pytest.approx(2 / 6)
    assert task["pass"]["4"]["mean"] == pytest.approx(3 / 6)
    assert task["tokens"]["written"] == 24 * 20 and task["tokens"]["read"] == 24 * 9
    # What went over the wire is what the table says.
    assert {b["temperature"] for b in endpoint.bodies} == {1.0}
    assert {b["top_p"] for b in endpoint.bodies} == {0.95}
    assert {b["max_tokens"] for b in endpoint.bodies} == {50}
    # inspect's own number, in its own log, is the same.
    from inspect_ai.log import list_eval_logs, read_eval_log

    (info,) = list_eval_logs(str(tmp_path / "out" / "logs"))
    log = read_eval_log(info)
    assert log.results is not None and log.status == "success"
    metric = log.results.scores[0].metrics["mean"].value
    assert metric == pytest.approx(task["score"]["mean"])
    assert "openai-api/zaya/m" in log.eval.model


def test_code_tasks_ask_for_top_k(endpoint: Scripted, ends: Ends, tmp_path: Path) -> None:
    row = {
        "task_id": "T/0",
        "entry_point": "f",
        "prompt": 'def f():\n    """One."""\n',
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    (tmp_path / "he.jsonl").write_text(json.dumps(row) + "\n")
    endpoint.script = lambda s, b, n: answer(s, "```python\ndef f(): return 1\n```")
    arguments = [
        "eval",
        endpoint.url,
        "humaneval",
        f"data.humaneval={tmp_path / 'he.jsonl'}",
        "--out",
        str(tmp_path / "code"),
        "--json",
        "--epochs",
        "1",
    ]
    status, result = ends(arguments)
    if status == 2:
        assert "sandbox" in result or "bubblewrap" in result
        pytest.skip("no sandbox here: refused, as it should be")
    task = result["tasks"]["humaneval"]
    assert task["score"]["mean"] == 1.0 and task["score"]["interval"][0] < 0.05
    assert {(b["temperature"], b["top_p"], b["top_k"]) for b in endpoint.bodies} == {
        (0.6, 0.95, 20)
    }
    assert "other questions or answers than the published ones" in task["notes"]


def test_dropped_calls_are_named_and_asked_again(
    endpoint: Scripted, line: Line, ends: Ends
) -> None:
    """Two of six problems fail: the score is of four, between two bounds, and the status says so.
    The same line again asks only for those."""

    def drops(s: Scripted, body: dict[str, Any], n: int) -> Response:
        if number(body) in (2, 5):
            return JSONResponse({"error": {"message": "no room"}}, 400)
        return answer(s, f"\\boxed{{{number(body)}}}")

    endpoint.script = drops
    status, result = ends(line("--epochs", 1))
    task = result["tasks"]["gsm8k"]
    assert status == 1 and not task["whole"]
    assert (task["n_scored"], task["n_problems"], task["failed_samples"]) == (4, 6, 2)
    assert [f["id"] for f in task["failures"]] == ["2", "5"] and "no room" in task["failures"][0][
        "why"
    ]
    assert task["score"]["mean"] == 1.0 and task["score"]["bounds"] == pytest.approx([4 / 6, 1.0])
    before = len(endpoint.bodies)
    endpoint.script = mixed
    status, result = ends(line("--epochs", 1))
    assert status == 0 and result["tasks"]["gsm8k"]["whole"]
    assert sorted(number(b) for b in endpoint.bodies[before:]) == [2, 5]
    assert result["tasks"]["gsm8k"]["score"]["mean"] == pytest.approx(5 / 6)


def test_a_kill_repeats_no_finished_sample_and_no_rollout(
    endpoint: Scripted, line: Line, start: Any, ends: Ends, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a Markovian RSA run; then the same line again."""

    def slowly(s: Scripted, body: dict[str, Any], _: int) -> Response:
        text = f"\\boxed{{{number(body) if body['seed'] % 3 else 0}}}"
        return answer(s, text, pause=0.03)

    endpoint.script = slowly
    process = start(line(*RSA, "rsa.concurrency=1"))
    for _ in range(2400):  # a busy machine takes its time to start
        if len(endpoint.bodies) >= 14 or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = len(endpoint.bodies)
    assert 14 <= killed < 32
    status, result = ends(line(*RSA, "rsa.concurrency=1"))
    assert status == 0
    # 4 problems, 2 rounds of 4; at most the one rollout that was on its way is made again.
    assert 32 <= len(endpoint.bodies) <= 33
    calls = Counter((b["seed"], b["messages"][-1]["content"]) for b in endpoint.bodies)
    assert sum(c - 1 for c in calls.values()) <= 1
    task = result["tasks"]["gsm8k"]
    assert task["n_draws"] == 16 and task["whole"] and task["tokens"]["written"] == 32 * 20
    assert len(task["rounds"]) == 2 and task["rounds"][-1] == pytest.approx(task["score"]["mean"])
    assert not task["pass"] and task["vote"] is not None
    from inspect_ai.log import list_eval_logs, read_eval_log

    logs = [read_eval_log(i) for i in list_eval_logs(str(tmp_path / "out" / "logs"))]
    assert any(log.status == "success" and len(log.samples or []) == 4 for log in logs)
    status, text = ends(line(*RSA, "rsa.temperature=0.5"))
    assert status == 2 and "another config" in text, "another config is another run"


def test_an_interrupted_run_says_so(
    endpoint: Scripted, line: Line, start: Any, ends: Ends, tmp_path: Path
) -> None:
    endpoint.script = lambda s, body, n: answer(s, f"\\boxed{{{number(body)}}}", pause=0.3)
    process = start(line("--epochs", 2, "samples=1"))
    while len(endpoint.bodies) < 3 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "nothing is lost" in err and not out
    assert not (tmp_path / "out" / "evaluation.json").exists()
    endpoint.script = lambda s, body, n: answer(s, f"\\boxed{{{number(body)}}}")
    status, result = ends(line("--epochs", 2, "samples=1"))
    assert status == 0 and result["tasks"]["gsm8k"]["score"]["mean"] == 1.0
    assert len(endpoint.bodies) <= 13, "twelve samples, and one that was broken off"


def test_without_a_sandbox_no_program_is_judged(
    endpoint: Scripted, ends: Ends, tmp_path: Path
) -> None:
    """A service that is not there: refused before a token, never a score."""
    row = {"task_id": "T/0", "entry_point": "f", "prompt": "def f(): ...", "test": "", "x": 1}
    row["canonical_solution"] = ""
    (tmp_path / "he.jsonl").write_text(json.dumps(row) + "\n")
    status, text = ends(
        [
            "eval", endpoint.url, "humaneval", f"data.humaneval={tmp_path / 'he.jsonl'}", "--out",
            str(tmp_path / "none"), "sandbox.backend=piston", "sandbox.url=http://127.0.0.1:9",
        ]
    )  # fmt: skip
    assert status == 2 and "error:" in text and not endpoint.bodies


def test_what_does_not_fit_is_refused_before_a_token(
    endpoint: Scripted, line: Line, ends: Ends
) -> None:
    endpoint.routes["/v1/models"] = lambda _: JSONResponse(
        {"data": [{"id": "m", "max_model_len": 500}]}
    )
    status, text = ends(line())
    assert status == 2 and "do not fit into 500" in text and "max_tokens=250" in text
    status, text = ends(line("--rsa", "cpu", "rsa.budget=450", "rsa.tail=96"))
    assert status == 2 and "more than the 500" in text
    status, text = ends(line("--rsa", "best-of-n", "rsa.population=2"))
    assert status == 2 and "gold answer" in text
    assert not endpoint.bodies
