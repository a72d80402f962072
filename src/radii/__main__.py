"""The command `radii`, also `python -m radii`."""

import os
import signal
from typing import Any


def main() -> None:
    """Run the command line; Ctrl-C ends it with one sentence, even while it is imported."""
    # a shell starts commands in the background with Ctrl-C ignored: leave it so
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)
    # imported late, since it takes a second; from then on `radii.cli` handles signals
    from radii.cli import main as run

    run()


def _end(*_: Any) -> None:
    # at once, as C code that imports may drop an exception; nothing is open yet
    os.write(2, b"radii: interrupted before anything was begun\n")
    os._exit(130)


# processes that a command starts import this file, too
if __name__ == "__main__":
    main()
