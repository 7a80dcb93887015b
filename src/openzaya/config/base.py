"""Recipes: frozen pydantic models, one TOML file per run, `section.key=value` overrides.

A recipe may start with ``extends = "family.toml"``: what several recipes share lives once, in
the family file, and each recipe's own keys win over it. TOML has no null, so ``"none"`` stands
for None wherever a field may be None. Left out: environment variables, interpolation, includes
of more than one base.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, TypeVar

import pydantic
import tomli_w

from openzaya.config.fields import child, did_you_mean, key_names, options
from openzaya.errors import ConfigError, ZayaError

COMMAND_LINE = "command line"
"""What an error names in place of a file when an override is to blame."""
GOT_WIDTH = 80
"""Longer values are cut in messages: one error, one line."""

C = TypeVar("C", bound="Config")
Loc = tuple[str | int, ...]


class Config(pydantic.BaseModel):
    """Base of every config: frozen, unknown keys refused, a string under a field documents it."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    how: ClassVar[tuple[str, ...]] = ()
    """Keys of how a run is carried out, not of what comes out: it may go on with other values."""


def load_recipe(
    cls: type[C], path: str | os.PathLike[str] | None, overrides: Sequence[str] = ()
) -> C:
    """Read the TOML file `path` as a `cls`, its `extends` bases below it, `overrides` above.
    Without a path, the overrides stand above the defaults.

    A family file serves several stages, so top-level keys of a base that `cls` does not have are
    dropped. Everywhere else a key that `cls` does not have is an error. Types are strict: "64"
    and 64.0 are no integers. Raises ConfigError, always one line, naming the file to edit.
    """
    table, origins = _read_chain(cls, Path(path), ()) if path is not None else ({}, {})
    return _resolve(cls, table, origins, overrides, str(path or "the command line"))


def from_plain(cls: type[C], table: Mapping[str, Any], overrides: Sequence[str] = ()) -> C:
    """What `to_plain` made a table of, `overrides` above. ConfigError as in `load_recipe`."""
    return _resolve(cls, json.loads(json.dumps(table)), {}, overrides, "the command line")


def _resolve(
    cls: type[C],
    table: dict[str, Any],
    origins: dict[Loc, str],
    overrides: Sequence[str],
    path: str,
) -> C:
    for line in overrides:
        _apply_override(table, origins, line)
    # Strict JSON is the mode that takes a list for a tuple and a string for an enum, and no more.
    text = json.dumps(_none_from_toml(cls, table), default=str)
    try:
        return cls.model_validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        raise _explain(cls, error, origins, path) from None


def to_toml(config: Config) -> str:
    """Every resolved value as TOML: `load_recipe` of it equals `config`."""
    return tomli_w.dumps(to_plain(config))


def diff(a: Config, b: Config) -> list[str]:
    """Dotted keys whose values differ, in the order of `a`."""
    return _diff(to_plain(a), to_plain(b), "")


def _diff(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str) -> list[str]:
    keys: list[str] = []
    for key in [*a, *(k for k in b if k not in a)]:
        left, right = a.get(key), b.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            keys += _diff(left, right, f"{prefix}{key}.")
        elif left != right or (key in a) != (key in b):
            keys.append(prefix + key)
    return keys


def to_plain(value: Any) -> Any:
    """The TOML form of a config or of a value in it."""
    if isinstance(value, Config):
        table = {}
        for name, field in type(value).model_fields.items():
            item = getattr(value, name)
            if item is not None:
                table[name] = to_plain(item)
            elif field.is_required() or field.get_default(call_default_factory=True) is not None:
                table[name] = "none"  # leaving it out would bring the default back
        return table
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _none_from_toml(annotation: Any, value: Any) -> Any:
    """`value` with "none" replaced by None wherever `annotation` lets it be None."""
    if value == "none" and NoneType in options(annotation):
        return None
    if isinstance(value, dict):
        return {k: _none_from_toml(child(annotation, k), v) for k, v in value.items()}
    if isinstance(value, list):
        return [_none_from_toml(child(annotation, i), v) for i, v in enumerate(value)]
    return value


def _read_chain(
    cls: type[Config], path: Path, seen: tuple[Path, ...]
) -> tuple[dict[str, Any], dict[Loc, str]]:
    """(merged table, which file each key came from) of a recipe and the bases below it."""
    table = _read_toml(path)
    origins: dict[Loc, str] = {}
    merged: dict[str, Any] = {}
    seen = (*seen, path.resolve())
    if "extends" in table:
        base = table.pop("extends")
        if not isinstance(base, str):
            raise ConfigError(
                f"{path}: extends: should be one file name (got {_short(base)})",
                'write extends = "family.toml", relative to the recipe',
            )
        base_path = Path(os.path.normpath(path.parent / base))
        if not base_path.is_file():
            raise _no_such_file(base_path, f"{path}: extends: no such file {base_path}")
        if base_path.resolve() in seen:
            raise ConfigError(
                f"{path}: extends: {base_path} extends this file in turn",
                "remove one `extends` line so that the chain ends",
            )
        below, below_origins = _read_chain(cls, base_path, seen)
        merged = {k: v for k, v in below.items() if k in cls.model_fields}
        origins = {loc: f for loc, f in below_origins.items() if loc[0] in merged}
    _merge(merged, table, origins, str(path), ())
    return merged, origins


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _no_such_file(path, f"{path}: no such file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        hint = 'strings need quotes, tables look like [section], None is spelt "none"'
        raise ConfigError(f"{path}: not valid TOML: {error}", hint) from None
    except UnicodeDecodeError as error:
        hint = "save the file as UTF-8 text"
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})", hint) from None


def _no_such_file(path: Path, message: str) -> ConfigError:
    names = [p.name for p in sorted(path.parent.glob("*.toml"))]
    guess = did_you_mean(path.name, names)
    return ConfigError(message, guess or "check the path; recipes are .toml files under recipes/")


def _merge(
    below: dict[str, Any],
    above: Mapping[str, Any],
    origins: dict[Loc, str],
    source: str,
    at: Loc,
) -> None:
    """Lay `above` over `below` in place, noting `source` for each key it brings."""
    for key, value in above.items():
        loc = (*at, key)
        origins[loc] = source
        if isinstance(value, Mapping):
            if not isinstance(below.get(key), dict):
                below[key] = {}
            _merge(below[key], value, origins, source, loc)
        else:
            below[key] = value


def _apply_override(table: dict[str, Any], origins: dict[Loc, str], override: str) -> None:
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"{COMMAND_LINE}: an override looks like section.key=value (got {_short(override)})",
            "write the dotted key, an equals sign and the value, without spaces",
        )
    value: Any = _parse_value(text.strip())
    for key in reversed(keys):
        value = {key: value}
    _merge(table, value, origins, COMMAND_LINE, ())


def _parse_value(text: str) -> Any:
    """`text` as a TOML value; what TOML cannot read is a bare string, so names need no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _explain(
    cls: type[Config], error: pydantic.ValidationError, origins: Mapping[Loc, str], path: str
) -> ConfigError:
    """The first problem as one line. Unknown keys go first: they cause the missing ones."""
    details = sorted(error.errors(), key=lambda d: d["type"] != "extra_forbidden")[0]
    loc: Loc = details["loc"]
    kind, reason, hint = details["type"], details["msg"], ""
    got = f" (got {_short(details['input'])})"
    if kind == "extra_forbidden":
        known = key_names(cls, loc[:-1])
        reason = "unknown key"
        hint = did_you_mean(str(loc[-1]), known) or f"known keys: {', '.join(known)}"
    elif kind == "missing":
        reason, got = "required, but not given", ""
    elif kind == "value_error":
        cause = details.get("ctx", {}).get("error")
        reason = str(cause)
        hint = cause.hint if isinstance(cause, ZayaError) else ""
        got = "" if isinstance(details["input"], dict) else got
    elif details["input"] == "none":
        hint = "this key cannot be None"
    origin = next((origins[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in origins), path)
    where = ": ".join([origin, ".".join(map(str, loc))] if loc else [origin])
    return ConfigError(f"{where}: {reason[:1].lower()}{reason[1:]}{got}".replace("\n", " "), hint)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= GOT_WIDTH else text[: GOT_WIDTH - 3] + "..."
