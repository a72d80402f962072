"""Run a command beside busy loops, as on a machine that others use too: python tools/busy.py make test."""

import os
import signal
import subprocess
import sys

LOOPS = 2
LOOP = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
while os.getppid() == int(sys.argv[1]):
    pass
"""
"""A loop that ends with its parent, also where that is killed."""


def main() -> int:
    loop = [sys.executable, "-c", LOOP, str(os.getpid())]
    # a process per loop: threads of one would share a core
    loops = [subprocess.Popen(loop) for _ in range(LOOPS)]
    try:
        with subprocess.Popen(sys.argv[1:]) as command:
            # a terminal sends Ctrl-C to the command, too, which ends in its own way
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: command.terminate())
            return command.wait()
    finally:
        for process in loops:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
