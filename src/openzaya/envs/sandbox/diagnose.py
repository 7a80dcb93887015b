"""Why a sandbox cannot be built on this machine, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from openzaya.errors import EnvError

WITHOUT = "or name a service with sandbox.backend and sandbox.url"
DOCKER = (
    "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined"
)


def need(name: str, package: str) -> str:
    """Path of a program that a Debian package brings. EnvError if it is not there."""
    if sys.platform != "linux":
        raise EnvError(f"the sandbox needs Linux, this is {sys.platform}", WITHOUT)
    path = shutil.which(name, path=f"/usr/bin:/bin:/usr/local/bin:{os.environ.get('PATH', '')}")
    if path is None:
        raise EnvError(
            f"the sandbox needs {name}, which is not installed", f"apt-get install {package}"
        )
    return os.path.realpath(path) if name == "g++" else path


def explain(complaint: str) -> EnvError:
    """bubblewrap's complaint as what to do about it."""
    last = complaint.strip().splitlines()[-1] if complaint.strip() else "it ended without a word"
    message = f"the sandbox cannot be built: {last[:200]}"
    if "Unknown option" in last:
        return EnvError(message, "install bubblewrap 0.8 or later")
    for path, bad, command in (
        ("/proc/sys/kernel/unprivileged_userns_clone", "0",
         "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
         "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ):  # fmt: skip
        if _read(path) == bad:
            return EnvError(message, command)
    if in_container():
        return EnvError(message, f"start the container with: {DOCKER}")
    return EnvError(message, f"check `bwrap --unshare-all --ro-bind / / true`, {WITHOUT}")


def in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
