"""A sandbox proves itself, or is refused with the reason and what mends it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from openzaya.config.sandbox import LimitsConfig, SandboxConfig
from openzaya.envs.sandbox import Program, Run, Status, diagnose, open_sandbox, use
from openzaya.envs.sandbox import open as opening
from openzaya.envs.sandbox.bubblewrap import Bubblewrap
from openzaya.envs.sandbox.local import Local
from openzaya.envs.sandbox.selftest import passed_before, remember, self_test
from openzaya.errors import EnvError


def test_bubblewrap_is_tested_once_per_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    backend, config = Bubblewrap(SandboxConfig()), SandboxConfig(folder=tmp_path)
    tested = []
    monkeypatch.setattr(opening, "self_test", lambda b: tested.append(b) or {})
    assert not passed_before(backend, tmp_path)
    opening.proven(backend, config)
    opening.proven(backend, config)
    assert tested == [backend]
    monkeypatch.setattr("openzaya.envs.sandbox.selftest.hash_of_attacks", lambda: 0)
    assert not passed_before(backend, tmp_path)  # a longer list must be held against again


def test_no_isolation_fails_the_self_test() -> None:
    """Negative control: the self-test sees a backend that does not isolate."""
    bad = self_test(Local())
    assert {"read-outside", "tcp", "see-others"} <= bad.keys()


def test_a_backend_that_does_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setattr(opening, "self_test", lambda b: {"trace": "BROKEN"})
    with pytest.raises(EnvError, match="does not hold: trace"):
        opening.proven(Local(), SandboxConfig(folder=tmp_path))
    assert not passed_before(Local(), tmp_path)
    remember(Local(), tmp_path)
    assert passed_before(Local(), tmp_path)


def test_a_harmless_program_must_work() -> None:
    class Useless(Local):
        def execute(self, program, inputs, limits, accept):
            return [Run(Status.KILLED) for _ in inputs]

    assert set(self_test(Useless())) == {"harmless"}


@pytest.fixture
def without_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    real = diagnose.shutil.which
    monkeypatch.setattr(
        diagnose.shutil, "which",
        lambda name, path=None: None if name == "bwrap" else real(name, path=path),
    )  # fmt: skip


def test_a_missing_program_names_its_package(without_bwrap: None) -> None:
    with pytest.raises(EnvError) as caught:
        open_sandbox(SandboxConfig(workers=7))
    assert "bwrap" in caught.value.message
    assert "apt-get install bubblewrap" in caught.value.hint
    assert "unsafe_local" in caught.value.hint


def test_unsafe_local_says_what_is_missing(
    without_bwrap: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox = open_sandbox(SandboxConfig(unsafe_local=True, workers=1))
    assert isinstance(sandbox.backend, Local)
    said = capsys.readouterr().err
    for word in ("UNSAFE", "bwrap", "network", "files", "processes"):
        assert word in said


def test_unsafe_local_is_not_used_where_a_sandbox_can_be_built() -> None:
    assert isinstance(open_sandbox(SandboxConfig(unsafe_local=True)).backend, Bubblewrap)


@pytest.mark.parametrize(
    ("path", "value", "command"),
    [
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "apparmor"),
    ],
)
def test_a_refusing_kernel_is_explained(
    path: str, value: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "_read", lambda p: value if p == path else "")
    error = diagnose.explain("bwrap: setting up uid map: Permission denied\n")
    assert "Permission denied" in error.message
    assert command in error.hint


def test_a_refusing_container_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "_read", lambda p: "")
    monkeypatch.setattr(diagnose, "in_container", lambda: True)
    error = diagnose.explain("bwrap: Can't mount proc on /newroot/proc: Operation not permitted")
    assert "docker run --security-opt" in error.hint


def test_a_start_that_fails_is_an_error_with_the_cause(bubblewrap: Bubblewrap) -> None:
    """bubblewrap's own words reach the user: here, of a file that is no interpreter."""
    broken = Bubblewrap(SandboxConfig())
    broken.python = dataclasses.replace(broken.python, executable=Path("/no/python"))
    with pytest.raises(EnvError, match="cannot be built: bwrap: execvp /no/python"):
        broken.execute(Program("python", ""), [b""], LimitsConfig(), lambda *_: True)


def test_importing_the_sandbox_is_light() -> None:
    code = "import sys, openzaya.envs.sandbox; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_chooses_the_sandbox_of_its_environments() -> None:
    try:
        use(SandboxConfig(workers=3))
        assert open_sandbox().workers == 3
        assert open_sandbox() is open_sandbox(SandboxConfig(workers=3))
    finally:
        use(SandboxConfig())
    assert open_sandbox() is open_sandbox(SandboxConfig())


def test_a_machine_that_is_short_of_something_is_no_refusal(tmp_path: Path) -> None:
    """Once it worked, a start that fails says nothing about the program."""
    backend = Bubblewrap(SandboxConfig())
    ok = backend.execute(Program("python", ""), [b""], LimitsConfig(), lambda *_: True)
    assert ok[0].status is Status.OK
    backend.bwrap = "/no/bwrap"
    for setpriv in (backend.setpriv, None):
        backend.setpriv = setpriv
        runs = backend.execute(Program("python", ""), [b""], LimitsConfig(), lambda *_: True)
        assert runs[0].status is Status.FAILED
