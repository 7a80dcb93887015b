"""Tasks of lm-eval that compare log-likelihoods, by our model in this process.

Also perplexity (`loglikelihood_rolling`). Texts that are written are `zaya eval`'s own matter, with
the sampler that serves: here only greedy decoding exists, for tasks that mix the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from openzaya.engine import Engine, EngineSampler
from openzaya.errors import EvalError
from openzaya.model import Layout, ZayaForCausalLM
from openzaya.model.checkpoint import load_model
from openzaya.tokenizer import Tokenizer
from openzaya.types import Message, Request, SamplingParams

ROWS_AT_ONCE = 4096
"""Tokens packed into one forward pass, at least a document."""
Scored = tuple[float, bool]
"""Log-likelihood of a continuation in nats, and whether it is the greedy one."""


class ZayaLM(TemplateLM):
    """Requests are packed as documents; the network lets none see another."""

    def __init__(self, model: ZayaForCausalLM, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.model, self.tokenizer = model.eval(), tokenizer
        self.longest = model.config.max_position_embeddings

    @classmethod
    def open(cls, folder: Path) -> ZayaLM:
        """A weights folder, in fp32."""
        return cls(load_model(folder, dtype=torch.float32), Tokenizer.load(folder))

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.im_end_id

    @property
    def max_gen_toks(self) -> int:
        return 256

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        return self.tokenizer.encode(string)

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, **_: Any
    ) -> list[Scored]:
        """`requests`: ((context, continuation), context ids, continuation ids)."""
        return self.score([(context, target) for _, context, target in requests])

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """Of each continuation after its context; what is too long loses its beginning."""
        documents = []
        for context, target in pairs:
            ids = ((context or [self.eot_token_id]) + target)[-(self.longest + 1) :]
            documents.append((ids, min(len(target), len(ids) - 1)))
        made: list[Scored] = []
        for group in _groups([len(ids) - 1 for ids, _ in documents]):
            made += self._forward([documents[i] for i in group])
        return made

    @torch.no_grad()
    def _forward(self, documents: list[tuple[list[int], int]]) -> list[Scored]:
        inputs = [ids[:-1] for ids, _ in documents]
        ids_P = torch.tensor([t for ids in inputs for t in ids])
        hidden_PD = self.model(ids_P, Layout.of([len(ids) for ids in inputs])).hidden_ND
        made, start = [], 0
        for ids, count in documents:
            end = start + len(ids) - 1
            rows_LV = self.model.logits(hidden_PD[end - count : end]).log_softmax(-1)
            target_L = torch.tensor(ids[-count:])
            chosen = rows_LV.gather(1, target_L[:, None]).sum()
            made.append((float(chosen), bool((rows_LV.argmax(-1) == target_L).all())))
            start = end
        return made

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Of whole texts, each token once, in windows of the model's length."""
        totals = []
        for request in requests:
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.eot_token_id,
                max_seq_len=self.longest,
                context_len=1,
            )
            pairs = [make_disjoint_window(w) for w in windows]
            totals.append(sum(value for value, _ in self.score(pairs)))
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers; lm-eval's context is the user's turn."""
        ids = {"end_id": self.tokenizer.im_end_id, "end_think_id": self.tokenizer.end_think_id}
        sampler = EngineSampler(Engine(self.model, **ids), self.tokenizer)
        asked = []
        for request in requests:
            context, options = request.arguments
            until = options.get("until") or []
            stop = (until,) if isinstance(until, str) else tuple(until)
            most = int(options.get("max_gen_toks", self.max_gen_toks))
            params = SamplingParams(most, 0.0, stop=tuple(s for s in stop if s))
            asked.append(Request((Message("user", context),), params))
        return [c.answer if c.answer is not None else c.reasoning for c in sampler.run(asked)]


def _groups(lengths: list[int]) -> list[list[int]]:
    """Consecutive documents that fit into one pass."""
    groups: list[list[int]] = []
    room = 0
    for i, length in enumerate(lengths):
        if not groups or length > room:
            groups.append([])
            room = max(ROWS_AT_ONCE, length)
        groups[-1].append(i)
        room -= length
    return groups


def run_lm_eval(folder: Path, names: Sequence[str], limit: int | None) -> dict[str, Any]:
    """Run lm-eval's tasks, or YAML files of its form, on the model in `folder`. EvalError for a
    task that there is not, or whose data cannot be had."""
    files = [Path(name) for name in names if name.endswith((".yaml", ".yml"))]
    for file in files:
        if not file.is_file():
            raise EvalError(f"there is no file {file}", "check the path")
    shipped = len(files) < len(names)  # reading all of lm-eval's own takes half a minute
    folders: list[str | Path] = [str(file.parent) for file in files]
    manager = TaskManager(include_path=folders or None, include_defaults=shipped)
    plain = [_task_in(Path(n)) if n.endswith((".yaml", ".yml")) else n for n in names]
    unknown = [n for n in plain if n not in manager.all_tasks]
    if unknown:
        raise EvalError(f"lm-eval has no task {unknown[0]!r}", "`lm-eval ls tasks` names all")
    try:
        evaluate: Any = lm_eval.evaluator.simple_evaluate  # its own types leave keywords out
        made = evaluate(
            ZayaLM.open(folder),
            tasks=list(plain),
            task_manager=manager,
            limit=limit,
            verbosity=None,
            bootstrap_iters=1000,
        )
    except (OSError, ConnectionError) as error:
        raise EvalError(
            f"lm-eval cannot load its data: {str(error)[:200]}",
            "offline, give a YAML whose dataset_path is json and data_files a local file",
        ) from error
    assert made is not None
    return {"results": made["results"], "n-samples": made["n-samples"], "model": str(folder)}


def _task_in(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("task:"):
            return line.removeprefix("task:").strip().strip("'\"")
    raise EvalError(f"{file} names no task", "it needs a line `task: NAME`")
