"""Aggregation examples for SFT (report arXiv 2605.05365: expert and self aggregation).

Of n rollouts of a problem, C tails go into an aggregation prompt; all that the teacher writes about
it, reasoning and answer, is the target. What was paid for is never paid for twice: rollouts and
examples are lines of two files, and the same run again writes only the missing ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openzaya.config.aggregate import AggregateConfig
from openzaya.errors import DataError
from openzaya.run_dir import RunDir
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.prompts import aggregation_messages, find_template
from openzaya.ttc.tails import tail_ids
from openzaya.types import FinishReason, Message, Request, Sampler, SamplingParams

ROLLOUTS_FILE, EXAMPLES_FILE = "rollouts.jsonl", "examples.jsonl"
SOURCE_FILE = "aggregation.jsonl"
"""What `zaya data build` reads, as a source of the form chat."""
GROUP = 64
"""Problems on their way at one time."""


async def aggregate(
    config: AggregateConfig,
    run: RunDir,
    writer: Sampler,
    teacher: Sampler,
    on_problem: Callable[[int, int], None] | None = None,
) -> int:
    """Write the examples that are missing in the run folder; returns how many there are.

    A teacher that ran out of its budget gives no example: a target without an answer would teach
    to give none. `on_problem` hears of (problems done, problems).
    """
    find_template(config.template)
    problems = _problems(config)
    rollouts, examples = Lines(run.path / ROLLOUTS_FILE), Lines(run.path / EXAMPLES_FILE)
    for first in range(0, len(problems), GROUP):
        group = problems[first : first + GROUP]
        work = [_one(config, text, writer, teacher, rollouts, examples) for text in group]
        await asyncio.gather(*work)
        if on_problem is not None:
            on_problem(first + len(group), len(problems))
    made = [examples.rows[_name(p), n] for p in problems for n in range(config.examples)]
    whole = [json.dumps(example) + "\n" for example in made if example["messages"] is not None]
    run.write_text(SOURCE_FILE, "".join(whole))
    return len(whole)


async def _one(
    config: AggregateConfig,
    text: str,
    writer: Sampler,
    teacher: Sampler,
    rollouts: Lines,
    examples: Lines,
) -> None:
    problem, question = _name(text), (Message("user", text),)

    async def roll(slot: int) -> None:  # each by itself: one that fails takes no other with it
        (made,) = await writer.sample([_request(config, question, problem, slot)])
        tail = tail_ids(made, config.tail, config.tail_scope, writer.think_ids)
        rollouts.add(problem, slot, tail=tail, answer=made.answer)

    missing = [slot for slot in range(config.rollouts) if (problem, slot) not in rollouts.rows]
    await asyncio.gather(*map(roll, missing))
    for number in range(config.examples):
        if (problem, number) in examples.rows:
            continue
        rng = random.Random(derived_seed(config.seed, problem, number, "tails"))
        slots = sorted(rng.sample(range(config.rollouts), config.candidates))
        tails = [rollouts.rows[problem, slot]["tail"] for slot in slots]
        texts = [await writer.detokenize(tail) for tail in tails]
        prompt = aggregation_messages(question, texts, config.template)
        (told,) = await teacher.sample([_request(config, prompt, problem, number, "teacher")])
        ended = told.finish_reason is FinishReason.STOP and bool(told.answer)
        turn = {"role": "assistant", "content": told.answer, "reasoning_content": told.reasoning}
        user = {"role": "user", "content": prompt[-1].content}
        examples.add(
            problem,
            number,
            rollouts=slots,
            tails=tails,
            template=config.template,
            teacher=(config.teacher or config.writer).model,
            seed=config.seed,
            messages=[user, turn] if ended else None,
        )


def _request(config: AggregateConfig, messages: tuple[Message, ...], *place: object) -> Request:
    seed = derived_seed(config.seed, *place)
    return Request(messages, SamplingParams(config.budget, config.temperature, config.top_p, seed))


class Lines:
    """A JSONL file whose rows are known by (problem, number), and added one by one."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        whole = b""
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if line.endswith(b"\n"):  # a kill may have cut the last one
                row = json.loads(line)
                self.rows[tuple(row["id"])] = row
                whole += line
        path.write_bytes(whole)
        self._path = path

    def add(self, problem: str, number: int, **values: Any) -> None:
        row = {"id": [problem, number], **values}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows[problem, number] = row


def _name(problem: str) -> str:
    return hashlib.blake2b(problem.encode(), digest_size=8).hexdigest()


def _problems(config: AggregateConfig) -> list[str]:
    """Their texts, each once."""
    path, found = Path(config.problems), []
    if not path.is_file():
        raise DataError(f"problems: {path} is no file", "give a JSONL file, a problem per line")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if config.limit is not None and len(found) == config.limit:
            break
        if not line.strip():
            continue
        try:
            text = json.loads(line)[config.field]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number} holds no {config.field!r}", "set `field` to the problem's text"
            ) from error
        if not isinstance(text, str) or not text:
            raise DataError(f"{path}:{number}: {config.field} is no text", "mend or drop the line")
        found.append(text)
    if not found:
        raise DataError(f"{path} holds no problem", "give a JSONL file, a problem per line")
    return list(dict.fromkeys(found))
