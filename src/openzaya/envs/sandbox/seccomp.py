"""System calls that a candidate may not make.

Everything else of the sandbox is built from namespaces, and namespaces are as good as the kernel
code that can be reached from inside. So what a solution never needs and attacks often do is denied:
namespaces and mounts, tracing, kernel programs, memory that no limit counts, the network. A call
that is denied fails with EPERM; clone3 with ENOSYS, since its flags cannot be inspected and the C
library then falls back on clone, whose flags can.
"""

from __future__ import annotations

import ctypes.util
import errno
import functools
import os

from openzaya.errors import EnvError

DENIED = (
    # tracing, and other processes' memory and descriptors
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "move_pages", "migrate_pages",
    # programs in the kernel, its counters, keys and logs
    "bpf", "perf_event_open", "keyctl", "add_key", "request_key", "syslog", "lookup_dcookie",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    # namespaces and mounts
    "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig",
    "fsmount", "fspick", "move_mount", "open_tree", "mount_setattr", "open_by_handle_at",
    "name_to_handle_at", "fanotify_init", "quotactl", "quotactl_fd",
    # memory that outlives a process or is no part of its address space
    "memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "msgget", "semget", "mq_open",
    # the machine
    "acct", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "personality", "vhangup",
)  # fmt: skip
AF_UNIX = 1
NEW_NAMESPACE = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; a time namespace only clone3 and unshare can make."""
UNKNOWN = range(451, 512)
"""Numbers of calls younger than this list: as if the kernel did not have them."""


@functools.cache
def program() -> bytes:
    """The filter as the kernel reads it, for this machine's instruction set. EnvError without
    libseccomp. Calls of other instruction sets kill the process."""
    if ctypes.util.find_library("seccomp") is None:
        raise EnvError("the sandbox needs libseccomp", "apt-get install libseccomp2")
    try:
        import pyseccomp
    except ModuleNotFoundError:
        raise EnvError("the sandbox needs pyseccomp", "pip install 'openzaya[sandbox]'") from None
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    denied = pyseccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        try:
            number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
        except ValueError:
            number = -1
        if number >= 0:  # an instruction set does not have them all, nor does an old library
            rules.add_rule(denied, number)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for bit in range(32):
        if NEW_NAMESPACE >> bit & 1:
            flag = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 1 << bit, 1 << bit)
            rules.add_rule(denied, "clone", flag)
    for number in UNKNOWN:
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), number)
    for name in ("socket", "socketpair"):
        rules.add_rule(denied, name, pyseccomp.Arg(0, pyseccomp.NE, AF_UNIX))
    fd = os.memfd_create("seccomp")
    with os.fdopen(fd, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
