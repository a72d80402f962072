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
"""Busy as long as this process is there, however that one ends."""


def main() -> int:
    loop = [sys.executable, "-c", LOOP, str(os.getpid())]
    loops = [subprocess.Popen(loop) for _ in range(LOOPS)]
    try:
        with subprocess.Popen(sys.argv[1:]) as command:
            # a terminal sends Ctrl-C to the command, too, which ends in its own way
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: command.terminate())
            return command.wait()
    finally:
        for one in loops:
            one.kill()
            one.wait()


if __name__ == "__main__":
    sys.exit(main())
