"""A recipe says what runs, all of it, and a mistake in it is one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import PositiveInt, ValidationError, model_validator

from openzaya.config.base import Config, diff, load_recipe, to_toml
from openzaya.config.model import ModelConfig
from openzaya.config.rsa import RSAConfig
from openzaya.errors import ConfigError, DataError


class Kind(StrEnum):
    A = "a"
    B = "b"


class Inner(Config):
    size: PositiveInt = 3
    limit: PositiveInt | None = 7
    mode: Literal["none", "some"] = "some"

    @model_validator(mode="after")
    def _fits(self) -> Inner:
        if self.limit is not None and self.size > self.limit:
            raise DataError(f"size {self.size} is above limit {self.limit}", "raise limit")
        return self


class Outer(Config):
    steps: int
    rate: float = 0.5
    name: str = "x"
    flag: bool = False
    kind: Kind = Kind.A
    folder: Path = Path("runs/x")
    layers: tuple[int, ...] = ()
    inner: Inner = Inner()
    maybe: Inner | None = None
    weights: Mapping[str, float] = {}
    parts: Mapping[str, Inner] = {}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path / "run.toml", 'steps = 5\n[inner]\nsize = 4\n[weights]\n"a/b" = 1.0\n')


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refused(path: Path, *overrides: str, cls: type[Config] = Outer) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_recipe(cls, path, overrides)
    assert "\n" not in str(caught.value) + caught.value.hint
    return caught.value


def test_defaults_file_and_overrides_in_that_order(recipe: Path) -> None:
    config = load_recipe(Outer, recipe, ["inner.size=6", "weights.c=2", "maybe.limit=9"])
    assert (config.steps, config.rate) == (5, 0.5)
    assert config.inner == Inner(size=6)
    assert config.weights == {"a/b": 1.0, "c": 2.0}
    assert config.maybe == Inner(limit=9)
    assert load_recipe(Outer, recipe).inner.size == 4, "without the override the file decides"


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("rate=1", "rate", 1.0),
        ("rate=1e-3", "rate", 1e-3),
        ("name=plain words", "name", "plain words"),
        ('name="5"', "name", "5"),
        ("name=a=b", "name", "a=b"),
        ("name=1\nsteps=2", "name", "1\nsteps=2"),
        ("flag=true", "flag", True),
        ("kind=b", "kind", Kind.B),
        ("layers=[1, 2]", "layers", (1, 2)),
        ("folder=runs/y", "folder", Path("runs/y")),
        ("weights={z = 1.5}", "weights", {"a/b": 1.0, "z": 1.5}),
        ("parts.p.size=1", "parts", {"p": Inner(size=1)}),
        ("inner.limit=none", "inner", Inner(size=4, limit=None)),
        ("inner.mode=none", "inner", Inner(size=4, mode="none")),
    ],
)
def test_override_values_are_toml_or_bare_strings(
    recipe: Path, override: str, field: str, value: object
) -> None:
    config = load_recipe(Outer, recipe, [override])
    assert getattr(config, field) == value
    assert config.steps == 5


@pytest.mark.parametrize(
    ("override", "line", "hint"),
    [
        ("stepz=1", "stepz: unknown key (got 1)", "did you mean steps?"),
        ("inner.sise=1", "inner.sise: unknown key (got 1)", "did you mean size?"),
        ("maybe.sise=1", "maybe.sise: unknown key (got 1)", "did you mean size?"),
        ("parts.p.sise=1", "parts.p.sise: unknown key (got 1)", "did you mean size?"),
        ("inner.qqq=1", "inner.qqq: unknown key (got 1)", "known keys: size, limit, mode"),
        ("steps=x", "steps: input should be a valid integer (got 'x')", ""),
        ("steps='5'", "steps: input should be a valid integer (got '5')", ""),
        ("steps=true", "steps: input should be a valid integer (got True)", ""),
        ("steps=5.0", "steps: input should be a valid integer (got 5.0)", ""),
        ("steps=none", "steps: input should be a valid integer (got 'none')", "cannot be None"),
        ("inner=3", "inner: input should be an object (got 3)", ""),
        ("inner.size=-1", "inner.size: input should be greater than 0 (got -1)", ""),
        ("weights.b=x", "weights.b: input should be a valid number (got 'x')", ""),
        ("layers=['a']", "layers.0: input should be a valid integer (got 'a')", ""),
        ("inner.size=8", "inner: size 8 is above limit 7", "raise limit"),
        ("steps", "an override looks like section.key=value (got 'steps')", "equals sign"),
        ("inner..size=1", "an override looks like", "equals sign"),
        ("=1", "an override looks like", "equals sign"),
    ],
)
def test_a_bad_override_is_one_line_with_a_hint(
    recipe: Path, override: str, line: str, hint: str
) -> None:
    error = refused(recipe, override)
    assert error.message.startswith(f"command line: {line}")
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("stepz = 1", "stepz: unknown key (got 1)", "did you mean steps?"),
        ("rate = 1.0", "steps: required, but not given", ""),
        ("steps = 1\n[inner]\nsizes = 2", "inner.sizes: unknown key (got 2)", "mean size?"),
        ("steps = 1\nname = 5", "name: input should be a valid string (got 5)", ""),
        ("steps = 1\nrate = nan", "rate: input should be a finite number (got nan)", ""),
        ("steps = 1979-05-27", "steps: input should be a valid integer (got '1979", ""),
        ("steps = ", "not valid TOML: Invalid value (at", 'None is spelt "none"'),
        ("steps = 1\nrate = x", "not valid TOML: Invalid value (at line 2, column 8)", ""),
    ],
)
def test_a_bad_file_is_one_line_with_a_hint(
    tmp_path: Path, text: str, line: str, hint: str
) -> None:
    path = write(tmp_path / "run.toml", text)
    error = refused(path)
    assert error.message.startswith(f"{path}: {line}")
    assert hint in error.hint


def test_a_long_value_is_cut(recipe: Path) -> None:
    assert len(refused(recipe, f"steps={'x' * 500}").message) < 200


def test_a_missing_file_names_its_neighbour(recipe: Path) -> None:
    error = refused(recipe.with_name("rum.toml"))
    assert error.message == f"{recipe.with_name('rum.toml')}: no such file"
    assert error.hint == "did you mean run.toml?"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"steps = 1\n# \xff")
    assert refused(path).message == f"{path}: not UTF-8 text (byte 12)"


inner_configs = st.builds(
    Inner,
    size=st.integers(1, 5),
    limit=st.none() | st.integers(5, 9),
    mode=st.sampled_from(["none", "some"]),
)
outer_configs = st.builds(
    Outer,
    steps=st.integers(-(2**60), 2**60),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    name=st.text(st.characters(codec="utf-8")),
    flag=st.booleans(),
    kind=st.sampled_from(Kind),
    layers=st.lists(st.integers(0, 9)).map(tuple),
    inner=inner_configs,
    maybe=st.none() | inner_configs,
    weights=st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(0, 1), max_size=3),
    parts=st.dictionaries(st.sampled_from(["p", "q.r"]), inner_configs),
)


@given(config=outer_configs)
def test_toml_round_trip(tmp_path_factory: pytest.TempPathFactory, config: Outer) -> None:
    path = write(tmp_path_factory.mktemp("run") / "config.toml", to_toml(config))
    assert load_recipe(Outer, path) == config


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(),
        ModelConfig(sliding_layers=(0, 2), sliding_window=8, skip_expert="none"),
        RSAConfig(final_budget=None),
    ],
)
def test_real_configs_round_trip(tmp_path: Path, config: Config) -> None:
    path = write(tmp_path / "config.toml", to_toml(config))
    assert load_recipe(type(config), path) == config


def test_diff_names_dotted_keys() -> None:
    a = Outer(steps=1, weights={"x": 1.0}, inner=Inner(size=1))
    assert diff(a, a.model_copy()) == []
    b = Outer(steps=2, weights={"y": 1.0}, inner=Inner(size=2), maybe=Inner())
    assert diff(a, b) == ["steps", "inner.size", "weights.x", "weights.y", "maybe"]


@pytest.mark.parametrize("bad", [{"steps": 1, "stepz": 2}, {}])
def test_python_construction_is_as_strict_about_keys(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Outer(**bad)


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Inner().size = 4  # type: ignore[misc]
