"""`zaya envs`: the environments, one of their problems, and whether they may be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from openzaya.types import Environment

envs_app = typer.Typer(no_args_is_help=True, help="Environments: list, show, try, admit.")

Name = Annotated[str, typer.Argument(help="A name of `zaya envs list`, or folder/file.py:Class.")]
Params = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="key=value, for the environment.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
SourceName = Annotated[
    str | None, typer.Option("--source", help="own, code, reasoning-gym, rlve or enigmata.")
]


@envs_app.command("list")
def list_(source: SourceName = None, as_json: AsJson = False) -> None:
    """Name every environment that can be had here, by source, and whether it is admitted."""
    import json

    from openzaya.envs.gate import table
    from openzaya.envs.registry import SOURCES, names

    found, known = names(source), table()
    rows = [
        {"name": name, "source": of, "admitted": _admitted(known.get(name))}
        for name, of in found.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for entry in SOURCES:
        members = [row for row in rows if row["source"] == entry.name]
        if source in (None, entry.name):
            note = entry.reason or f"{sum(r['admitted'] == 'yes' for r in members)} admitted"
            typer.echo(f"{entry.name}: {len(members)} environments, {note}")
            for row in members:
                mark = {"yes": " ", "no": "x", "not measured": "?"}[row["admitted"]]
                typer.echo(f"  {mark} {row['name']}")
    if not source:
        typer.echo("x failed admission, ? not measured: `zaya envs show NAME` says more")


@envs_app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Say where an environment comes from and what admission measured."""
    import json

    from openzaya.envs.gate import table
    from openzaya.errors import EnvError

    row = table().get(name)
    try:
        facts = _facts(_build(name, None))
    except EnvError:
        if row is None:
            raise
        facts = {"name": name, "source": row["source"]}  # measured, and refused
    if as_json:
        typer.echo(json.dumps(facts | {"admission": row}))
        return
    for key, value in facts.items():
        typer.echo(f"{key:15}{'none' if value is None else value}")
    typer.echo(f"{'admitted':15}{_admitted(row)}")
    for failure in row["failed"] if row else ():
        typer.echo(f"{'':15}{failure}")
    for difficulty, level in row["levels"].items() if row else ():
        guess = f"guess {level['guess']:.0%}" + (
            f" ({level['guess_text']})" if level["guess"] else ""
        )
        typer.echo(
            f"{'difficulty ' + difficulty:15}{level['distinct']} of {level['problems']} different, "
            f"{guess}, p99 {level['generate_p99_ms']} ms to make, {level['score_p99_ms']} to score"
        )


@envs_app.command("try")
def try_(
    name: Name,
    difficulty: Annotated[int, typer.Option("-d", min=0, help="Difficulty.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Which problem.")] = 0,
    answer: Annotated[str | None, typer.Option(help="Score this; - reads it from stdin.")] = None,
    param: Params = None,
    as_json: AsJson = False,
) -> None:
    """Print a problem and its solution, and score an answer."""
    import json
    import sys
    from dataclasses import asdict

    env = _build(name, param)
    problem = env.generate(seed, difficulty)
    oracle = env.oracle(problem)
    text = sys.stdin.read() if answer == "-" else answer
    score = None if text is None else env.score(problem, text)
    if as_json:
        typer.echo(
            json.dumps(
                asdict(problem)
                | {"private": dict(problem.private), "oracle": oracle and oracle.content}
                | {"score": score and asdict(score) | {"correct": score.correct}}
            )
        )
        return
    typer.echo(problem.prompt)
    typer.echo(f"\nsolution: {oracle.content if oracle else 'none is known'}")
    if score is not None:
        reason = f" ({score.reason})" if score.reason else ""
        typer.echo(f"score: {score.reward:g}, {score.outcome}{reason}")


@envs_app.command()
def admit(
    names: Annotated[list[str] | None, typer.Argument(help="Environments to measure.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them, or of --source.")] = False,
    source: SourceName = None,
    difficulties: Annotated[str, typer.Option(help="Comma-separated.")] = "0,3,10",
    seeds: Annotated[int, typer.Option(min=5, help="Problems per difficulty.")] = 30,
    param: Params = None,
    write: Annotated[
        bool, typer.Option(help="Put the rows into the table training reads.")
    ] = False,
    markdown: Annotated[Path | None, typer.Option(help="Page to put it into.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure environments and say which may be trained on; exits with 1 if one fails."""
    import json

    from openzaya.envs.admission import table
    from openzaya.envs.gate import path
    from openzaya.envs.registry import names as known
    from openzaya.errors import ConfigError, EnvError

    if bool(names) == all_:
        raise ConfigError("name environments, or say --all", "zaya envs admit --all --source own")
    found = {name: of for name, of in known(source).items() if of in table.COUNTED} if all_ else {}
    rows = {}
    for name in names or found:
        try:
            rows[name] = _measured(name, found.get(name), param, _integers(difficulties), seeds)
        except EnvError as error:
            if name in (names or ()):
                raise
            rows[name] = table.refused(found[name], error)
        if write:
            table.merge(path(), {name: rows[name]})  # row by row: a long run may be interrupted
        if not as_json:
            typer.echo(f"{'FAILED' if rows[name]['failed'] else 'ok':8}{name}")
            for failure in rows[name]["failed"]:
                typer.echo(f"{'':8}{failure}")
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        for of, (passed, measured) in table.counts(rows).items():
            typer.echo(f"{of}: {passed} of {measured} admitted")
    if markdown:
        table.show_in(markdown, table.merge(path(), rows) if write else rows)
    raise typer.Exit(int(any(row["failed"] for row in rows.values())))


def _measured(
    name: str, source: str | None, param: list[str] | None, difficulties: list[int], seeds: int
) -> dict[str, Any]:
    from openzaya.envs.admission import probe, table
    from openzaya.envs.registry import source_of

    seen = probe(name, _params(param), difficulties, seeds)
    return table.row_of(seen, source or source_of(name))


def _build(name: str, param: list[str] | None) -> Environment:
    from openzaya.envs.registry import build

    return build(name, _params(param))


def _params(param: list[str] | None) -> dict[str, Any]:
    """key=value as TOML reads it, or as text where TOML does not."""
    import tomllib

    from openzaya.errors import ConfigError

    params: dict[str, Any] = {}
    for item in param or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--param {item} is not key=value", "for instance -p min_terms=2")
        try:
            params[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            params[key] = value
    return params


def _integers(text: str) -> list[int]:
    from openzaya.errors import ConfigError

    if not all(part.strip().isdigit() for part in text.split(",")):
        raise ConfigError(f"--difficulties {text} are no whole numbers", "for instance 0,3,10")
    return [int(part) for part in text.split(",")]


def _facts(env: Environment) -> dict[str, Any]:
    top = getattr(env, "max_difficulty", None)
    return {
        "name": env.name,
        "family": env.family,
        "source": env.source,
        "licence": env.licence,
        "version": env.version,
        "max_difficulty": top,
    }


def _admitted(row: dict[str, Any] | None) -> str:
    return "not measured" if row is None else "no" if row["failed"] else "yes"
