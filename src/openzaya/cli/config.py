"""`zaya config STAGE`: every knob of a stage, as a recipe that may be saved and edited."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, get_args, get_origin

import typer

from openzaya.errors import ConfigError

STAGES = {
    "model": "openzaya.config.model:ModelConfig",
    "rsa": "openzaya.config.rsa:RSAConfig",
    "train": "openzaya.config.train:TrainConfig",
    "rl": "openzaya.config.rl:RLConfig",
    "cascade": "openzaya.config.cascade:CascadeConfig",
    "simulate": "openzaya.config.simulate:SimulateConfig",
    "demo": "openzaya.config.demo:DemoConfig",
}
"""Stage name -> where its config class lives; imported only when somebody asks for it."""


def config(
    stage: Annotated[str, typer.Argument(help=f"One of: {', '.join(STAGES)}.")],
) -> None:
    """Print every knob of STAGE with its default and what it does, as TOML."""
    from openzaya.config.fields import did_you_mean

    if stage not in STAGES:
        known = f"the stages are {', '.join(STAGES)}"
        raise ConfigError(f"there is no stage {stage}", did_you_mean(stage, list(STAGES)) or known)
    module, _, name = STAGES[stage].partition(":")
    typer.echo("\n".join(describe(getattr(importlib.import_module(module), name))))


def describe(cls: Any) -> list[str]:
    """Lines of a TOML document that loads to the defaults of the Config class `cls`."""
    return [*_comment(cls.__doc__), *_knobs(cls, (), {})]


def _knobs(cls: Any, at: tuple[str, ...], values: dict[str, Any]) -> list[str]:
    """Knobs of the section `at`. `values` are its defaults where they differ from `cls`'s own."""
    from pydantic_core import PydanticUndefined

    from openzaya.config.base import to_plain
    from openzaya.config.fields import sections

    lines: list[str] = []
    tables: list[str] = []  # after the plain knobs: in TOML a section ends where the next begins
    for name, field in cls.model_fields.items():
        value = to_plain(field.get_default(call_default_factory=True))
        value = values.get(name, value)
        comment = ["", *_comment(field.description)] if field.description else []
        below = sections(field.annotation)
        required = value is PydanticUndefined
        if below and (required or isinstance(value, dict)):
            header = ".".join((*at, name))
            defaults = {} if required else value
            tables += [
                "",
                *_comment(field.description),
                f"[{header}]",
                *_knobs(below[0], (*at, name), defaults),
            ]
        elif _holds_table(value):
            tables += ["", *_comment(field.description), *_toml((*at, name), value)]
        elif required:
            lines += [*comment, f"# {name} = ...  # required: {_kind(field.annotation)}"]
        elif value is None:
            lines += [*comment, f'{name} = "none"  # {_kind(field.annotation)}']
        else:
            knob = " ".join(_toml((name,), value))  # a long list takes several lines otherwise
            lines += [*comment, f"{knob}  # {_kind(field.annotation)}"]
    return lines + tables


def _holds_table(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) for item in items)


def _toml(path: tuple[str, ...], value: Any) -> list[str]:
    """TOML lines that set the key at `path` to `value`."""
    import tomli_w

    for key in reversed(path):
        value = {key: value}
    return tomli_w.dumps(value).splitlines()


def _comment(text: str | None) -> list[str]:
    return [f"# {line}".rstrip() for line in (text or "").strip().splitlines()]


def _kind(annotation: Any) -> str:
    """What may stand here, for instance `int or none`."""
    from openzaya.config.fields import options

    kinds: list[str] = []
    for option in options(annotation):
        if option is type(None):
            kinds.append("none")
        elif get_args(option) and not isinstance(get_origin(option), type):  # Literal
            choices = [str(choice) for choice in get_args(option)]
            kinds += choices if len(choices) > 1 else ["fixed"]
        else:
            kinds.append(option.__name__ if isinstance(option, type) else str(option))
    return " or ".join(kinds)
