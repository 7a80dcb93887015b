"""Kill -9 and go on. Run as a program:

    python kills.py TRIALS FOLDER

Each trial runs one journaled run in a child process that is killed at random moments until it
ends; some kills also lose the end of the last line, as a full disk or a stopped machine would.
Prints a JSON object: trials, kills, lost (bytes), repeated (finished rollouts asked for again),
different (runs that did not end as an unhurt one does), rollouts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openzaya.config.rsa import RSAConfig
from openzaya.ttc import Journal, reason, replay
from openzaya.types import Completion, FinishReason, Message, Request, ThinkIds

CONFIG = RSAConfig(population=6, candidates=2, rounds=2, tail=64, budget=900, kind="math")
QUESTION = (Message("user", "What is 12+7?"),)


class Sleeper:
    """Writes down what it is asked, takes a moment, answers by prompt and seed."""

    def __init__(self, log: Path) -> None:
        self.think_ids = ThinkIds(256, 257, 258)
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def sample(self, requests: Sequence[Request]) -> list[Completion]:
        (request,) = requests
        seed, text = request.params.seed, request.messages[-1].content
        os.write(self.log, f"{seed}\n".encode())
        rng = random.Random(f"{seed}:{text}")
        await asyncio.sleep(rng.uniform(0.001, 0.02))
        answer = f"\\boxed{{{rng.randint(1, 3)}}}" + "." * rng.randint(0, 30_000)
        ids = [rng.randrange(97, 123) for _ in range(rng.randint(1, 200))] + [257, 48, 258]
        array, none = np.array(ids, dtype=np.int32), np.zeros(len(ids))
        return [Completion(array, array, none, none, FinishReason.STOP, "", "", answer)]

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode()


def run(journal: Path, log: Path) -> None:
    with Journal.open(journal) as opened:
        asyncio.run(reason(QUESTION, Sleeper(log), CONFIG, run_id="p1", journal=opened))


def in_child(journal: Path, log: Path, seconds: float) -> bool:
    """Run, and kill after `seconds`; whether it had ended."""
    child = os.fork()
    if child == 0:
        run(journal, log)
        os._exit(0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def finished(journal: Path) -> set[int]:
    """Seeds of the rollouts that the journal has whole."""
    data = journal.read_bytes() if journal.exists() else b""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return {row["seed"] for row in map(json.loads, lines) if row["type"] == "cand.end"}


def main() -> None:
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    rng = random.Random(0)
    began = time.monotonic()
    run(folder / "unhurt.jsonl", folder / "unhurt.log")
    whole, seconds = replay(folder / "unhurt.jsonl"), time.monotonic() - began
    told = dict.fromkeys(("trials", "kills", "lost", "repeated", "different", "rollouts"), 0)
    for n in range(trials):
        journal, log = folder / f"{n}.jsonl", folder / f"{n}.log"
        ended = False
        while not ended:
            log.unlink(missing_ok=True)
            before = finished(journal)
            ended = in_child(journal, log, rng.uniform(0, 1.2 * seconds))
            asked = [int(s) for s in log.read_text().split()] if log.exists() else []
            told["repeated"] += sum(seed in before for seed in asked)
            told["rollouts"] += len(asked)
            told["kills"] += not ended
            if not ended and journal.exists() and rng.random() < 0.5:
                lines = journal.read_bytes().splitlines(keepends=True)
                lost = rng.randint(1, len(lines[-1])) if lines else 0
                os.truncate(journal, journal.stat().st_size - lost)
                told["lost"] += lost
        tails = [[c and c.tail_ids for c in p] for p in replay(journal).populations]
        told["different"] += tails != [[c and c.tail_ids for c in p] for p in whole.populations]
        told["trials"] += 1
    print(json.dumps(told))


if __name__ == "__main__":
    main()
