"""`zaya eval`: a model, tasks, one method; scores with their errors, costs and gaps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from openzaya.config.evaluate import EvalConfig
    from openzaya.evals.writer import Writer

EXIT_INCOMPLETE = 1
RUNS = Path("runs/eval")


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="Run or weights folder, or an endpoint: http://localhost:8000/v1."),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK... key=value...", help="Names of --list, then overrides."),
    ] = None,
    rsa: Annotated[
        str | None, typer.Option(help="Reason by this preset of `zaya config rsa`.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Samples of each problem.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Problems of each task.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; by default under runs/eval.")] = None,
    model_name: Annotated[str | None, typer.Option(help="Model of the endpoint.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Delete what OUT holds, start again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Scores as one JSON object.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Name all tasks.")] = False,
    view: Annotated[
        Path | None, typer.Option(help="Open this run's logs in inspect's viewer.")
    ] = None,
    lm_eval: Annotated[
        list[str] | None, typer.Option("--lm-eval", help="A task of lm-eval, or a YAML file.")
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Training text to look for the tasks' questions in; measures nothing."),
    ] = None,
) -> None:
    """Measure MODEL on tasks. The same line again goes on where it stopped.

    Exit status: 0 everything has a verdict, 1 something has none (it is named beside the score),
    2 nothing could be done, 130 interrupted.
    """
    from openzaya.errors import ConfigError

    if list_:
        _list(as_json)
        return
    if view is not None:
        _view(view)
        return
    if model is None:
        raise ConfigError("no model is named", "zaya eval runs/demo/rl env:gcd, or --list")
    tasks = [w for w in words or [] if "=" not in w]
    lines = [w for w in words or [] if "=" in w]
    if against:
        _contamination([model, *tasks], lines, against, as_json)
        return
    if lm_eval:
        _likelihood(model, lm_eval, tasks, lines, limit, out, as_json)
        return
    if not tasks:
        raise ConfigError("no task is named", "`zaya eval --list` names all")
    _run(model, tasks, lines, rsa, epochs, limit, out, model_name, overwrite, as_json)


def _run(
    model: str,
    tasks: list[str],
    lines: list[str],
    rsa: str | None,
    epochs: int | None,
    limit: int | None,
    out: Path | None,
    name: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    import sys

    from openzaya.evals.harness import Harness
    from openzaya.run_dir import RunDir

    config, writer = configured(model, tasks, lines, rsa, epochs, limit, name)
    folder = out or RUNS / _slug(f"{writer.name}-{'-'.join(tasks)}-{config.method}")
    harness = Harness(config, writer)
    with RunDir.create(folder, config, resume=not overwrite, overwrite=overwrite) as run:
        shows = sys.stdout.isatty() and not as_json
        result = harness.run(run, "rich" if shows else "none")
    if as_json:
        typer.echo(json.dumps(brief(result)))
    else:
        for line in lines_of(result):
            typer.echo(line)
        typer.echo(f"{folder}: `zaya report {folder}`, `zaya eval --view {folder}`")
    if not all(t["whole"] for t in result["tasks"].values()):
        raise typer.Exit(EXIT_INCOMPLETE)


def configured(
    model: str,
    tasks: list[str],
    lines: list[str],
    rsa: str | None,
    epochs: int | None,
    limit: int | None,
    name: str | None,
) -> tuple[EvalConfig, Writer]:
    """The config of a command line, and who writes."""
    from openzaya.config.base import from_plain, to_plain
    from openzaya.config.evaluate import EvalConfig
    from openzaya.config.rsa import preset
    from openzaya.config.sampler import SamplerConfig
    from openzaya.errors import ConfigError

    is_url = "://" in model
    if name is not None and not is_url:
        raise ConfigError("--model-name is about an endpoint", "a folder holds one model")
    own = [line for line in lines if line.startswith("rsa.")]
    if own and rsa is None:
        raise ConfigError(f"{own[0]}: no method is named", "add --rsa PRESET")
    sampler = SamplerConfig(model=name if is_url else model, endpoint=model if is_url else None)
    table: dict[str, Any] = {
        "tasks": tasks,
        "model": name or model,
        "sampler": to_plain(sampler),
        "method": rsa or "single",
    }
    if rsa is not None:
        table["rsa"] = to_plain(preset(rsa, [line.removeprefix("rsa.") for line in own]))
    table |= {k: v for k, v in (("epochs", epochs), ("limit", limit)) if v is not None}
    config = from_plain(EvalConfig, table, [line for line in lines if line not in own])
    writer = _writer(config)
    return config.model_copy(update={"model": writer.name}), writer


def _writer(config: EvalConfig) -> Writer:
    from openzaya.evals.writer import endpoint_writer, sampler_writer

    if config.sampler.endpoint is not None:
        return endpoint_writer(config.sampler)
    from openzaya.cli.sampler import local_sampler

    assert config.sampler.model is not None
    folder = Path(config.sampler.model)
    return sampler_writer(local_sampler(folder), str(folder), config.sampler)


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """Without the problems, which are in the run's evaluation.json."""
    tasks = {
        name: {k: v for k, v in task.items() if k != "problems"}
        for name, task in result["tasks"].items()
    }
    return result | {"tasks": tasks}


def lines_of(result: dict[str, Any]) -> list[str]:
    """A line per score, and one per thing that is wrong with it."""
    lines = []
    for name, t in result["tasks"].items():
        lines.append(f"{name:18} {score_text(t)}")
        lines.append(f"{'':18} {cost_text(t)}")
        if t["vote"]:
            lines.append(f"{'':18} answer given: {_percent(t['vote'])}")
        for k, e in t["pass"].items():
            lines.append(f"{'':18} pass@{k} {_percent(e)}")
        if t["majority"]:
            lines.append(f"{'':18} maj@{t['majority']['k']} {_percent(t['majority'])}")
        lines += [f"{'':18} note: {note}" for note in t["notes"]]
        if not t["whole"]:
            low, high = (t["score"] or {"bounds": [0.0, 1.0]})["bounds"]
            lines.append(
                f"{'':18} INCOMPLETE: {t['failed_samples']} samples and {t['lost_draws']} draws "
                f"have no verdict; between {low:.1%} and {high:.1%} with them"
            )
            lines += [
                f"{'':18}   {f['id']} epoch {f['epoch']}: {f['why']}" for f in t["failures"][:5]
            ]
    return lines


def score_text(t: dict[str, Any]) -> str:
    if t["score"] is None:
        return "no score: nothing has a verdict"
    found = t["score"]["interval"]
    interval = f"95% {found[0]:.1%} .. {found[1]:.1%}" if found else "no interval: all alike"
    draws = t["n_draws"] / max(t["n_scored"], 1)
    return (
        f"{_percent(t['score'])}  {interval}  avg@{draws:g} over "
        f"{t['n_scored']} of {t['n_problems']} problems"
    )


def cost_text(t: dict[str, Any]) -> str:
    tokens = t["tokens"]
    return (
        f"truncated {t['truncated']:.1%}, unparseable {t['unparseable']:.1%}, "
        f"{tokens['written']:,} tokens written, {tokens['read']:,} read ({tokens['cached']:,} "
        f"cached), temperature {t['temperature']:g}, top-p {t['top_p']:g}, top-k {t['top_k']}, "
        f"max tokens {t['max_tokens']}"
    )


def _percent(e: dict[str, Any]) -> str:
    error = f" +- {e['stderr']:.1%}" if e["stderr"] is not None else ""
    return f"{e['mean']:.1%}{error}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text.rpartition("://")[2]).strip("-.")[:120]


def _list(as_json: bool) -> None:
    from openzaya.evals.tasks import REFUSED, TASKS

    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "name": t.name,
                        "about": t.about,
                        "k": t.k,
                        "temperature": t.sampling.temperature,
                        "top_p": t.sampling.top_p,
                        "top_k": t.sampling.top_k,
                        "max_tokens": t.max_tokens,
                        "hub": t.source and t.source.hub,
                        "rows": t.source and t.source.rows,
                    }
                    for t in TASKS.values()
                ]
            )
        )
        return
    for t in TASKS.values():
        s, source = t.sampling, t.source
        assert source is not None
        typer.echo(
            f"{t.name:18} avg@{t.k:<3} T {s.temperature:g} top-p {s.top_p:g} top-k {s.top_k:<3} "
            f"{source.hub}: {t.about}"
        )
    typer.echo("env:NAME@LEVEL     any environment of `zaya envs list`, its test split")
    for r in REFUSED.values():
        typer.echo(f"{r.name:18} not from here: {r.why}\n{'':18} {r.instead}")


def _view(folder: Path) -> None:
    """inspect's own viewer, until Ctrl-C."""
    from openzaya.errors import RunError
    from openzaya.evals.harness import LOGS

    logs = folder / LOGS
    if not logs.is_dir():
        raise RunError(f"{folder} holds no logs", "name the folder of an evaluation")
    from inspect_ai._view.view import view as inspect_view

    inspect_view(log_dir=str(logs))


def _contamination(tasks: list[str], lines: list[str], files: list[Path], as_json: bool) -> None:
    from openzaya.config.base import from_plain
    from openzaya.config.evaluate import EvalConfig
    from openzaya.evals.contamination import overlaps
    from openzaya.evals.data import load
    from openzaya.evals.tasks import task_of

    table = {"tasks": tasks, "model": "-", "sampler": {"model": "-"}}
    config = from_plain(EvalConfig, table, lines)
    found = {
        name: overlaps(
            load(task_of(name, config.params, config.limit), config.data.get(name)).items, files
        )
        for name in tasks
    }
    if as_json:
        typer.echo(json.dumps({name: o.to_json() for name, o in found.items()}))
    else:
        for name, o in found.items():
            for line in o.lines():
                typer.echo(f"{name}: {line}")
    if any(o.hits for o in found.values()):
        raise typer.Exit(EXIT_INCOMPLETE)


def _likelihood(
    model: str,
    names: list[str],
    tasks: list[str],
    lines: list[str],
    limit: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from openzaya.errors import ConfigError

    if "://" in model:
        raise ConfigError(
            "log-likelihoods need the weights here", "name a folder, or use lm-eval itself"
        )
    if tasks or lines:
        raise ConfigError(
            f"{(tasks + lines)[0]}: with --lm-eval, tasks are lm-eval's", "name each by --lm-eval"
        )
    from openzaya.evals.loglikelihood import run_lm_eval
    from openzaya.train.checkpoint import weights_folder

    result = run_lm_eval(weights_folder(Path(model)), names, limit)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "lm_eval.json").write_text(json.dumps(result, indent=2) + "\n")
    if as_json:
        typer.echo(json.dumps(result))
        return
    for name, numbers in result["results"].items():
        for key, value in numbers.items():
            typer.echo(f"{name:18} {key:22} {value}")
