"""Software that others wrote, as clients of a real port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.conftest import KNOWN, Parrot
from tests.serve.test_lifecycle import Process

pytestmark = [pytest.mark.peer, pytest.mark.slow]

INSPECT = """
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.model import get_model
url, questions = sys.argv[1], eval_questions
model = get_model("openai-api/zaya/parrot", base_url=url + "/v1", api_key="none")
task = Task(dataset=[Sample(input=q, target=t) for q, t in questions], scorer=includes())
(log,) = eval(task, model=model, display="none", log_dir=sys.argv[2])
assert log.status == "success", log.error
print("SCORE", log.results.scores[0].metrics["accuracy"].value)
sample = log.samples[0].output
print("USAGE", sample.usage.output_tokens, sample.usage.reasoning_tokens)
"""

TASK = """
task: zaya_ten
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["###"]
  max_gen_toks: 200
  temperature: 0.0
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


def run(*command: str, cwd: Path, **more: str) -> str:
    environment = os.environ | {"OPENAI_API_KEY": "none", "HF_HOME": str(cwd)} | more
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=280
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_inspect_ai(parrot: Parrot, tmp_path: Path) -> None:
    questions = [(KNOWN[i % 2][0], KNOWN[i % 2][2]) for i in range(10)]
    script = INSPECT.replace("eval_questions", repr(questions))
    with Process(parrot.folder, "temperature=0.0", "name=parrot") as server:
        out = run(sys.executable, "-c", script, server.url, str(tmp_path), cwd=tmp_path)
    assert "SCORE 1.0" in out
    assert f"USAGE {len(KNOWN[0][1]) + len(KNOWN[0][2]) + 2} {len(KNOWN[0][1])}" in out


def test_lm_eval(parrot: Parrot, tmp_path: Path) -> None:
    rows = [{"question": KNOWN[i % 2][0], "answer": KNOWN[i % 2][2]} for i in range(10)]
    rows[9]["answer"] = "something else"  # negative control: not everything is right
    data = tmp_path / "ten.jsonl"
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "ten.yaml").write_text(TASK.format(data=data))
    with Process(parrot.folder, "temperature=0.0", "name=parrot") as server:
        address = f"base_url={server.url}/v1/chat/completions,model=parrot,num_concurrent=4"
        out = run(
            sys.executable, "-m", "lm_eval", "--model", "local-chat-completions",
            "--model_args", address, "--tasks", "zaya_ten", "--include_path", str(tmp_path),
            "--apply_chat_template", cwd=tmp_path, HF_DATASETS_OFFLINE="1",
        )  # fmt: skip
    assert "|exact_match|" in out.replace(" ", "") and "0.9" in out


def test_schemathesis(parrot: Parrot, tmp_path: Path) -> None:
    """Fuzzing from the server's own description finds no 500, and no answer that it denies."""
    with Process(parrot.folder, "name=parrot", "max_rollouts=16") as server:
        run(
            str(Path(sys.executable).with_name("schemathesis")), "run",
            f"{server.url}/openapi.json", "--checks",
            "not_a_server_error,status_code_conformance,response_schema_conformance",
            "--max-examples", "60", "--phases", "examples,coverage,fuzzing", "--seed", "1",
            "--request-timeout", "60", cwd=tmp_path,
        )  # fmt: skip
