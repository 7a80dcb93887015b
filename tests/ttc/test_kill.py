"""Kill -9 at random moments: no finished rollout is repeated, and the run is the unhurt one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def kills(trials: int, folder: Path) -> dict[str, int]:
    program = str(Path(__file__).with_name("kills.py"))
    done = subprocess.run(
        [sys.executable, program, str(trials), str(folder)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # one thread: it forks
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("trials", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_a_killed_run_repeats_no_finished_rollout(trials: int, tmp_path: Path) -> None:
    told = kills(trials, tmp_path)
    assert (told["trials"], told["repeated"], told["different"]) == (trials, 0, 0)
    assert told["kills"] > trials / 2, "else nothing was killed"
    assert told["rollouts"] > trials * 18, "what was on its way is made again"
