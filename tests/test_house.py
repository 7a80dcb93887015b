"""House rules that no single module can keep alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIGHT = ("errors", "types", "chat", "config.model", "config.rsa", "tokenizer", "run_dir", "ttc")


def torch_is_loaded_by(*modules: str) -> bool:
    code = f"import sys, {', '.join(modules)}; sys.exit(3 if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return done.returncode == 3


def test_the_lower_floors_do_not_need_torch() -> None:
    assert not torch_is_loaded_by(*(f"openzaya.{name}" for name in LIGHT))


def test_the_torch_check_sees_torch() -> None:
    """Negative control."""
    assert torch_is_loaded_by("openzaya.errors", "torch")


def test_floors_import_only_downward() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_and_make_name_the_same_things() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "git must keep it executable"
    targets = (ROOT / "Makefile").read_text()
    for line in script.read_text().splitlines():
        if line.startswith("make "):
            assert f"\n{line.removeprefix('make ')}:" in targets
