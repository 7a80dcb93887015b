"""Errors for people: one clear line, and a way out.

Everything a user can cause derives from `ZayaError`; the command line prints it as
``error: ...`` and ``try: ...`` and exits with 2. Broken invariants are asserts and keep
their traceback.
"""


class ZayaError(ValueError):
    """Root of all user-facing errors. `hint` says what to do about it (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)  # both in args: the error survives pickling
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(ZayaError):
    """A recipe, override or flag that cannot be used."""


class RunError(ZayaError):
    """A run folder that is missing, foreign, locked or in the way."""


class DataError(ZayaError):
    """Training data that cannot be read, built or packed."""


class CheckpointError(ZayaError):
    """Weights or training state that are missing, corrupt or of another shape."""


class EnvError(ZayaError):
    """An environment or verifier that cannot be built or does not keep its promises."""


class EvalError(ZayaError):
    """An evaluation that cannot be run as asked."""


class EngineError(ZayaError):
    """A generation request that the engine cannot serve."""
