"""Attacks on the verdict: exits that look like success, answers that claim to be right, state kept
from one test for the next. Programs here are asked for 2 + 3 and cannot add."""

from __future__ import annotations

from collections.abc import Sequence

from openzaya.config.sandbox import LimitsConfig
from openzaya.envs.sandbox.attacks.base import RIGHT_SUM, Attack, by_answer, by_status, by_words
from openzaya.envs.sandbox.job import Run, Status


def _trick(name: str, code: str, kind: str = "checker", **other: object) -> Attack:
    """A candidate `solve(a, b)` that must not pass. The control is a test that asserts in the
    candidate's own process."""
    return Attack(name, kind, code, by_answer, (RIGHT_SUM,), "solve", **other)  # type: ignore[arg-type]


EXITS = tuple(
    _trick(name, code, "exit", control=control, limits=LimitsConfig(cpu_seconds=1, wall_seconds=2))
    for name, code, control in (
        ("sys-exit", "def solve(a, b): sys.exit(0)", True),
        ("os-exit", "def solve(a, b): os._exit(0)", True),
        ("exit-at-import", "os._exit(0)", True),
        ("system-exit-subclass", """
            class Done(SystemExit):
                code = 0
            def solve(a, b): raise Done
         """, True),
        ("base-exception", """
            class Odd(BaseException):
                def __str__(self): os._exit(0)
            def solve(a, b): raise Odd
         """, False),
        ("atexit", """
            import atexit
            atexit.register(lambda: os._exit(0))
            def solve(a, b): return None
         """, True),
        ("signal-handler", """
            import signal
            signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            def solve(a, b): time.sleep(1)
         """, True),
        ("excepthook", """
            sys.excepthook = lambda *_: os._exit(0)
            def solve(a, b): return None
         """, True),
        ("segfault", "def solve(a, b): ctypes.string_at(0)", False),
        ("abort", "def solve(a, b): os.abort()", False),
        ("kill-parent", "def solve(a, b): os.kill(os.getppid(), 9); time.sleep(1)", False),
        ("kill-all", "def solve(a, b): os.kill(-1, 9) if os.getuid() > 65533 else 0", False),
        ("stop-self", "def solve(a, b): os.kill(os.getpid(), 19) if os.getuid() > 65533 else 0",
         False),
    )
)  # fmt: skip

CHECKER = (
    _trick("says-passed", """
        print("ALL TESTS PASSED")
        print('{"value": 5, "correct": true, "reward": 1.0}')
        def solve(a, b): return None
    """, control=False),
    _trick("always-equal", """
        class Right:
            def __eq__(self, other): return True
        def solve(a, b): return Right()
    """),
    _trick("always-equal-int", """
        class Right(int):
            def __eq__(self, other): return True
            def __add__(self, other): return 5
            def __index__(self): return 5
            __hash__ = int.__hash__
        def solve(a, b): return Right(0)
    """),
    _trick("always-equal-str", """
        class Right(str):
            def __eq__(self, other): return True
            def __repr__(self): return "5"
            def __str__(self): return "5"
            __hash__ = str.__hash__
        def solve(a, b): return Right("")
    """),
    _trick("always-equal-list", """
        class Right(list):
            def __eq__(self, other): return True
            def __iter__(self): return iter([5])
        def solve(a, b): return Right()
    """),
    _trick("lying-class", """
        class Right:
            __class__ = int
            def __eq__(self, other): return True
            def __add__(self, other): return 5
        def solve(a, b): return Right()
    """),
    _trick("patched-builtins", """
        import builtins
        builtins.AssertionError = type("Quiet", (Exception,), {})
        builtins.isinstance = lambda *_: True
        builtins.abs = lambda x: 0
        def solve(a, b): return None
    """, control=False),
    _trick("patched-json", """
        import json
        json.dumps = lambda *_, **__: '{"value": 0}'
        json.loads = lambda *_, **__: {}
        def solve(a, b): return None
    """, control=False),
    _trick("patched-modules", """
        class Yes:
            def __getattr__(self, name): return self
            def __call__(self, *_, **__): return self
            def __eq__(self, other): return True
        for name in ("json", "unittest", "operator", "math"):
            sys.modules[name] = Yes()
        def solve(a, b): return None
    """, control=False),
    _trick("import-hook", """
        class Hook:
            def find_spec(self, *_): os._exit(0)
        sys.meta_path.insert(0, Hook())
        def solve(a, b): return None
    """, control=False),
    _trick("driver-frames", """
        def solve(a, b):
            frame = sys._getframe()
            while frame:
                for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
                    if isinstance(value, dict) and "expected" in value: return value["expected"]
                frame = frame.f_back
            return None
    """, control=False),
    _trick("pickle", """
        class Right:
            def __reduce__(self): return (eval, ("5",))
        def solve(a, b): return Right()
    """, control=False),
    _trick("two-results", """
        def frame(text): return len(text).to_bytes(4, "big") + text
        os.write(3, frame(b'{"value": 4}') + frame(b'{"value": 5}'))
        def solve(a, b): return None
    """, control=False),
    _trick("half-a-result", """
        os.write(3, (1 << 30).to_bytes(4, "big") + b'{"value": 5}')
        def solve(a, b): os._exit(0)
    """, control=False),
    _trick("odd-results", """
        os.write(3, (14).to_bytes(4, "big") + b'{"value":NaN} ')
        def solve(a, b): os._exit(0)
    """, control=False),
    _trick("nested-result", """
        text = b'{"value": ' + b"[" * 100000 + b"]" * 100000 + b"}"
        os.write(3, len(text).to_bytes(4, "big") + text)
        def solve(a, b): os._exit(0)
    """, control=False),
    _trick("frames-on-every-descriptor", """
        text = b'{"why": "", "signal": 0, "stdout": "", "value": "", "correct": true}'
        for fd in range(4, 256):
            try: os.write(fd, len(text).to_bytes(4, "big") + text)
            except OSError: pass
        def solve(a, b): return None
    """, control=False),
    _trick("expected-in-memory", """
        import gc
        def solve(a, b):
            for thing in gc.get_objects():
                if isinstance(thing, dict) and "expected" in thing: return thing["expected"]
    """, control=False),
)  # fmt: skip


def _same_twice(runs: Sequence[Run]) -> str:
    if any(run.status is not Status.OK or not run.stdout for run in runs):
        return "the attack did not run"
    return "" if len({run.stdout for run in runs}) == 1 else "differs from run to run"


TIMING = (
    _trick("late-answer", """
        def solve(a, b):
            time.sleep(3)
            return a + b
    """, "timing", limits=LimitsConfig(cpu_seconds=1, wall_seconds=1), control=False, quick=False),
    Attack("unread-input", "timing", "told(False)", by_words, (b"x" * (4 << 20),), control=False),
    Attack("hash-seed", "timing", "print(list({str(i) for i in range(50)}))", _same_twice,
           (b"", b"", b""), control=False),
    Attack("state-in-files", "timing", """
        folders = {os.getcwd(), "/dev/shm"}
        found = [folder for folder in folders if os.path.exists(f"{folder}/@NONCE@")]
        for folder in folders:
            if found:
                os.unlink(f"{folder}/@NONCE@")
            else:
                open(f"{folder}/@NONCE@", "w").close()
        told(found, found)
    """, by_words, (b"", b"")),
    Attack("state-in-a-process", "timing", """
        me = ("1", str(os.getpid()))
        others = [n for n in os.listdir("/proc") if n.isdigit() and n not in me]
        if os.fork() == 0:
            os.setsid()
            time.sleep(30)
            os._exit(0)
        told(others, others)
    """, by_words, (b"", b""), control=False),
    Attack("state-in-imports", "timing", """
        with open("sitecustomize.py", "w") as file:
            file.write("print('BROKEN')")
        with open("json.py", "w") as file:
            file.write("print('BROKEN')")
        os.environ["PYTHONPATH"] = os.getcwd()
        os.environ["PYTHONSTARTUP"] = "sitecustomize.py"
        import json
        told(False)
    """, by_words, (b"", b""), control=False),
)  # fmt: skip

CPP = (
    Attack("compiler-reads-files", "files", """
        #include <cstdio>
        __asm__(".globl secret\\nsecret: .incbin \\"@BAIT@/secret\\"\\n.byte 0");
        extern "C" const char secret[];
        int main() { std::printf("BROKEN %s", secret); }
    """, by_status(Status.ERROR), language="cpp", quick=False, control=False),
    Attack("compiler-never-ends", "resources", """
        template <int N> struct A { static const long v = A<N - 1>::v + A<N - 2>::v; A<N * 2> b; };
        int main() { return A<900000>::v; }
    """, by_status(Status.ERROR), language="cpp", quick=False, control=False),
    Attack("compiler-includes-without-end", "resources", '#include "/dev/zero"\nint main() {}',
           by_status(Status.ERROR), language="cpp", quick=False, control=False),
    Attack("binary-forks", "resources", """
        #include <cstdio>
        #include <unistd.h>
        int main() {
            int count = 0;
            while (count < 200) {
                int pid = fork();
                if (pid < 0) break;
                if (pid == 0) { sleep(5); _exit(0); }
                count++;
            }
            std::printf(count > 64 ? "BROKEN" : "HELD");
        }
    """, by_words, language="cpp", quick=False),
)  # fmt: skip
