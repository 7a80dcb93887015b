"""The child's side of `openzaya.envs.workers`: `python -m openzaya.envs.worker FD`.

The module that is served has `start(**options)` and a table CALLS of its public functions.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

GRACE_SECONDS = 5.0
"""A child whose parent was killed outright ends itself this long after its call was due."""


def main() -> None:
    pipe = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    hello = json.loads(pipe.recv_bytes())
    limit = hello["memory_mb"] * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        module = importlib.import_module(hello["module"])
        module.start(**hello["options"])
    except BaseException as error:
        _reply(pipe, {"broken": f"{hello['module']}: {_said(error)}"})
        return
    _reply(pipe, {})
    calls: dict[str, Callable[..., Any]] = module.CALLS
    while True:
        try:
            message = json.loads(pipe.recv_bytes())
        except EOFError:
            return
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends even a loop inside C code
        signal.setitimer(signal.ITIMER_REAL, message["timeout"] + GRACE_SECONDS)
        try:
            reply = {"result": calls[message["function"]](**message["arguments"])}
            data = json.dumps(reply).encode()
        except BaseException as error:  # SystemExit and RecursionError of foreign code as well
            data = json.dumps({"error": _said(error)}).encode()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        pipe.send_bytes(data)


def _reply(pipe: Connection, message: dict[str, Any]) -> None:
    pipe.send_bytes(json.dumps(message).encode())


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


if __name__ == "__main__":
    # A foreign library that prints must not find our pipe.
    os.set_inheritable(int(sys.argv[1]), False)
    main()
