"""lm-eval's log-likelihood tasks against a direct computation by our model, one row at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lm_eval")
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{name}")
    for name in ("DeprecationWarning", "ResourceWarning", "UserWarning", "FutureWarning")
]
WORDS = ["alpha", "beta", "gamma", "delta"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from openzaya.model.checkpoint import save_model
    from tests.serve.conftest import newborn

    model, tokenizer = newborn()
    made = tmp_path_factory.mktemp("model")
    save_model(model, made)
    tokenizer.save(made)
    return made


@pytest.fixture(scope="module")
def direct(folder: Path) -> Any:
    """log p(continuation | context) by the plain network, without packing or batches."""
    from openzaya.model import Layout
    from openzaya.model.checkpoint import load_model
    from openzaya.tokenizer import Tokenizer

    model, tokenizer = load_model(folder, dtype=torch.float32).eval(), Tokenizer.load(folder)

    @torch.no_grad()
    def score(context: str, continuation: str) -> tuple[float, bool]:
        head, tail = tokenizer.encode(context), tokenizer.encode(continuation)
        head = head or [tokenizer.im_end_id]
        ids = torch.tensor(head + tail)
        logits = model.logits(model(ids[:-1], Layout.of([len(ids) - 1])).hidden_ND)
        rows = logits[len(head) - 1 :].log_softmax(-1)
        total = sum(float(rows[i, t]) for i, t in enumerate(tail))
        return total, rows.argmax(-1).tolist() == tail

    return score


def test_packed_requests_equal_single_ones(folder: Path, direct: Any) -> None:
    from openzaya.evals.loglikelihood import ZayaLM

    lm = ZayaLM.open(folder)
    pairs = [(f"{a} and {b} make", f" {c}") for a in WORDS for b in WORDS for c in WORDS[:2]]
    encoded = [(lm.tok_encode(a), lm.tok_encode(b)) for a, b in [*pairs, ("", "alone")]]
    made = lm.score(encoded)
    for (context, continuation), (value, greedy) in zip([*pairs, ("", "alone")], made, strict=True):
        expected, is_greedy = direct(context, continuation)
        assert value == pytest.approx(expected, abs=2e-3) and greedy == is_greedy
    # Negative control: another continuation is another number.
    assert abs(made[0][0] - made[1][0]) > 1e-3


def test_a_yaml_task_of_ten_rows(folder: Path, direct: Any, tmp_path: Path) -> None:
    from openzaya.evals.loglikelihood import run_lm_eval

    rows = [
        {"q": f"Which word is number {n}?", "choices": [f" {w}" for w in WORDS], "gold": n % 4}
        for n in range(10)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "ten.yaml").write_text(
        f"task: ten_rows\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    test: {tmp_path / 'rows.jsonl'}\n  cache_dir: {tmp_path / 'cache'}\n"
        "test_split: test\noutput_type: multiple_choice\n"
        'doc_to_text: "{{q}}"\ndoc_to_choice: "{{choices}}"\ndoc_to_target: gold\n'
        'target_delimiter: ""\nmetric_list:\n  - metric: acc\n'
    )
    made = run_lm_eval(folder, [str(tmp_path / "ten.yaml")], None)
    numbers = made["results"]["ten_rows"]
    right = 0
    for row in rows:
        values = [direct(row["q"], choice)[0] for choice in row["choices"]]
        right += values.index(max(values)) == row["gold"]
    assert numbers["acc,none"] == pytest.approx(right / 10)
    assert made["n-samples"]["ten_rows"]["effective"] == 10


def test_rolling_counts_each_token_once(folder: Path, direct: Any) -> None:
    from lm_eval.api.instance import Instance

    from openzaya.evals.loglikelihood import ZayaLM

    lm = ZayaLM.open(folder)
    text = "the whole text of a document"
    request = Instance("loglikelihood_rolling", {}, (text,), 0)
    (value,) = lm.loglikelihood_rolling([request])
    assert value == pytest.approx(direct("", text)[0], abs=2e-3)
    # Cut into windows, each token is still there, with less context.
    lm.longest = 8
    (windowed,) = lm.loglikelihood_rolling([request])
    assert math.isfinite(windowed) and windowed != pytest.approx(value, abs=1e-4)


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    from openzaya.errors import EvalError
    from openzaya.evals.loglikelihood import run_lm_eval

    with pytest.raises(EvalError, match="no file"):
        run_lm_eval(folder, [str(tmp_path / "no.yaml")], None)


@pytest.mark.slow
def test_unknown_tasks_are_named(folder: Path) -> None:
    from openzaya.errors import EvalError
    from openzaya.evals.loglikelihood import run_lm_eval

    with pytest.raises(EvalError, match="no task 'no_such_task'"):
        run_lm_eval(folder, ["no_such_task"], None)
