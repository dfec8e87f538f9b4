"""Notebooks that mean harm: their cells, the points they get all the same, and words that say what happened.

`<…>` in an attack is replaced by paths and a port of the test's. Each has honest answers beside its attack
wherever the attack leaves room for them, so that full points say that it did no harm even to itself.
"""

from dataclasses import dataclass
from textwrap import dedent

from tests.grading.toy import HONEST, TOTAL, WORDS

FULL = 3  # of the questions that checks decide


@dataclass(frozen=True)
class Attack:
    cells: tuple
    points: float
    words: str


def beside(attack, words):
    """An attack in a cell of its own, before honest answers."""
    return Attack((dedent(attack), *HONEST), FULL, words)


def within(attack, words, points=1):
    """An attack in the cell of the function `double`; `total` is honest."""
    return Attack((dedent(attack), TOTAL, WORDS), points, words)


ATTACKS = {
    "hangs": beside("while True: pass", "took too long"),
    "hangs-whatever-comes": beside(
        """
        import time
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
        """,
        "could not be interrupted",
    ),
    "hangs-in-the-function": within(
        """
        def double(x):
            while True: pass
        """,
        "took too long",
    ),
    "fork-bomb": beside(
        """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
        """,
        "processes",
    ),
    "leaves": beside("import os\nos._exit(0)", "ended Python itself (exit code 0)"),
    "says-exit": beside("exit()", "SystemExit"),
    "crashes": beside("import ctypes\nctypes.string_at(0)", "Segmentation fault"),
    "crashes-in-the-function": within(
        """
        def double(x):
            import os
            os.abort()
        """,
        "the function crashed Python",
    ),
    "prints-a-gigabyte": beside("for _ in range(1000): print('x' * 1_000_000)", "printed more than 2 MiB"),
    "prints-below-python": beside(
        """
        import os
        for _ in range(1000):
            os.write(1, b'x' * 1_000_000)
        """,
        "printed more than 2 MiB",
    ),
    "takes-all-memory": beside(
        """
        x = []
        try:
            while True:
                x.append(bytearray(50_000_000))
        finally:
            x.clear()
        """,
        "MemoryError",
    ),
    "takes-memory-in-many": beside(
        """
        import os, time
        for _ in range(8):
            if os.fork() == 0:
                x = b'x' * 200_000_000
                time.sleep(60)
        time.sleep(60)
        """,
        "MiB of memory",
    ),
    "fills-the-disk": beside(
        """
        i = 0
        while True:
            open(f'file{i}', 'wb').write(b'x' * 10_000_000)
            i += 1
        """,
        "OSError",
    ),
    "deletes-everything": beside(
        """
        import shutil
        problems = []
        for path in (<submissions>, <out>, <solutions>, '/'):
            try:
                shutil.rmtree(path)
            except OSError as error:
                problems.append(error)
        raise problems[0]
        """,
        "Error",
    ),
    "writes-grades": beside("open(<out> + '/grades.csv', 'w').write('hostile')", "Error"),
    "reads-solutions": beside("raise ValueError(open(<solutions> + '/hidden_9.py').read())", "Error"),
    "reads-other-students": beside(
        """
        import os
        folder = <submissions>
        raise ValueError([open(os.path.join(folder, name)).read() for name in os.listdir(folder)])
        """,
        "Error",
    ),
    "calls-home": beside(
        "import socket\nsocket.create_connection(('127.0.0.1', <port>), timeout=3)", "Error"
    ),
    "writes-to-every-channel": within(
        """
        import os
        for number in range(3, 64):
            try:
                os.write(number, (1 << 60).to_bytes(8, 'big') * 3)
            except OSError:
                pass
        def double(x):
            return 2 * x
        """,
        "no answer",
    ),
    "answers-before-it-is-asked": within(
        """
        import os, socket, stat
        from cleanprio_lib.grading import transport
        for number in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    channel = socket.socket(fileno=os.dup(number))
                    for _ in range(9):
                        transport.send(channel, {'error': None, 'outputs': (7.0,), 'changed': []})
            except OSError:
                pass
        """,
        "double gives 7.0",
        points=0,
    ),
    "patches-everything": within(
        """
        import json, numpy, torch
        from cleanprio_lib import checks
        from cleanprio_lib.checks import checking, judging
        for module in (checks, checking):
            module.judged = module.check = module.score = lambda *_, **__: None
        judging.wrong_numbers = judging.each = lambda *_, **__: None
        torch.equal = torch.allclose = numpy.allclose = numpy.array_equal = lambda *_, **__: True
        json.loads = json.dumps
        def double(x):
            return x
        """,
        "ended Python itself (exit code 1)",
        points=0,
    ),
    "redefines-the-checker": within(
        """
        import numpy, torch
        from cleanprio_lib import checks
        from cleanprio_lib.checks import checking, judging
        for module in (checks, checking):
            module.judged = module.check = module.score = lambda *_, **__: None
        judging.wrong_numbers = judging.each = lambda *_, **__: None
        torch.equal = torch.allclose = numpy.allclose = numpy.array_equal = lambda *_, **__: True
        def double(x):
            return x
        """,
        "double gives",
    ),
    "returns-a-liar": within(
        """
        class Liar(float):
            __hash__ = float.__hash__
            def __eq__(self, other):
                return True
            def __float__(self):
                return 0.0
        def double(x):
            return Liar(x)
        """,
        "double gives",
    ),
    "returns-a-stranger": within(
        """
        class Bomb:
            def __reduce__(self):
                return (exec, ('raise SystemExit',))
            def __eq__(self, other):
                return True
        def double(x):
            return Bomb()
        """,
        "returned a Bomb",
    ),
    "returns-too-much": within(
        """
        import numpy
        def double(x):
            return numpy.zeros(1_000_000)
        """,
        "larger than 4 MiB",
    ),
    "leaves-a-daemon": beside(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        1 / 0
        """,
        "ZeroDivisionError",
    ),
    "kills-all-it-can": beside(
        """
        import os
        for process in (os.getppid(), 1, -1):
            try:
                os.kill(process, 9)
            except OSError:
                pass
        1 / 0
        """,
        "ZeroDivisionError",
    ),
    "unmasks-itself": beside(
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        libc.unshare(0x10000000 | 0x00020000)
        for path in (<solutions>, '/student', '/proc', '/'):
            libc.umount2(path.encode(), 2)
            libc.mount(None, path.encode(), None, 32 | 4096, None)
        for path in (<solutions> + '/hidden_9.py', <out>, '/etc/shadow', '/root/.bashrc', '/home'):
            assert not os.path.exists(path), path
        try:
            open('/usr/mine', 'w')
        except OSError:
            1 / 0
        """,
        "ZeroDivisionError",
    ),
}
