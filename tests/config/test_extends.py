"""Recipes stand on family files: shared values live once, mistakes are still found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from openzaya.config.base import Config, load_recipe
from openzaya.errors import ConfigError


class Inner(Config):
    size: int = 3
    limit: int = 7


class Outer(Config):
    steps: int
    rate: float = 0.5
    inner: Inner = Inner()
    weights: Mapping[str, float] = {}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_recipe(Outer, path)
    return caught.value


def test_extends_merges_below_and_may_chain(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    write(tmp_path / "root.toml", "steps = 1\n[inner]\nlimit = 9\nsize = 2\n[weights]\na = 1.0")
    write(tmp_path / "family.toml", 'extends = "root.toml"\nrate = 0.25\n[inner]\nsize = 5')
    text = 'extends = "../family.toml"\nsteps = 3\n[weights]\nb = 2.0'
    config = load_recipe(Outer, write(tmp_path / "stage" / "run.toml", text))
    assert config.steps == 3
    assert config.rate == 0.25
    assert config.inner == Inner(size=5, limit=9)
    assert config.weights == {"a": 1.0, "b": 2.0}


def test_only_bases_may_hold_sections_of_other_stages(tmp_path: Path) -> None:
    family = write(tmp_path / "family.toml", "steps = 1\nother = 2\n[rsa]\npopulation = 4")
    child = 'extends = "family.toml"\n'
    assert load_recipe(Outer, write(tmp_path / "run.toml", child)).steps == 1
    # Negative controls: the same keys in the recipe, and a misspelt key inside a known section.
    assert (
        "other: unknown key" in refused(write(tmp_path / "bad.toml", child + "other = 2")).message
    )
    assert "other: unknown key" in refused(family).message
    write(family, "steps = 1\n[inner]\nsise = 2")
    error = refused(tmp_path / "run.toml")
    assert error.message == f"{family}: inner.sise: unknown key (got 2)", "names the file to edit"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ('extends = "a.toml"', "", "extends this file in turn"),
        ('extends = "b.toml"', 'extends = "a.toml"', "extends this file in turn"),
        ('extends = "c.toml"', "", "no such file"),
        ("extends = 3", "", "should be one file name (got 3)"),
    ],
)
def test_a_broken_chain_is_refused(tmp_path: Path, first: str, second: str, reason: str) -> None:
    write(tmp_path / "b.toml", second)
    error = refused(write(tmp_path / "a.toml", first))
    assert reason in error.message
    assert error.hint
