"""A run folder loses nothing, mixes nothing and never takes what is not its own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openzaya import run_dir
from openzaya.config.base import Config
from openzaya.errors import RunError
from openzaya.run_dir import RunDir


class Inner(Config):
    size: int = 1


class RunConfig(Config):
    steps: int = 5
    limit: int | None = 3
    inner: Inner = Inner()


CONFIG = RunConfig(limit=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run with one metric and one checkpoint file."""
    with RunDir.create(tmp_path / "runs" / "one", CONFIG) as run:
        run.log(1, loss=2.0)
        run.write_text("checkpoints/step_1/weights", "w")
    return tmp_path / "runs" / "one"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Somebody else's folder, with a config.toml that is not ours."""
    other = tmp_path / "site"
    (other / "posts").mkdir(parents=True)
    (other / "config.toml").write_text("title = 'my site'\n")
    return other


def listing(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def refused(path: Path, config: Config = CONFIG, **how: bool) -> RunError:
    with pytest.raises(RunError) as caught:
        RunDir.create(path, config, **how)
    assert "\n" not in str(caught.value) + caught.value.hint
    assert caught.value.hint
    return caught.value


def test_what_is_written_is_read_back(folder: Path) -> None:
    run = RunDir.open(folder)
    assert run.config(RunConfig) == CONFIG
    assert run.metrics() == [{"step": 1, "loss": 2.0}]
    run.write_json("result.json", {"a": [1, None]})
    assert run.read_json("result.json") == {"a": [1, None]}


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    with RunDir.create(tmp_path, CONFIG, resume=True) as run:
        assert run.metrics() == []


def test_an_existing_run_is_refused_and_left_alone(folder: Path) -> None:
    before = listing(folder)
    error = refused(folder)
    assert "--resume" in error.hint and "--overwrite" in error.hint
    assert listing(folder) == before


def test_resume_goes_on(folder: Path) -> None:
    with RunDir.create(folder, CONFIG, resume=True) as run:
        run.log(2, loss=1.0)
    assert [m["step"] for m in run.metrics()] == [1, 2]


def test_resume_with_another_config_names_the_keys(folder: Path) -> None:
    changed = RunConfig(limit=3, inner=Inner(size=2))
    assert "limit, inner.size differ" in refused(folder, changed, resume=True).message


def test_overwrite_starts_again(folder: Path) -> None:
    with RunDir.create(folder, RunConfig(steps=9), overwrite=True) as run:
        assert set(listing(folder)) == {"config.toml", ".lock"}
        assert run.config(RunConfig).steps == 9


def test_overwrite_does_not_follow_links(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (folder / "link").symlink_to(tmp_path / "precious")
    RunDir.create(folder, CONFIG, overwrite=True).close()
    assert (tmp_path / "precious" / "file").read_text() == "x"


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("with_config", [True, False])
def test_a_foreign_folder_is_never_touched(
    foreign: Path, how: dict[str, bool], with_config: bool
) -> None:
    if not with_config:
        (foreign / "config.toml").rename(foreign / "notes.txt")
    before = listing(foreign)
    assert "is not a run folder" in refused(foreign, **how).message
    assert listing(foreign) == before, "not even a lock file"


def test_resume_and_overwrite_contradict(folder: Path) -> None:
    assert "cannot both" in refused(folder, resume=True, overwrite=True).message


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    assert "is a file" in refused(tmp_path / "run").message


def test_open_refuses_what_is_missing_or_foreign(tmp_path: Path, foreign: Path) -> None:
    for path, reason in ((tmp_path / "nowhere", "no such run folder"), (foreign, "not a run")):
        with pytest.raises(RunError, match=reason):
            RunDir.open(path)


def test_a_missing_result_says_so(folder: Path) -> None:
    with pytest.raises(RunError, match=r"has no demo\.json"):
        RunDir.open(folder).read_json("demo.json")


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_two_processes_cannot_write(folder: Path, how: dict[str, bool]) -> None:
    script = (
        "import sys; from openzaya.run_dir import _acquire_lock; from pathlib import Path;"
        "_acquire_lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    before = listing(folder)
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert "another process is writing" in refused(folder, **how).message
        assert RunDir.open(folder).metrics(), "readers are welcome"
        holder.kill()
    # Negative control: the kernel gave the lock of the killed process back.
    assert listing(folder) == before
    RunDir.create(folder, CONFIG, resume=True).close()


def test_a_refused_create_gives_the_lock_back(folder: Path) -> None:
    refused(folder)
    RunDir.create(folder, CONFIG, resume=True).close()


def test_a_torn_last_line_is_dropped_and_not_glued(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert [m["step"] for m in RunDir.open(folder).metrics()] == [1]
    with RunDir.create(folder, CONFIG, resume=True) as run:
        run.log(2, loss=1.0)
    assert run.metrics() == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]


def test_a_torn_line_elsewhere_is_not_hidden(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo\n{"step": 3}\n')
    with pytest.raises(ValueError):
        RunDir.open(folder).metrics()


def test_rewind_drops_later_steps_only(folder: Path) -> None:
    with RunDir.create(folder, CONFIG, resume=True) as run:
        for step in (2, 3):
            run.log(step, loss=0.1 * step)
        run.rewind(2)
        assert [m["step"] for m in run.metrics()] == [1, 2]


def test_logging_needs_the_lock(folder: Path) -> None:
    with pytest.raises(AssertionError, match="opened for reading"):
        RunDir.open(folder).log(1)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    run = RunDir.open(folder)
    run.write_text("report.html", "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space"):
            run.write_text("report.html", "new")
    assert (folder / "report.html").read_text() == "old"
    assert not list(folder.glob(".*.tmp")), "half a file must not fill the disk further"
    run.write_text("report.html", "new")  # negative control: it was the disk
    assert (folder / "report.html").read_text() == "new"


def test_a_crash_before_the_config_was_written_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run_dir, "write_atomic", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            RunDir.create(tmp_path / "run", CONFIG)
    (tmp_path / "run" / ".config.toml.tmp").write_text("half")
    RunDir.create(tmp_path / "run", CONFIG).close()
