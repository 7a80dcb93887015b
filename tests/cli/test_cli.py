"""The command line: instant help, two lines for people, tracebacks for bugs."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from openzaya.cli import app as zaya
from openzaya.cli import config as config_verb
from openzaya.cli.app import ErrorBoundary
from openzaya.config.base import Config, load_recipe
from openzaya.config.model import ModelConfig
from openzaya.config.rsa import RSAConfig
from openzaya.errors import ConfigError, RunError


def run(*args: str, app: typer.Typer = zaya) -> Result:
    return CliRunner().invoke(app, args)


def raiser(error: BaseException) -> typer.Typer:
    """A `zaya` whose only verb raises `error`."""
    app = typer.Typer(cls=ErrorBoundary)

    @app.callback()
    def root(debug: bool = typer.Option(False, "--debug")) -> None: ...

    @app.command()
    def verb() -> None:
        raise error

    return app


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


HELP_IMPORTS = """
import sys
from typer.testing import CliRunner
from openzaya.cli import app
{extra}
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
heavy = {{"torch", "numpy", "pydantic", "matplotlib", "reasoning_gym"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_imports_nothing_heavy() -> None:
    done = python(HELP_IMPORTS.format(extra=""))
    assert done.returncode == 0, done.stderr
    assert python(HELP_IMPORTS.format(extra="import pydantic")).returncode == 1, "negative control"


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "openzaya.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for verb in ("doctor", "config"):
        assert verb in done.stdout


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (RunError("it broke", "mend it"), ["error: it broke", "try: mend it"]),
        (ConfigError("no hint"), ["error: no hint"]),
        (ExceptionGroup("tasks", [RunError("inside", "out")]), ["error: inside", "try: out"]),
    ],
)
def test_user_errors_are_two_lines_and_exit_2(error: Exception, lines: list[str]) -> None:
    result = run("verb", app=raiser(error))
    assert result.exit_code == 2
    assert result.stderr.splitlines() == lines
    assert result.stdout == ""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as Rust code says it
    ],
)
def test_a_full_disk_says_what_is_kept(error: Exception) -> None:
    result = run("verb", app=raiser(error))
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first.startswith("error: the disk is full") and "kept" in first
    assert second.startswith("try: free some space")


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "denied"), ValueError("a bug"), KeyError()]
)
def test_bugs_keep_their_traceback(error: Exception) -> None:
    result = run("verb", app=raiser(error))
    assert result.exception is error
    assert "error:" not in result.stderr


def test_interrupt_is_one_line_and_exit_130() -> None:
    result = run("verb", app=raiser(KeyboardInterrupt()))
    assert result.exit_code == 130
    assert result.stderr == ("interrupted; nothing is lost, run the same command again to go on\n")


@pytest.mark.parametrize("args", [("--debug", "verb"), ("verb", "--debug")])
@pytest.mark.parametrize("error", [RunError("it broke"), KeyboardInterrupt()])
def test_debug_shows_tracebacks(args: tuple[str, ...], error: BaseException) -> None:
    assert "Traceback" in run(*args, app=raiser(error)).stderr
    assert "Traceback" not in run("verb", app=raiser(error)).stderr


@pytest.mark.parametrize(("stage", "cls"), [("model", ModelConfig), ("rsa", RSAConfig)])
def test_config_prints_a_recipe_with_every_knob(
    tmp_path: Path, stage: str, cls: type[Config]
) -> None:
    result = run("config", stage)
    (tmp_path / "all.toml").write_text(result.stdout)
    assert load_recipe(cls, tmp_path / "all.toml") == cls()
    for name, field in cls.model_fields.items():
        assert f"\n{name} = " in result.stdout or f"\n[{name}]\n" in result.stdout
        for line in (field.description or "").splitlines():
            assert f"# {line}\n" in result.stdout
    assert any(field.description for field in cls.model_fields.values()), "docstrings are found"


def test_config_of_every_registered_stage_loads() -> None:
    for stage in config_verb.STAGES:
        assert run("config", stage).exit_code == 0


def test_config_of_an_unknown_stage_suggests_one() -> None:
    result = run("config", "modle")
    assert result.exit_code == 2
    assert result.stderr == "error: there is no stage modle\ntry: did you mean model?\n"


class Section(Config):
    size: int = 3
    """How big."""


class Stage(Config):
    steps: int
    """How long."""
    section: Section = Section(size=4)
    maybe: Section | None = None
    weights: dict[str, dict[str, float]] = {"a": {"b": 1.0}}  # noqa: RUF012
    layers: tuple[int, ...] = (1, 2)


def test_sections_show_the_defaults_of_the_stage(tmp_path: Path) -> None:
    lines = config_verb.describe(Stage)
    assert "# steps = ...  # required: int" in lines
    (tmp_path / "all.toml").write_text("\n".join(lines))
    assert load_recipe(Stage, tmp_path / "all.toml", ["steps=1"]) == Stage(steps=1)
    with pytest.raises(ConfigError, match="steps: required"):
        load_recipe(Stage, tmp_path / "all.toml")


def test_doctor_reports_this_machine() -> None:
    result = run("doctor")
    assert result.exit_code == 0
    for word in ("python", "torch", "device", "cores", "memory", "free disk", "reasoning-gym"):
        assert word in result.stdout
    assert "everything OpenZAYA needs is here" in result.stdout


def test_doctor_names_what_is_missing_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = run("doctor")
    assert result.exit_code == 1
    assert "missing: torch, reasoning-gym" in result.stdout
    assert "try: make install" in result.stdout
    assert "note    C++ compiler" in result.stdout, "without it, everything but compile works"
