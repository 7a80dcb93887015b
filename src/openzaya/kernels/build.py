"""Compile the kernels once per machine and load them.

The library is plain C behind `ctypes`: two seconds to compile, no dependence on PyTorch's ABI. It
must share PyTorch's OpenMP runtime, though: two runtimes would be two pools of spinning threads.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch

SOURCES = ("attention.cpp", "cca.cpp", "experts.cpp", "network.cpp", "rows.cpp", "sample.cpp")
FLAGS = (
    "-O3",
    "-march=native",
    "-mprefer-vector-width=512",
    "-std=c++17",
    "-fPIC",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
)
SWITCH = "OPENZAYA_KERNELS"
"""Environment variable: `off` leaves the kernels out."""


def compiler() -> str | None:
    """The C++ compiler that builds the kernels, if there is one."""
    return next((path for name in ("g++", "c++", "clang++") if (path := shutil.which(name))), None)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they are switched off or cannot be built."""
    cxx = compiler()
    if os.environ.get(SWITCH) == "off" or cxx is None:
        return None
    here = Path(__file__).parent
    text = b"".join(
        path.read_bytes() for path in sorted(here.iterdir()) if path.suffix in (".h", ".cpp")
    )
    key = hashlib.sha256(repr((text, FLAGS, cxx, _processor(), torch.__version__)).encode())
    target = _cache() / f"kernels-{key.hexdigest()[:20]}.so"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _compile(cxx, here, target)
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip().splitlines()
            warnings.warn(
                f"the CPU kernels do not compile here ({reason[0] if reason else cxx}); "
                f"PyTorch's own operations run instead (silence this with {SWITCH}=off)",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
    return ctypes.CDLL(str(target))


def _compile(cxx: str, here: Path, target: Path) -> None:
    """All sources to `target`, which appears whole or not at all."""
    openmp = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects = []
        for source in SOURCES:
            objects.append(f"{folder}/{source}.o")
            _run(cxx, *FLAGS, "-c", str(here / source), "-o", objects[-1])
        # Linking with -fopenmp would bring the system's runtime beside PyTorch's own.
        runtime = [str(openmp[0])] if openmp else ["-fopenmp"]
        _run(cxx, "-shared", *objects, "-o", f"{folder}/kernels.so", *runtime)
        os.replace(f"{folder}/kernels.so", target)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openzaya"


def _processor() -> str:
    """What -march=native depends on: a cache folder may be shared by unlike machines."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        return "".join(dict.fromkeys(x for x in lines if x.startswith(("model name", "flags"))))
    return platform.processor()
