"""Several processes on this machine that run one function of a test file together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Launch = Callable[..., None]

CHILD = """
import importlib.util, sys
import torch
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("cases", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["cases"] = module
spec.loader.exec_module(module)
getattr(module, sys.argv[2])(*sys.argv[3:])
import torch.distributed as dist
if dist.is_initialized():
    dist.barrier()
    dist.destroy_process_group()
"""


@pytest.fixture
def launch(request: pytest.FixtureRequest) -> Launch:
    """launch(ranks, "function", *texts) runs `function(*texts)` of this test file on each rank, and
    fails with the first rank's traceback."""

    def run(ranks: int, function: str, *texts: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-c", CHILD, str(Path(request.path)), function, *texts]
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
        children = [
            subprocess.Popen(
                command,
                env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for rank in range(ranks)
        ]  # fmt: skip
        outputs = [child.communicate(timeout=240)[0] for child in children]
        bad = [o for o, c in zip(outputs, children, strict=True) if c.returncode]
        # A rank that fails takes the others with it: only its own story has no broken connection.
        causes = [o for o in bad if "Connection closed by peer" not in o] or bad
        assert not bad, causes[0][-4000:]

    return run
