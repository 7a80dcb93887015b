"""Attacks that reach for what is outside: the network, files, other processes, the kernel."""

from __future__ import annotations

from openzaya.envs.sandbox.attacks.base import Attack, by_words

NETWORK = (
    Attack("tcp", "network", """
        import socket
        try:
            socket.create_connection(("127.0.0.1", @PORT@), timeout=2)
            told(True)
        except OSError as error:
            told(False, error)
    """),
    Attack("sockets-of-all-families", "network", """
        import socket
        made = []
        for family in range(2, 46):
            for kind in (1, 2, 3):
                try:
                    socket.socket(family, kind)
                    made.append(family)
                except OSError:
                    pass
        told(made, made)
    """),
    Attack("udp-and-names", "network", """
        import socket
        got = []
        for family, address in ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2001:4860::8888")):
            try:
                socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (address, 53))
                got.append(address)
            except OSError:
                pass
        try:
            socket.getaddrinfo("pypi.org", 443)
            got.append("name")
        except OSError:
            pass
        told(got, got)
    """, control=False),
    Attack("unix-socket", "network", """
        import socket
        try:
            socket.socket(socket.AF_UNIX).connect("@BAIT@/socket")
            told(True)
        except OSError as error:
            told(False, error)
    """),
    Attack("abstract-socket", "network", """
        import socket
        try:
            socket.socket(socket.AF_UNIX).connect("\\0@NONCE@")
            told(True)
        except OSError as error:
            told(False, error)
    """),
    Attack("interfaces", "network", """
        names = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
        told(set(names) - {"lo"}, names)
    """, control=False),
)  # fmt: skip

FILES = (
    Attack("read-outside", "files", """
        got = []
        for path in ("@BAIT@/secret", "/etc/shadow", "/root", "/home", "/var", "/run", "/sys",
                     "/var/run/docker.sock", "/run/containerd", "/proc/1/root/etc", "/dev/mem"):
            for read in (os.listdir, lambda p: open(p, "rb").read(10)):
                try:
                    if read(path):
                        got.append(path)
                except OSError:
                    pass
        told([p for p in got if p != "/root" or os.listdir("/root") != [".pyenv"]], got)
    """),
    Attack("read-packages-and-tests", "files", """
        import importlib.util
        names = ("openzaya", "numpy", "pytest", "pydantic")
        got = [n for n in names if importlib.util.find_spec(n)]
        for root, folders, names in os.walk("/"):
            if root in ("/proc", "/sys"):
                folders.clear()
            got += [f"{root}/{n}" for n in folders + names if "openzaya" in n]
        told(got, got[:3])
    """, control=False, quick=False),
    Attack("write-everywhere", "files", """
        got = []
        folders = ["@BAIT@"] if os.path.exists("@BAIT@") else ["/"]
        if folders == ["/"]:
            for root, below, _ in os.walk("/"):
                if root.startswith(("/proc", "/tmp", "/dev/shm")) or root.count("/") > 4:
                    below.clear()
                else:
                    folders.append(root)
        for folder in folders:
            try:
                with open(f"{folder}/@NONCE@", "w"):
                    got.append(folder)
                os.unlink(f"{folder}/@NONCE@")
            except OSError:
                pass
        told(got, got[:3])
    """),
    Attack("links-and-dots", "files", """
        got = []
        for make in (os.symlink, os.link):
            try:
                make("@BAIT@/secret", "@NONCE@")
                got.append(open("@NONCE@").read())
            except OSError:
                pass
            if os.path.lexists("@NONCE@"):
                os.unlink("@NONCE@")
        for path in ("../" * 20 + "@BAIT@/secret", "/proc/self/root@BAIT@/secret",
                     "/proc/self/cwd/" + "../" * 20 + "@BAIT@/secret"):
            try:
                got.append(open(path).read())
            except OSError:
                pass
        told("@SECRET@" in got)
    """),
    Attack("environment", "files", """
        told("OPENZAYA_CANARY" in os.environ, sorted(os.environ))
    """),
    Attack("inherited-descriptors", "files", """
        import stat
        got = []
        for fd in range(1024):
            try:
                info = os.fstat(fd)
            except OSError:
                continue
            if fd > 3 or not stat.S_ISFIFO(info.st_mode):
                got.append(fd)
        told(got, got)
    """),
    Attack("driver-through-proc", "files", """
        got = []
        for path in ("/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/fd/3",
                     "/proc/1/root", "/proc/1/cwd", "/proc/1/stack", "/proc/1/syscall"):
            for flags in (os.O_RDONLY, os.O_RDWR):
                try:
                    os.close(os.open(path, flags))
                    got.append(path)
                except OSError:
                    pass
        try:
            got += os.listdir("/proc/1/fd")
        except OSError:
            pass
        told(got, got)
    """, control=False),
    Attack("devices", "files", """
        expected = {"null", "zero", "full", "random", "urandom", "tty", "console", "pts", "ptmx",
                    "shm", "fd", "stdin", "stdout", "stderr", "core"}
        told(set(os.listdir("/dev")) - expected, os.listdir("/dev"))
    """, control=False),
)  # fmt: skip

KERNEL = (
    Attack("kill-others", "kernel", """
        import signal
        for pid in (@VICTIM@, 1):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        told(False)
    """, control=False),
    Attack("see-others", "kernel", """
        pids = sorted(int(n) for n in os.listdir("/proc") if n.isdigit())
        told(len(pids) > 2, pids)
    """),
    Attack("trace", "kernel", """
        child = os.fork()
        if child == 0:
            time.sleep(10)
            os._exit(0)
        attached = libc.ptrace(16, child, 0, 0) == 0
        os.kill(child, 9)
        told(attached or libc.ptrace(0, 0, 0, 0) == 0)
    """),
    Attack("trace-driver", "kernel", """
        told(libc.ptrace(16, 1, 0, 0) == 0)
    """, control=False),
    Attack("memory-of-others", "kernel", """
        buffer = ctypes.create_string_buffer(8)
        class Vector(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
        here = Vector(ctypes.addressof(buffer), 8)
        libc.process_vm_readv.restype = ctypes.c_ssize_t
        got = libc.process_vm_readv(os.getpid(), ctypes.byref(here), 1, ctypes.byref(here), 1, 0)
        told(got == 8)
    """),
    Attack("user-namespace", "kernel", """
        child = os.fork()
        if child == 0:
            os._exit(libc.unshare(0x10000000) == 0)
        told(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1)
    """),
    Attack("namespaces-by-clone", "kernel", """
        import platform
        number = {"x86_64": 56, "aarch64": 220}[platform.machine()]
        got = []
        for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000,
                    0x40000000):
            pid = libc.syscall(number, 17 | bit, 0, 0, 0, 0)
            if pid == 0:
                libc._exit(0)
            if pid > 0:
                got.append(hex(bit))
        arguments = (ctypes.c_uint64 * 11)()
        arguments[0], arguments[4] = 0x10000000, 17
        pid = libc.syscall(435, ctypes.byref(arguments), ctypes.sizeof(arguments))
        if pid == 0:
            libc._exit(0)
        told(got or pid > 0, got)
    """),
    Attack("mount", "kernel", """
        child = os.fork()
        if child == 0:
            libc.unshare(0x10020000)
            os._exit(libc.mount(b"none", os.getcwd().encode(), b"tmpfs", 0, None) == 0)
        told(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1)
    """),
    Attack("remount", "kernel", """
        told(libc.mount(None, b"/usr/lib", None, 32 | 4096, None) == 0
             or libc.umount2(b"/proc", 2) == 0)
    """, control=False),
    Attack("dangerous-calls", "kernel", """
        import errno, platform
        x86 = platform.machine() == "x86_64"
        numbers = {"bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219),
                   "add_key": (248, 217), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
                   "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
                   "setns": (308, 268), "pivot_root": (155, 41), "open_tree": (428, 428),
                   "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
                   "kexec_load": (246, 104), "init_module": (175, 105), "personality": (135, 92),
                   "open_by_handle_at": (304, 265), "process_vm_writev": (311, 271),
                   "pidfd_getfd": (438, 438), "memfd_secret": (447, 447)}
        got = []
        for name, (first, second) in numbers.items():
            ctypes.set_errno(0)
            libc.syscall(first if x86 else second, 0, 0, 0, 0, 0, 0)
            if ctypes.get_errno() != errno.EPERM:  # any other answer is the kernel's own
                got.append(name)
        told(got, got)
    """, by_words),
    Attack("new-privileges", "kernel", """
        got = [name for name, call in (("uid", lambda: os.setuid(0)), ("gid", lambda: os.setgid(0)),
               ("groups", lambda: os.setgroups([0])), ("nice", lambda: os.nice(-5)))
               if not isinstance(attempt(call), OSError)]
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        caps = [k for k in ("CapEff", "CapPrm", "CapBnd", "CapAmb") if int(status[k], 16)]
        told(got or caps or status["NoNewPrivs"].strip() != "1" or os.getuid() == 0, got + caps)
    """.replace("got = [name", "def attempt(call):\n"
                "            try:\n                return call()\n"
                "            except OSError as error:\n                return error\n"
                "        got = [name", 1), control=False),
    Attack("terminal", "kernel", """
        import fcntl
        got = []
        for fd in range(4):
            try:
                fcntl.ioctl(fd, 0x5412, b"x")
                got.append(fd)
            except OSError:
                pass
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))
            got.append("tty")
        except OSError:
            pass
        told(got, got)
    """, control=False),
)  # fmt: skip
