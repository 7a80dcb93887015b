"""Attacks on what a machine has little of: processes, memory, time, disk, patience."""

from __future__ import annotations

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.attacks.base import Attack, by_status
from openzaya.envs.sandbox.job import Status

SHORT = LimitsConfig(cpu_seconds=1, wall_seconds=2)
_SLOW_CPU = LimitsConfig(cpu_seconds=1, wall_seconds=30)
STOPPED = by_status(Status.TIMEOUT, Status.KILLED)
ENDED = by_status(Status.ERROR, Status.KILLED, Status.TIMEOUT)

RESOURCES = (
    Attack("fork-bomb", "resources", """
        count = 0
        try:
            while count < 200:
                if os.fork() == 0:
                    time.sleep(5)
                    os._exit(0)
                count += 1
        except OSError:
            pass
        told(count > 64, count)
    """),
    Attack("fork-bomb-double", "resources", """
        count = 0
        try:
            while count < 200:
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        time.sleep(5)
                    os._exit(0)
                os.wait()
                count += 1
        except OSError:
            pass
        alive = sum(name.isdigit() for name in os.listdir("/proc"))
        told(count > 64 and alive > 64, count)
    """),
    Attack("fork-storm", "resources", """
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """, STOPPED, limits=SHORT, control=False),
    Attack("thread-bomb", "resources", """
        import threading
        threads = []
        try:
            while len(threads) < 200:
                threads.append(threading.Thread(target=time.sleep, args=(1,), daemon=True))
                threads[-1].start()
        except RuntimeError:
            pass
        told(len(threads) > 64, len(threads))
        os._exit(0)
    """),
    Attack("memory-heap", "resources", """
        held = []
        try:
            for _ in range(12):
                held.append(bytearray(64 << 20))
        except MemoryError:
            pass
        got = len(held) << 6
        del held
        told(got >= 768, got)
    """),
    Attack("memory-mmap", "resources", """
        import mmap
        held = []
        try:
            for _ in range(12):
                held.append(mmap.mmap(-1, 64 << 20))
                held[-1].write(b"x" * (64 << 20))
        except (OSError, MemoryError):
            pass
        told(len(held) >= 12, len(held))
    """),
    Attack("memory-of-many-processes", "resources", """
        read, write = os.pipe()
        for _ in range(8):
            if os.fork() == 0:
                held = bytearray(b"x") * (300 << 20)
                os.write(write, b"x")
                time.sleep(3)
                os._exit(0)
        for _ in range(8):
            os.read(read, 1)
        told(True, "2.4 GB held")
    """, STOPPED),
    Attack("memory-in-scratch", "resources", """
        written = 0
        try:
            for folder in ("/dev/shm", os.getcwd()):
                for i in range(16):
                    with open(f"{folder}/@NONCE@{i}", "wb") as file:
                        for _ in range(4):
                            file.write(b"x" * (1 << 20))
                            file.flush()
                            written += 1
        except OSError:
            pass
        for folder in ("/dev/shm", os.getcwd()):
            for i in range(16):
                if os.path.exists(f"{folder}/@NONCE@{i}"):
                    os.unlink(f"{folder}/@NONCE@{i}")
        told(written > 40, written)
    """),
    Attack("memory-in-kernel-objects", "resources", """
        found = []
        if hasattr(os, "memfd_create"):
            try:
                os.memfd_create("x")
                found.append("memfd")
            except OSError:
                pass
        if libc.shmget(0, 1 << 20, 0o1600) >= 0:
            found.append("shm")
        told(found, found)
    """, control=False),
    Attack("large-file", "resources", """
        size = 0
        try:
            with open("@NONCE@", "wb") as file:
                file.truncate(64 << 20)
                size = 64
        except OSError:
            pass
        if os.path.exists("@NONCE@"):
            os.unlink("@NONCE@")
        told(size)
    """),
    Attack("stack", "resources", """
        sys.setrecursionlimit(1 << 30)
        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")
        Deep().x
    """, ENDED, control=False, quick=False),
    Attack("descriptors", "resources", """
        held = []
        try:
            for _ in range(100):
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        told(len(held) >= 100, len(held))
    """),
    Attack("raise-own-limits", "resources", """
        import resource
        raised = []
        for name in ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "STACK", "CORE"):
            kind = getattr(resource, f"RLIMIT_{name}")
            soft, hard = resource.getrlimit(kind)
            try:
                resource.setrlimit(kind, (soft + 1, hard + 1))
                raised.append(name)
            except (OSError, ValueError, OverflowError):
                pass
        told(raised, raised)
    """, control=False),
    Attack("processor-deaf-to-signals", "resources", """
        import signal
        for name in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        while True:
            pass
    """, by_status(Status.TIMEOUT), limits=_SLOW_CPU, control=False, quick=False),
    Attack("sleep", "resources", "time.sleep(60)", by_status(Status.TIMEOUT), limits=SHORT,
           control=False, quick=False),
    Attack("flood-stdout", "resources", """
        while True:
            os.write(1, b"x" * 65536)
    """, by_status(Status.KILLED), control=False),
    Attack("flood-stderr", "resources", """
        while True:
            os.write(2, b"x" * 65536)
    """, by_status(Status.KILLED), control=False),
    Attack("flood-result", "resources", """
        while True:
            os.write(3, b"x" * 65536)
    """, by_status(Status.KILLED), control=False),
    Attack("one-line-of-a-gigabyte", "resources", "print('x' * (1 << 30))", ENDED, control=False),
    Attack("closed-stdout", "resources", """
        for fd in range(4):
            os.close(fd)
        while True:
            pass
    """, by_status(Status.TIMEOUT), limits=SHORT, control=False, quick=False),
    Attack("late-words", "resources", """
        if os.fork() == 0:
            os.setsid()
            time.sleep(1)
            os.write(1, b"BROKEN")
        os._exit(0)
    """, by_status(Status.OK), control=False),
    Attack("daemon", "resources", """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for fd in range(4):
                    os.close(fd)
                time.sleep(60)
            os._exit(0)
        os.wait()
        told(False)
    """, control=False),
    Attack("many-files", "resources", """
        folder = os.getcwd()
        for i in range(20000):
            open(f"{folder}/{i}", "w").close()
        told(False)
    """, quick=False, control=False),
    Attack("folders-too-deep-to-remove", "resources", """
        for i in range(3000):
            os.mkdir("d")
            os.chdir("d")
        told(False)
    """, inputs=(b"", b""), control=False),
)  # fmt: skip
