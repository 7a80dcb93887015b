"""Ten minutes of mixed traffic against a real server.

    python bench/soak.py [--quick]

`zaya serve` with the 1M size (random weights) on a loopback port. 50 clients send a mix: whole and
streamed chats of a fixed set with seeds, n = 4, clients that leave in the middle, malformed bodies;
every few seconds the weights change between two versions under all that. Every answer is checked:
its tokens are those that the version which drew them draws alone, as far as one version drew them.

Counted: wrong answers, requests without an end, statuses that nobody expected, latency, and the
server's resident memory from the second minute on (--quick: 40 seconds, memory from half of it).
The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch

from openzaya.config.base import load_recipe
from openzaya.config.model import ModelRecipe
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.tokenizer import build_phrase_tokenizer

CLIENTS, REQUESTS = 50, 40
CHAT = "/v1/chat/completions"
MALFORMED = [
    b"{", b"\xff", b"[]", b'{"messages": []}', b'{"messages": [{"role": "user"}], "n": -1}',
    b'{"messages": [{"role": "user", "content": "a"}], "temprature": 1}', b"[" * 10_000,
    b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 99999999}',
]  # fmt: skip


@dataclass
class Tally:
    """What happened."""

    statuses: Counter[int] = field(default_factory=Counter)
    latency: list[float] = field(default_factory=list)
    checked: int = 0
    mixed: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)
    unended: int = 0


def prepare(root: Path) -> list[Path]:
    """Two folders with weights of one shape."""
    letters = "".join(map(chr, range(32, 127))) + "\n"
    tokenizer = build_phrase_tokenizer({}, ["user\n", "assistant\n"], letters)
    config = load_recipe(ModelRecipe, "recipes/models/1m.toml").model
    config = config.model_copy(
        update={
            "vocab_size": tokenizer.vocab_size,
            "eos_token_id": tokenizer.im_end_id,
            "initializer_range": 0.1,
        }
    )
    folders = [root / "a", root / "b"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        save_model(ZayaForCausalLM(config).initialise(seed), folder)
        tokenizer.save(folder)
    return folders


def bodies() -> list[dict[str, Any]]:
    rng = random.Random(0)
    topics = ["Tell me about " + "the sea " * 20, "Count to ten. " * 12, "Why?"]
    return [
        {
            "messages": [{"role": "user", "content": rng.choice(topics) + str(rng.randrange(9))}],
            "max_tokens": rng.randrange(5, 120), "temperature": rng.choice([0.0, 0.7, 1.0]),
            "top_p": rng.choice([0.9, 1.0]), "seed": rng.randrange(2**40),
            "n": rng.choice([1, 1, 1, 4]), "return_token_ids": True,
        }
        for _ in range(REQUESTS)
    ]  # fmt: skip


class Server:
    """`zaya serve` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "openzaya.cli", "serve", str(folder), "port=0",
                "max_queue=40", "max_sequences=24", "cache_gb=0.1", "name=soak",
            ],
            stderr=subprocess.PIPE, text=True, env=os.environ | {"ZAYA_CONTROL_TOKEN": "t"},
        )  # fmt: skip
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert " at http://" in line, line
        self.url = line.split(" at ")[1].strip().removesuffix("/v1")
        for _ in range(1000):
            try:
                httpx.get(f"{self.url}/health")
                return
            except httpx.TransportError:
                time.sleep(0.01)

    def resident(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise SystemExit("no /proc here: memory is measured on Linux only")


async def swap(client: httpx.AsyncClient, folder: Path, version: int) -> None:
    body = {"model_path": str(folder), "weight_version": version}
    headers = {"Authorization": "Bearer t"}
    done = await client.post("/update_weights_from_disk", json=body, headers=headers)
    assert done.status_code == 200, done.text


async def references(
    client: httpx.AsyncClient, work: list[dict[str, Any]], folders: list[Path]
) -> list[list[list[list[int]]]]:
    """Tokens by version's parity, request and choice, drawn one request at a time."""
    tables = []
    for version, folder in enumerate(folders):
        await swap(client, folder, version)
        table = []
        for body in work:
            answer = (await client.post(CHAT, json=body)).json()
            table.append([c["token_ids"] for c in answer["choices"]])
        tables.append(table)
    assert tables[0] != tables[1], "the two versions draw the same: nothing would be checked"
    return tables


def check(tally: Tally, choice: dict[str, Any], want: list[list[list[int]]]) -> None:
    """`want`: this choice's tokens by parity of the version."""
    tokens, versions = choice["token_ids"], choice["policy_versions"]
    first = versions[0]
    same = next((i for i, v in enumerate(versions) if v != first), len(versions))
    expected = want[first % 2][choice["index"]]
    tally.checked += 1
    tally.mixed += same < len(versions)
    whole = same == len(versions)
    if tokens[:same] != expected[:same] or (whole and len(tokens) != len(expected)):
        tally.wrong.append(f"{tokens[:same]} is not {expected[:same]}")


async def client_loop(
    number: int, url: str, work: list[dict[str, Any]], tables: Any, until: float, tally: Tally
) -> None:
    rng = random.Random(number)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while time.time() < until:
            kind = rng.choices(["whole", "stream", "leave", "malformed"], [4, 4, 2, 1])[0]
            i = rng.randrange(len(work))
            want = [tables[0][i], tables[1][i]]
            started = time.time()
            try:
                if kind == "malformed":
                    answer = await client.post(CHAT, content=rng.choice(MALFORMED))
                    assert 400 <= answer.status_code < 500, answer.text
                    tally.statuses[answer.status_code] += 1
                    continue
                if kind == "whole":
                    answer = await client.post(CHAT, json=work[i])
                    tally.statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        tally.latency.append(time.time() - started)
                        for choice in answer.json()["choices"]:
                            check(tally, choice, want)
                    elif answer.status_code == 429:
                        await asyncio.sleep(rng.random() * int(answer.headers["retry-after"]))
                    continue
                await stream(client, work[i], want, kind, rng, tally)
            except httpx.TimeoutException:
                tally.unended += 1


async def stream(
    client: httpx.AsyncClient, body: dict[str, Any], want: Any, kind: str, rng: random.Random,
    tally: Tally,
) -> None:  # fmt: skip
    started, choices = time.time(), []
    async with client.stream("POST", CHAT, json=body | {"stream": True}) as answer:
        tally.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            await answer.aread()
            await asyncio.sleep(rng.random())
            return
        lines, patience = 0, rng.randrange(3, 30)
        ended = False
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            lines += 1
            if kind == "leave" and lines > patience:
                tally.left += 1
                return
            if line == "data: [DONE]":
                ended = True
                break
            table = json.loads(line[6:])
            assert "error" not in table, table
            choices += [c for c in table["choices"] if c.get("token_ids")]
    if not ended:
        tally.unended += 1
        return
    tally.latency.append(time.time() - started)
    for choice in choices:
        check(tally, choice, want)


async def run(server: Server, folders: list[Path], seconds: float) -> tuple[Tally, list[float]]:
    tally, memory, work = Tally(), [], bodies()
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        tables = await references(client, work, folders)
        until, version = time.time() + seconds, 1
        settled = time.time() + min(120.0, seconds / 2)
        clients = [
            asyncio.ensure_future(client_loop(i, server.url, work, tables, until, tally))
            for i in range(CLIENTS)
        ]
        while time.time() < until:
            await asyncio.sleep(3)
            version += 1
            await swap(client, folders[version % 2], version)
            if time.time() > settled:
                memory.append(server.resident())
        await asyncio.gather(*clients)
        for _ in range(200):
            text = (await client.get("/metrics")).text
            if "zaya_sequences_running 0.0" in text and "zaya_sequences_waiting 0.0" in text:
                break
            await asyncio.sleep(0.1)
        else:
            tally.unended += 1
        assert "zaya_cache_blocks_held 0.0" in text, "blocks are held by nobody"
    return tally, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 seconds of traffic")
    seconds = 40.0 if parser.parse_args().quick else 600.0
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as root:
        folders = prepare(Path(root))
        server = Server(folders[0])
        try:
            tally, memory = asyncio.run(run(server, folders, seconds))
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(60)
        finally:
            server.process.kill()
    latency = sorted(tally.latency)
    p99 = latency[int(0.99 * len(latency))]
    growth = max(memory) / memory[0] - 1
    odd = {s: n for s, n in tally.statuses.items() if s not in (200, 400, 429)}
    print(
        f"{seconds:.0f} s: {len(latency)} requests answered, {tally.checked} choices checked "
        f"({tally.mixed} drawn by several versions), {tally.left} clients left, statuses "
        f"{dict(tally.statuses)}"
    )
    print(f"latency median {statistics.median(latency):.2f} s, p99 {p99:.2f} s")
    print(f"resident {memory[0]:.0f} MB, later at most {max(memory):.0f} MB; exit status {code}")
    for line in tally.wrong[:3]:
        print(f"WRONG: {line}")
    results = [
        {"name": "soak-wrong", "value": len(tally.wrong), "unit": "choices", "goal": 0,
         "ok": not tally.wrong},
        {"name": "soak-unended", "value": tally.unended, "unit": "requests", "goal": 0,
         "ok": not tally.unended},
        {"name": "soak-unexpected", "value": sum(odd.values()), "unit": "statuses", "goal": 0,
         "ok": not odd},
        {"name": "soak-growth", "value": round(growth, 4), "unit": "of memory", "goal": 0.05,
         "ok": growth <= 0.05},
        {"name": "soak-p99", "value": round(p99, 3), "unit": "s"},
    ]  # fmt: skip
    print(json.dumps(results))
    if tally.wrong or tally.unended or odd or code:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
