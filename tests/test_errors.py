"""Errors travel between processes whole, and are ValueErrors for whoever does not know us."""

from __future__ import annotations

import pickle

import pytest

from openzaya import errors
from openzaya.errors import ZayaError

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, ZayaError)]


def test_all_kinds_are_here() -> None:
    assert len(KINDS) >= 7


@pytest.mark.parametrize("kind", KINDS)
def test_message_and_hint_survive_pickling(kind: type[ZayaError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what happened", "what to do")))
    assert type(error) is kind
    assert (str(error), error.message, error.hint) == (
        "what happened",
        "what happened",
        "what to do",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_value_error(kind: type[ZayaError]) -> None:
    with pytest.raises(ValueError, match="what happened"):
        raise kind("what happened")


def test_an_error_that_hides_its_hint_from_args_loses_it() -> None:
    """Negative control: why `ZayaError.__init__` hands both to its base."""
    error = _Forgetful("what happened", "what to do")
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(error))


class _Forgetful(ValueError):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
