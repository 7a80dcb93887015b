"""Finding one's way through a config's annotations: what a key may hold, and what it may be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic


def options(annotation: Any) -> list[Any]:
    """The alternatives of a union, `Annotated` wrappers removed; one item for anything else."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return options(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [option for arg in get_args(annotation) for option in options(arg)]
    return [annotation]


def sections(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """The configs that a value with this annotation may be."""
    found = options(annotation)
    return [o for o in found if isinstance(o, type) and issubclass(o, pydantic.BaseModel)]


def child(annotation: Any, key: str | int) -> Any:
    """Annotation of the entry `key` of a config, table or list; None where there is none."""
    for section in sections(annotation):
        if key in section.model_fields:
            return section.model_fields[str(key)].annotation
    for option in options(annotation):
        origin, args = get_origin(option), get_args(option)
        if origin in (dict, Mapping):
            return args[1]
        if origin in (tuple, list, Sequence):
            return args[0]
    return None


def key_names(annotation: Any, loc: Sequence[str | int]) -> list[str]:
    """Keys that the config at `loc` inside `annotation` has."""
    for key in loc:
        annotation = child(annotation, key)
    return [name for section in sections(annotation) for name in section.model_fields]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint naming the known word nearest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else ""
