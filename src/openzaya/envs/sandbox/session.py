"""The parent's end of a driver's channel: frames of four bytes of length and JSON."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from openzaya.envs.sandbox import driver
from openzaya.envs.sandbox.job import Call, Input
from openzaya.envs.sandbox.read import Lost

GRACE_SECONDS = 10.0
"""A driver that answers so long after a run's deadline was stopped by its candidate."""
LONGEST_FRAME = 64 << 20


class Session:
    """The parent's end of a driver's channel. `Lost` when there is no sensible answer in time."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        self.send(message, seconds + GRACE_SECONDS)
        return self.receive(seconds + GRACE_SECONDS)

    def send(self, message: Mapping[str, Any], seconds: float) -> None:
        body = json.dumps(message).encode()
        self._channel.settimeout(seconds)
        try:
            self._channel.sendall(len(body).to_bytes(4, "big") + body)
        except OSError as error:
            raise Lost(f"the sandbox does not listen ({error})") from None

    def receive(self, seconds: float) -> dict[str, Any]:
        self._channel.settimeout(seconds)
        size = int.from_bytes(self._exactly(4), "big")
        if size > LONGEST_FRAME:
            raise Lost("the sandbox sent too much")
        try:
            told = json.loads(self._exactly(size))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Lost("the sandbox sent no sense")
        return told

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = self._channel.recv(min(count, 1 << 20))
            except TimeoutError:
                raise Lost("the sandbox stopped answering") from None
            except OSError as error:
                raise Lost(f"the sandbox hung up ({error})") from None
            if not part:
                raise Lost("the sandbox ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def request(given: Input) -> dict[str, Any]:
    """The frame that hands an input to the driver."""
    if isinstance(given, Call):
        return {"args": driver.encode(given.args), "kwargs": driver.encode(dict(given.kwargs))}
    return {"stdin": given.hex()}
