"""One evaluation: tasks of ours as tasks of inspect-ai, run, resumed, and counted.

    OUT/logs/*.eval        inspect's own logs, a sample written as it ends
    OUT/journals/          Markovian RSA: every rollout as it ends
    OUT/evaluation.json    scores, errors, costs: what `zaya report` draws from

Run again with the same config, nothing that has ended is repeated: inspect takes over the samples
of its log, and a run that was under way its rollouts from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from inspect_ai import Epochs, Task, eval_set
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from openzaya.config.evaluate import EvalConfig
from openzaya.config.rsa import RSAConfig
from openzaya.errors import EvalError
from openzaya.evals.data import Loaded, load
from openzaya.evals.solvers import DRAWS, RUN, Items, reasoner, single
from openzaya.evals.tally import Tally, tally
from openzaya.evals.tasks import TaskSpec, Verdict, task_of
from openzaya.evals.tasks.own import PREFIX
from openzaya.evals.tasks.spec import Item, Sampling
from openzaya.evals.writer import Writer
from openzaya.run_dir import RunDir
from openzaya.ttc import check
from openzaya.types import Outcome

RESULT_FILE, LOGS, JOURNALS = "evaluation.json", "logs", "journals"
SAID = 600
"""Characters of a response's end that its log keeps beside the verdict."""


class Harness:
    """Everything is checked before the first token; then `run`."""

    def __init__(self, config: EvalConfig, writer: Writer) -> None:
        self.config, self.writer = config, writer
        unknown = [name for name in config.data if name not in config.tasks]
        if unknown:
            raise EvalError(
                f"data.{unknown[0]} is about no task of this run",
                f"its tasks are {', '.join(config.tasks)}",
            )
        if len(set(config.tasks)) != len(config.tasks):
            raise EvalError("a task is named twice", "name it once; epochs=K draws more samples")
        self.tasks = {n: task_of(n, config.params, config.limit) for n in config.tasks}
        self.loaded = {n: load(t, config.data.get(n)) for n, t in self.tasks.items()}
        for task in self.tasks.values():
            _equipped(task, config)
            self._fits(task)

    def _fits(self, task: TaskSpec) -> None:
        """EvalError or ConfigError for rollouts that the model cannot hold."""
        window, most = self.writer.window, self.config.max_tokens or task.max_tokens
        if self.config.rsa is not None:
            sampler: Any = SimpleNamespace(context_length=window)  # all that is asked of it
            check(self.items_of(task)[0].messages, sampler, self.rsa_of(task))
        elif window is not None and most >= window:
            raise EvalError(
                f"{task.name}: rollouts of {most} tokens do not fit into {window}, which is all "
                f"that {self.writer.name} holds",
                f"shorten them: max_tokens={window // 2}",
            )

    def rsa_of(self, task: TaskSpec) -> RSAConfig:
        assert self.config.rsa is not None
        if self.config.rsa.selection == "best":
            raise EvalError(
                "selection = best would let the gold answer choose", "use another selection"
            )
        return self.config.rsa.model_copy(update={"kind": task.kind})

    def epochs_of(self, task: TaskSpec) -> int:
        return self.config.epochs or (1 if self.config.rsa is not None else task.k)

    def sampling_of(self, task: TaskSpec) -> Sampling:
        c, own = self.config, task.sampling
        if c.rsa is not None:
            return Sampling(c.rsa.temperature, c.rsa.top_p, c.rsa.top_k)
        return Sampling(
            own.temperature if c.temperature is None else c.temperature,
            own.top_p if c.top_p is None else c.top_p,
            own.top_k if c.top_k is None else c.top_k,
        )

    def items_of(self, task: TaskSpec) -> list[Item]:
        return self.loaded[task.name].items[: self.config.limit]

    def run(self, run: RunDir, display: Any = "none") -> dict[str, Any]:
        """Run what is missing, count everything, write `evaluation.json` and return it. Samples
        that failed are in its errors, never in its scores."""
        started = time.time()
        tasks = [self._task(task, run.path) for task in self.tasks.values()]
        logs_folder = run.path / LOGS
        _drop_failed(logs_folder)
        quiet = contextlib.redirect_stdout(sys.stderr) if display == "none" else nullcontext()
        try:
            with quiet:  # it says where its logs are; our caller's stdout is for scores
                _, logs = eval_set(
                    tasks,
                    log_dir=str(logs_folder),
                    model=self.writer.model,
                    display=display,
                    log_buffer=1,
                    max_samples=self.config.samples,
                    max_tasks=1,
                    fail_on_error=False,
                    retry_attempts=0,
                    retry_immediate=False,
                    log_level="error",
                    log_dir_allow_dirty=True,
                    score_display=False,
                )
        except PrerequisiteError as error:
            raise EvalError(f"inspect-ai refuses: {error}", "see the line above") from None
        ended = {log.eval.task for log in logs if log.status in ("success", "error")}
        if ended != set(self.tasks):
            raise KeyboardInterrupt  # inspect takes the signal for itself, and returns
        tallies = {}
        for log in logs:
            whole = read_eval_log(log.location, resolve_attachments=False)
            tallies[log.eval.task] = self._tally(self.tasks[log.eval.task], whole)
        result = {
            "kind": "evaluation",
            "model": self.writer.name,
            "method": self.config.method,
            "seconds": time.time() - started,
            "environment": environment(),
            "tasks": {name: tallies[name].to_json() for name in self.tasks},
        }
        run.write_json(RESULT_FILE, result)
        return result

    def _tally(self, task: TaskSpec, log: EvalLog) -> Tally:
        loaded, rsa = self.loaded[task.name], self.config.rsa
        sampling = self.sampling_of(task)
        notes = list(loaded.notes)
        if log.error is not None:
            notes.append(f"inspect-ai gave up: {' '.join(log.error.message.split())[:300]}")
        facts = {
            "about": task.about,
            "published": task.published,
            "origin": loaded.origin,
            "digest": loaded.digest,
            "notes": notes,
            "k": task.k,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": rsa.budget if rsa else self.config.max_tokens or task.max_tokens,
            "method": self.config.method,
            "log": Path(log.location).name,
            "kind": task.kind,
        }
        if rsa is not None:
            facts["rsa"] = {
                "T": rsa.rounds,
                "N": rsa.population,
                "C": rsa.candidates,
                "beta": rsa.budget,
                "tau": rsa.tail,
                "final": rsa.budget_of(rsa.rounds),
                "selection": rsa.selection,
            }
        return tally(task, self.items_of(task), self.epochs_of(task), log.samples or [], facts)

    def _task(self, task: TaskSpec, folder: Path) -> Task:
        c, items = self.config, {item.id: item for item in self.items_of(task)}
        loaded: Loaded = self.loaded[task.name]
        samples = [
            Sample(input=item.question, target=item.target, id=item.id) for item in items.values()
        ]
        if c.rsa is None:
            work = single(
                task,
                items,
                self.sampling_of(task),
                c.max_tokens or task.max_tokens,
                c.seed,
                c.sample_seconds,
                self.writer,
            )
        else:
            place = folder / JOURNALS / task.name.replace(":", "_").replace("/", "_")
            work = reasoner(task, items, self.rsa_of(task), c.sample_seconds, self.writer, place)
        return Task(
            dataset=MemoryDataset(samples, name=task.name),
            solver=work,
            scorer=judged(task, items),
            epochs=Epochs(self.epochs_of(task), ["mean"]),
            name=task.name,
            metadata={
                "digest": loaded.digest,
                "origin": loaded.origin,
                "notes": list(loaded.notes),
                "method": c.method,
            },
        )


def judged(task: TaskSpec, items: Items) -> Scorer:
    """The task's judge over all draws of a sample. A draw without a verdict counts as lost; a
    sample without any verdict is an error."""

    @scorer(metrics=[mean(), stderr()], name="openzaya")
    def make() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            item, run = items[str(state.sample_id)], dict(state.store.get(RUN))
            draws: list[dict[str, Any]] = [dict(d) for d in state.store.get(DRAWS)]
            verdicts = [await _judge(task, item, d.pop("response")) for d in draws]
            said = [d["response"] for d in state.store.get(DRAWS)]
            for draw, verdict, text in zip(draws, verdicts, said, strict=True):
                draw |= _told(task, verdict, text)
            valid = [d["reward"] for d in draws if d["outcome"] != Outcome.VERIFIER_ERROR]
            if not valid:
                why = draws[0]["reason"] if draws else "no rollout ended"
                raise EvalError(f"no verdict: {why}")
            chosen = run.pop("chosen", None)
            if "rounds" in run:
                by_round = [[await _judge(task, item, r) for r in p] for p in run["rounds"]]
                run["rounds"] = [*(_mean(task, p) for p in by_round), sum(valid) / len(valid)]
                run["chosen"] = _told(task, await _judge(task, item, chosen), chosen)
            answer = run["chosen"]["answer"] if "chosen" in run else draws[0]["answer"]
            return Score(
                value=sum(valid) / len(valid),
                answer=answer,
                explanation="\n".join(d["reason"] for d in draws if d["reason"])[:2000] or None,
                metadata={DRAWS: draws, RUN: run},
            )

        return score

    return make()


async def _judge(task: TaskSpec, item: Item, response: str | None) -> Verdict:
    return await asyncio.to_thread(task.judge, item, response)


def _told(task: TaskSpec, verdict: Verdict, text: str | None) -> dict[str, Any]:
    score = verdict.score
    return {
        "answer": None if verdict.answer is None else verdict.answer[:1000],
        "outcome": str(score.outcome),
        "reward": _reward(task, verdict),
        "reason": score.reason[:300],
        "said": (text or "")[-SAID:],
    }


def _reward(task: TaskSpec, verdict: Verdict) -> float:
    return verdict.score.reward if task.graded else float(verdict.score.correct)


def _mean(task: TaskSpec, verdicts: Sequence[Verdict]) -> float | None:
    valid = [v for v in verdicts if v.score.outcome is not Outcome.VERIFIER_ERROR]
    return sum(_reward(task, v) for v in valid) / len(valid) if valid else None


def _drop_failed(folder: Path) -> None:
    """A log that ended well keeps its failed samples for good; as one that broke off, it is gone on
    with: what ended is taken over, what failed is asked again."""
    from inspect_ai.log import write_eval_log

    if not folder.is_dir():
        return
    for info in list_eval_logs(str(folder)):
        log = read_eval_log(info)
        if log.status == "success" and any(s.error is not None for s in log.samples or []):
            log.status = "error"
            write_eval_log(log)


def _equipped(task: TaskSpec, config: EvalConfig) -> None:
    """EvalError or EnvError for what the judge would lack."""
    if task.needs == "sandbox":
        from openzaya.envs.sandbox import open_sandbox, use

        use(config.sandbox)
        open_sandbox()
    if task.needs == "lm-eval":
        from importlib.util import find_spec

        for package in ("lm_eval", "langdetect", "immutabledict"):
            if find_spec(package) is None:
                raise EvalError(
                    f"{task.name} is judged by functions of lm-eval, which needs {package}",
                    "pip install 'openzaya[eval]'",
                )
    assert task.source is not None or task.name.startswith(PREFIX)


def environment() -> dict[str, str]:
    """What a score depends on besides its config."""
    import platform
    import subprocess
    from importlib.metadata import version

    from openzaya import __version__

    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True
    )
    return {
        "openzaya": __version__,
        "commit": commit.stdout.strip() or "unknown",
        "inspect_ai": version("inspect_ai"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
