"""The verbs that reason with a model by Markovian RSA: solve, and replay for what was reasoned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from openzaya.config.rsa import RSAConfig
    from openzaya.config.sampler import SamplerConfig
    from openzaya.ttc import Result

DEMO_MODEL, DEMO_RECIPE = "runs/demo/rl", Path("recipes/tiny/rsa.toml")
ENDPOINT_PRESET = "deploy"
"""The report's recommendation, where neither preset nor recipe is named."""
EXIT_NO_ANSWER = 1


def solve(
    problem: Annotated[
        str, typer.Argument(help="A text, a file with one, a .jsonl file of many, or - for stdin.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value of `zaya config rsa`, sampler.key=value of the sampler."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"Run or weights folder; by default {DEMO_MODEL}.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server, as in http://localhost:8000/v1.")
    ] = None,
    model_name: Annotated[str | None, typer.Option(help="Model of the endpoint.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="tokenizer.json for an endpoint that does not tokenize.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="paper, deploy, light, cpu, ...")] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file of the same keys.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object per problem.")] = False,
    journal: Annotated[Path | None, typer.Option(help="Keep the run of one problem here.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results and a journal per problem.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with what is there.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Problems at one time.")] = 1,
) -> None:
    """Answer PROBLEM by Markovian RSA: answers on stdout, how they came about on stderr.

    Ctrl-C answers from what there is, a second one ends at once. Exit status: 0 answered, 1 a
    problem has no answer, 2 nothing could be done, 130 interrupted.
    """
    import asyncio
    import signal
    from contextlib import nullcontext

    from openzaya.cli.problems import read
    from openzaya.cli.solving import Solving
    from openzaya.run_dir import RunDir

    sampler = _sampler(model, endpoint, model_name, tokenizer, overrides or [])
    config = _config(preset, recipe, endpoint, overrides or [])
    problems = read(problem)
    _check_places(len(problems), journal, out, resume)
    with nullcontext() if out is None else RunDir.create(out, config, resume=resume) as run:
        work = Solving(config, sampler, journal, run, as_json, jobs)
        try:
            results = asyncio.run(work.all(problems))
        except asyncio.CancelledError:  # the second signal
            kept = " --resume goes on with it" if journal or out else " it was not kept"
            typer.echo(f"ended at once;{kept}", err=True)
            raise typer.Exit(128 + (work.interrupted or signal.SIGINT)) from None
    if work.interrupted is not None:
        raise typer.Exit(128 + work.interrupted)
    if any(r is None or r.answer is None for r in results):
        raise typer.Exit(EXIT_NO_ANSWER)


def replay(
    journal: Path,
    speed: Annotated[float, typer.Option(min=0.0, help="Times as fast; 0: at once.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object.")] = False,
) -> None:
    """Show the run of JOURNAL again: its answer on stdout, how it came about on stderr."""
    import asyncio

    from rich.console import Console

    from openzaya.cli.watch import Progress, title, view_on
    from openzaya.ttc import play, read_events
    from openzaya.ttc import replay as result_of
    from openzaya.ttc.events import Event, RunStart

    result, start = result_of(journal), read_events(journal)[0]
    assert isinstance(start, RunStart)
    run = Progress(title(start.question), result.config)
    view = view_on(Console(stderr=True))

    def show(event: Event) -> None:
        run.hear(event)
        view.hear(run, event)

    view.open(run)
    try:
        asyncio.run(play(journal, show, speed))
    finally:
        view.close(run)
    answer = result.answer
    row = {"id": result.run_id, **row_of(result)}
    typer.echo(json.dumps(row, ensure_ascii=False) if as_json else answer or "no answer")
    if answer is None:
        raise typer.Exit(EXIT_NO_ANSWER)


def row_of(result: Result) -> dict[str, Any]:
    """A result as JSON."""
    return {
        "answer": result.answer,
        "response": result.response,
        "agreement": result.agreement,
        "votes": dict(result.votes),
        "chosen": None if result.chosen is None else result.chosen.id,
        "stop": result.stop,
        "detail": result.detail,
        "refusal": result.refusal,
        "saved_tokens": result.saved_tokens,
        "usage": result.cost.to_json(),
    }


def _sampler(
    model: str | None,
    endpoint: str | None,
    name: str | None,
    tokenizer: str | None,
    lines: list[str],
) -> SamplerConfig:
    from openzaya.config.base import Config, from_plain, to_plain
    from openzaya.config.sampler import SamplerConfig
    from openzaya.errors import ConfigError

    if endpoint is None and (name or tokenizer):
        given = "--model-name" if name else "--tokenizer"
        raise ConfigError(f"{given} is about an endpoint", "name one: --endpoint URL")
    if endpoint is not None and model is not None:
        raise ConfigError(
            "--model is a folder, and --endpoint has its own models",
            "give one of them; an endpoint's model is --model-name",
        )

    class Sampling(Config):
        sampler: SamplerConfig

    made = SamplerConfig(
        model=name if endpoint is not None else model or DEMO_MODEL,
        endpoint=endpoint, tokenizer=tokenizer,
    )  # fmt: skip
    own = [line for line in lines if line.startswith("sampler.")]
    return from_plain(Sampling, to_plain(Sampling(sampler=made)), own).sampler


def _config(
    preset: str | None, recipe: Path | None, endpoint: str | None, lines: list[str]
) -> RSAConfig:
    from openzaya.config.base import from_plain, load_recipe, to_plain
    from openzaya.config.demo import RSARecipe
    from openzaya.config.rsa import RSAConfig
    from openzaya.config.rsa import preset as preset_of
    from openzaya.errors import ConfigError

    own = [line for line in lines if not line.startswith("sampler.")]
    if preset is not None and recipe is not None:
        raise ConfigError("--preset and --recipe both say everything", "give one of them")
    if recipe is not None:
        return load_recipe(RSAConfig, recipe, own)
    if preset is not None or endpoint is not None:
        return preset_of(preset or ENDPOINT_PRESET, own)
    tiny = load_recipe(RSARecipe, DEMO_RECIPE).rsa()
    return from_plain(RSAConfig, to_plain(tiny), own)


def _check_places(problems: int, journal: Path | None, out: Path | None, resume: bool) -> None:
    """Nothing is written over, and nothing is gone on with unasked."""
    from openzaya.errors import ConfigError, RunError

    if journal is not None and out is not None:
        raise ConfigError("--journal and --out both keep the run", "give one of them")
    if journal is None and out is None and resume:
        raise ConfigError("--resume does not say where", "add --journal FILE or --out FOLDER")
    if out is not None and not resume and out.is_dir() and any(out.iterdir()):
        raise RunError(f"{out} is not empty", "add --resume to go on with it, or name another one")
    if journal is None:
        return
    if problems > 1:
        raise ConfigError(f"--journal keeps one run, there are {problems}", "use --out FOLDER")
    if journal.is_dir():
        raise RunError(f"{journal} is a folder", "name a file, or use --out")
    if journal.exists() and not resume:
        raise RunError(f"{journal} exists", "add --resume to go on with it, or name another file")
