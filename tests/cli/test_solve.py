"""`zaya solve` as typed, before an endpoint whose answers are scripted, and on a model here."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner

from openzaya.cli.app import app
from openzaya.cli.problems import Asked, in_form, read
from openzaya.config.model import ModelConfig
from openzaya.errors import DataError
from openzaya.model import ZayaForCausalLM
from openzaya.model.checkpoint import save_model
from openzaya.tokenizer import build_phrase_tokenizer
from openzaya.ttc import read_events
from openzaya.ttc.events import CandEnd
from openzaya.types import Message
from tests.engine.conftest import Scripted, byte_tokens, chunk, scripted

__all__ = ["byte_tokens", "scripted"]
SMALL = ["population=4", "candidates=2", "rounds=2", "budget=50", "tail=20", "final_budget=none"]
ROLLOUTS = 12


def letters(seed: int) -> str:
    """What the endpoint answers to a seed: mostly 42."""
    return "42" if seed % 3 else str(seed % 10)


class Slow:
    """Every rollout takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, s: Scripted, body: dict[str, Any], number: int) -> Response:
        thought = [chunk(reasoning_content=f"let me see {body['seed']} ") for _ in range(5)]
        said = chunk("stop", content=f"\\boxed{{{letters(body['seed'])}}}")
        usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 20}}
        return s.events(*thought, said, usage, pause=self.seconds / 7)


@pytest.fixture
def endpoint(scripted: Scripted, byte_tokens: Any, tmp_path: Path) -> Iterator[Scripted]:
    scripted.script = Slow(0.0)
    scripted.routes["/v1/models"] = lambda _: JSONResponse({"data": [{"id": "m"}]})
    byte_tokens._inner.save(str(tmp_path / "tokenizer.json"))
    yield scripted


def line(endpoint: Scripted, tmp_path: Path, problem: str, *more: object) -> list[str]:
    """Arguments of a run before the endpoint."""
    return [
        "solve", problem, *SMALL, "kind=math", "--preset", "paper", "--endpoint", endpoint.url,
        "--tokenizer", str(tmp_path / "tokenizer.json"), *map(str, more),
    ]  # fmt: skip


def zaya(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def start(arguments: list[str], **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "openzaya.cli", *arguments]
    return subprocess.Popen(
        command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    )


# What comes out.


def test_answers_alone_are_on_stdout(endpoint: Scripted, tmp_path: Path) -> None:
    done = start(line(endpoint, tmp_path, "6 * 7?", "prices.decode=2"))
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (0, "42\n"), err
    assert "round 2: " in err and "\x1b" not in err
    assert "% agree" in err and "240 tokens written" in err and "cost 0.00048" in err
    assert len(endpoint.bodies) == ROLLOUTS
    asked = endpoint.bodies[0]["messages"][-1]["content"]
    assert asked == "6 * 7?\n\nGive the final answer in \\boxed{}."


def test_many_problems(endpoint: Scripted, tmp_path: Path) -> None:
    rows = [
        {"id": "a", "problem": "6 * 7?", "answer": "42"},
        {"id": "b/../b", "question": "7 * 6?", "answer": "so 42\n#### 41"},
        {"messages": [{"role": "system", "content": "Be brief."},
                      {"role": "user", "content": "say it in \\boxed{}"}]},
    ]  # fmt: skip
    file = tmp_path / "many.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    got = zaya(*line(endpoint, tmp_path, str(file), "--json", "--jobs", 2, "--out", tmp_path / "o"))
    assert got.exit_code == 0, got.stderr
    found = {r["id"]: r for r in map(json.loads, got.stdout.splitlines())}
    assert len(found) == 3 and set(found) > {"a", "b/../b"}
    assert found["a"]["correct"] == 1.0 and found["b/../b"]["correct"] == 0.0
    assert 0 < found["a"]["mean_correct"] <= 1 and found["a"]["usage"]["generations"] == ROLLOUTS
    assert "right on 2 problems: answers 50.0%" in got.stderr
    results = (tmp_path / "o" / "results.jsonl").read_text().splitlines()
    assert [json.loads(r) for r in results] == [json.loads(r) for r in got.stdout.splitlines()]
    assert len(list((tmp_path / "o" / "journals").iterdir())) == 3
    systems = [b["messages"][0] for b in endpoint.bodies if len(b["messages"]) == 2]
    assert len(systems) == ROLLOUTS and systems[0]["content"] == "Be brief.", "in every round"
    # The same line again would write over it; with --resume nothing is asked again.
    again = [*line(endpoint, tmp_path, str(file), "--out", tmp_path / "o")]
    refused = zaya(*again)
    assert refused.exit_code == 2 and "is not empty\ntry: add --resume" in refused.stderr
    count = len(endpoint.bodies)
    got = zaya(*again, "--resume")
    assert got.exit_code == 0 and len(endpoint.bodies) == count
    assert got.stdout.splitlines()[0] == "a\t42"


def test_no_answer_is_exit_1(endpoint: Scripted, tmp_path: Path) -> None:
    """Nobody ends thinking; nobody is let in."""
    endpoint.script = lambda s, *_: s.events(chunk("length", reasoning_content="hm, hm"))
    got = zaya(*line(endpoint, tmp_path, "6 * 7?", "--json"))
    row = json.loads(got.stdout)
    assert got.exit_code == 1 and row["answer"] is None and "none gives an answer" in row["refusal"]
    assert "no answer: 12 rollouts ended" in got.stderr
    endpoint.script = lambda *_: JSONResponse({"error": "no"}, 400)
    got = zaya(*line(endpoint, tmp_path, "6 * 7?", "retries=0"))
    assert (got.exit_code, got.stdout) == (1, "no answer\n")
    assert "failed: " in got.stderr and "400 no" in got.stderr


def test_a_model_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the README, with the recipe of the tiny family and a model that has learnt nothing."""
    folder = tmp_path / "runs" / "demo" / "rl"
    folder.mkdir(parents=True)
    alphabet = "".join(map(chr, range(32, 127))) + "\n"
    tokenizer = build_phrase_tokenizer({}, ["user\n", "assistant\n"], alphabet)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_experts=2,
        moe_intermediate_size=32, router_hidden_size=16, max_position_embeddings=1024,
        eos_token_id=tokenizer.im_end_id,
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(ZayaForCausalLM(config).initialise(0), folder)
    tokenizer.save(folder)
    recipes = Path(__file__).parents[2] / "recipes"
    (tmp_path / "recipes").symlink_to(recipes)
    monkeypatch.chdir(tmp_path)
    first = zaya("solve", "Spell this word backward (example: sun -> nus): planet", "--json")
    assert first.exit_code in (0, 1), first.stderr
    row = json.loads(first.stdout)
    assert row["usage"]["generations"] == 8 * 3 and row["usage"]["cached_tokens"] > 0
    again = json.loads(zaya("solve", row["problem"], "--json").stdout)
    for one in (row, again):
        for key in ("seconds", "rollout_seconds", "cached_tokens", "rounds"):
            one["usage"].pop(key)
    assert row == again, "the same seed writes the same"
    assert json.loads(zaya("solve", row["problem"], "--json", "seed=1").stdout) != again


# What is killed.


def ended(journal: Path) -> set[str]:
    """Rollouts that a journal knows to have ended."""
    if not journal.exists() or not journal.read_text().count("\n"):
        return set()
    events = read_events(journal)
    return {e.id for e in events if isinstance(e, CandEnd) and e.finish != "cancelled"}


def wait_for(condition: Any, seconds: float = 60) -> None:
    until = time.time() + seconds
    while not condition():
        assert time.time() < until, "it did not happen"
        time.sleep(0.02)


def test_a_killed_run_goes_on(endpoint: Scripted, tmp_path: Path) -> None:
    whole = zaya(*line(endpoint, tmp_path, "6 * 7?", "--json", "--journal", tmp_path / "whole"))
    assert whole.exit_code == 0
    journal = tmp_path / "cut.jsonl"
    for least in (1, 6):
        endpoint.script = Slow(0.6)
        run = start(line(endpoint, tmp_path, "6 * 7?", "--journal", journal, "--resume"))
        wait_for(lambda least=least: len(ended(journal)) >= least)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    before = ended(journal)
    assert 6 <= len(before) < ROLLOUTS
    endpoint.script, count = Slow(0.0), len(endpoint.bodies)
    got = zaya(*line(endpoint, tmp_path, "6 * 7?", "--json", "--journal", journal, "--resume"))
    assert got.exit_code == 0, got.stderr
    assert len(endpoint.bodies) - count == ROLLOUTS - len(before), "no finished one is made again"
    one, other = json.loads(whole.stdout), json.loads(got.stdout)
    for key in ("answer", "response", "votes", "agreement", "chosen"):
        assert one[key] == other[key]
    assert one["usage"]["decode_tokens"] == other["usage"]["decode_tokens"]
    # Negative control: another question does not go on with it.
    got = zaya(*line(endpoint, tmp_path, "7 * 7?", "--journal", journal, "--resume"))
    assert got.exit_code == 2 and "another run" in got.stderr


def test_an_interrupt_answers_from_what_there_is(endpoint: Scripted, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    endpoint.script = lambda s, body, n: Slow(0.0 if n <= 4 else 60.0)(s, body, n)
    run = start(line(endpoint, tmp_path, "6 * 7?", "--journal", journal))
    wait_for(lambda: len(ended(journal)) >= 4 and endpoint.open)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 130 and out == "42\n", err
    assert "interrupted: answering" in err and "stopped early, cancelled" in err
    assert "Traceback" not in err
    wait_for(lambda: endpoint.open == 0, 10)
    before, count = ended(journal), len(endpoint.bodies)
    endpoint.script = Slow(0.0)
    got = zaya(*line(endpoint, tmp_path, "6 * 7?", "--journal", journal, "--resume"))
    assert got.exit_code == 0 and len(endpoint.bodies) - count == ROLLOUTS - len(before)


def test_a_second_interrupt_ends_at_once(endpoint: Scripted, tmp_path: Path) -> None:
    """Also where the first one finds nothing to stop."""
    endpoint.script = Slow(60.0)
    run = start(line(endpoint, tmp_path, "6 * 7?"))
    wait_for(lambda: endpoint.open == 4)
    run.send_signal(signal.SIGTERM)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert run.returncode in (130, 143) and out in ("", "no answer\n")
    assert "Traceback" not in err and "interrupted" in err


# What is wrong.

FLAGS: list[tuple[list[str], str, str]] = [
    (["--preset", "papr"], "no preset is called 'papr'", "did you mean paper?"),
    (["--preset", "cpu", "--recipe", "x.toml"], "--preset and --recipe both", "give one"),
    (["--recipe", "nowhere.toml"], "nowhere.toml: no such file", ""),
    (["rouns=3"], "rouns: unknown key", "did you mean rounds?"),
    (["rounds=x"], "rounds: ", ""),
    (["tail=60"], "tail 60 is longer than the budget 50", ""),
    (["candidates=5"], "candidates 5 cannot be drawn from population 4", ""),
    (["context=80"], "round 1 may need", "lower tail"),
    (["limits.tokens=10"], "limits.tokens 10 is less than one rollout", "raise limits.tokens"),
    (["template=no"], "no template is called 'no'", "known:"),
    (["selection=best"], "needs a verifier", "selection=majority"),
    (["sampler.timeout=-1"], "sampler.timeout: ", ""),
    (["sampler.tiemout=1"], "sampler.tiemout: unknown key", "did you mean timeout?"),
    (["--model", "x"], "--model is a folder", "--model-name"),
    (["--tokenizer", "/nowhere"], "no tokenizer at /nowhere", "tokenizer.json"),
    (["--resume"], "--resume does not say where", "--journal FILE"),
    (["--journal", "a", "--out", "b"], "--journal and --out", "give one"),
    (["--journal", "."], ". is a folder", "--out"),
]


@pytest.mark.parametrize(("flags", "error", "hint"), FLAGS)
def test_what_cannot_be_done_costs_nothing(
    flags: list[str], error: str, hint: str, endpoint: Scripted, tmp_path: Path
) -> None:
    arguments = line(endpoint, tmp_path, "6 * 7?")
    if "--preset" in flags or "--recipe" in flags:
        at = arguments.index("--preset")
        del arguments[at : at + 2]
    got = zaya(*arguments, *flags)
    lines = got.stderr.splitlines()
    assert got.exit_code == 2 and got.stdout == "", got.output
    assert lines[0].startswith("error: ") and error in lines[0]
    assert not hint or hint in lines[1]
    assert not endpoint.bodies


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["--tokenizer", "x"], "--tokenizer is about an endpoint", "--endpoint URL"),
        (["--model-name", "x"], "--model-name is about an endpoint", "--endpoint URL"),
        (["--endpoint", "localhost:1"], "is no endpoint", "http://localhost:8000/v1"),
        (["--endpoint", "http://127.0.0.1:9/v1"], "127.0.0.1:9/v1: ", "see that the endpoint"),
    ],
)
def test_what_cannot_be_asked(arguments: list[str], error: str, hint: str) -> None:
    got = zaya("solve", "1+1?", "--preset", "cpu", *arguments)
    assert got.exit_code == 2 and error in got.stderr and hint in got.stderr


def test_an_endpoint_with_several_models(endpoint: Scripted, tmp_path: Path) -> None:
    rows = [{"id": "m"}, {"id": "n", "max_model_len": 60}]
    endpoint.routes["/v1/models"] = lambda _: JSONResponse({"data": rows})
    got = zaya(*line(endpoint, tmp_path, "6 * 7?"))
    assert got.exit_code == 2 and "has 2 models" in got.stderr and "it has m, n" in got.stderr
    got = zaya(*line(endpoint, tmp_path, "6 * 7?", "--model-name", "n"))
    assert got.exit_code == 2 and "more than the 60 that the model holds" in got.stderr
    assert not endpoint.bodies
    assert zaya(*line(endpoint, tmp_path, "6 * 7?", "--model-name", "m")).exit_code == 0


# What is asked.


def test_problems(tmp_path: Path) -> None:
    text = tmp_path / "one.txt"
    text.write_text("two\nlines\n")
    assert read(str(text)) == read("two\nlines")
    assert read("x" * 5000)[0].question == "x" * 5000, "longer than any name"
    assert read("who wrote a.txt? b.txt")[0].question.startswith("who")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"problem": "a"}\n{"problem": "a"}\n{"id": 7, "problem": "b", "answer": 3}\n')
    found = read(str(rows))
    assert len({a.id for a in found}) == 3 == len({a.file for a in found})
    assert (found[2].id, found[2].answer, found[2].file) == ("7", "3", "7.jsonl")
    dangerous = [Asked(n, ()).file for n in ("../x", "a/b", "a_b", ".", "é" * 300, "A" * 300)]
    assert len(set(dangerous)) == 6 and not any("/" in f or f[0] == "." for f in dangerous)
    asked = in_form((Message("user", "1?"),), "puzzle")
    assert "<answer>" in asked[0].content and in_form(asked, "puzzle") == asked


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.txt", " \n", "no problem in it"),
        ("a.jsonl", "", "no problem in it"),
        ("a.jsonl", "[1]", "a.jsonl:1 is no JSON object"),
        ("a.jsonl", '{"problem": "x"}\n{"id": 1}', "a.jsonl:2 holds no problem"),
        ("a.jsonl", '{"problem": 3}', "holds no problem"),
        ("a.jsonl", '{"messages": []}', "holds no problem"),
        ("a.jsonl", '{"messages": [{"role": "assistant", "content": "x"}]}', "holds no problem"),
        ("a.jsonl", '{"messages": "hi"}', "holds no problem"),
        ("a.jsonl", '{"id": "q", "problem": "x"}\n{"id": "q", "problem": "y"}', "twice"),
        ("a.jsonl", b"\xff", "not UTF-8"),
        (None, "gone.jsonl", "gone.jsonl: no such file"),
    ],
)
def test_bad_problems(name: str | None, text: str | bytes, match: str, tmp_path: Path) -> None:
    if name is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=match):
        read(str(tmp_path / name) if name is not None else str(text))


def test_stdin(endpoint: Scripted, tmp_path: Path) -> None:
    arguments = line(endpoint, tmp_path, "-")
    one = CliRunner().invoke(app, arguments, input="6 * 7?\n")
    assert (one.exit_code, one.stdout) == (0, "42\n")
    two = CliRunner().invoke(app, arguments, input='{"id": "a", "problem": "6 * 7?"}\n')
    assert (two.exit_code, two.stdout) == (0, "42\n")


# What is seen.


def test_the_live_view(endpoint: Scripted, tmp_path: Path) -> None:
    """On a terminal the rounds are drawn anew; the answer goes to stdout all the same."""
    endpoint.script = Slow(0.7)
    main, side = pty.openpty()
    run = start(
        line(endpoint, tmp_path, "6 * 7?"), stderr=side,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )  # fmt: skip
    os.close(side)
    seen = b""
    until = time.time() + 60
    while time.time() < until and (run.poll() is None or select.select([main], [], [], 0)[0]):
        if select.select([main], [], [], 0.1)[0]:
            try:
                seen += os.read(main, 65536)
            except OSError:  # the other side is closed
                break
    os.close(main)
    text = seen.decode("utf-8", "replace")
    assert run.communicate(timeout=10)[0] == "42\n" and run.returncode == 0, text
    assert "round 0" in text and "█" in text and "▒" in text and "let me see" in text
    assert text.rstrip().endswith(" s") and "% agree" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is there again"


def test_replay_shows_the_run_again(endpoint: Scripted, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    first = zaya(*line(endpoint, tmp_path, "6 * 7?", "--journal", journal))
    count = len(endpoint.bodies)
    again = zaya("replay", journal, "--speed", 0)
    assert again.exit_code == 0 and again.stdout == first.stdout == "42\n"
    assert again.stderr.splitlines()[-1] == first.stderr.splitlines()[-1]
    row = json.loads(zaya("replay", journal, "--speed", 0, "--json").stdout)
    assert row["answer"] == "42" and row["usage"]["generations"] == ROLLOUTS
    assert len(endpoint.bodies) == count
    gone = zaya("replay", tmp_path / "gone")
    assert gone.exit_code == 2 and "no such journal" in gone.stderr


def test_what_moves_a_cursor_is_not_written() -> None:
    from openzaya.cli.watch import title

    assert title("a\x1b[2Jb\nc") == "a [2Jb c"
