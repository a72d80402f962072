"""Commands of radii in forks of a process that has imported all they need: many a minute, each within limits."""

import multiprocessing
import os
import resource
import sys
from pathlib import Path

from driven import kill
from patience import HANG, Hangs

MEMORY = 2**30
"""Bytes that a command may take beside its imports: radii takes at most 2048 per byte of a file (SECURITY.md)."""

SECONDS = 200
"""Seconds of a processor after which a command is taken to hang: it needs some three."""

context = multiprocessing.get_context("forkserver")
# modules that compute nothing when they are imported: threads of OpenMP do not outlive a fork
context.set_forkserver_preload(
    [
        *(
            "radii.cli",
            "radii.engine",
            "radii.training",
            "onnxruntime",
            "pandas",
            "pyarrow.compute",
            "pydantic",
        ),
        *("PIL.Image", "torch.export", "torch._dynamo", "torch._export.serde.serialize"),
    ]
)


class Forked:
    """A command in a process and a session of its own, in `folder`; what it prints goes to files beside `log`.

    `settings`: attributes of modules of radii, by their names, that it finds changed.
    """

    def __init__(self, *words: object, folder: Path, log: Path, settings: dict[str, object] | None = None):
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        given = (list(map(str, words)), folder, self._out, self._err, settings or {})
        self._process = context.Process(target=_run, args=given)
        self._process.start()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def printed(self) -> bytes:
        """What it printed to standard output."""
        return self._out.read_bytes()

    @property
    def said(self) -> str:
        """What it printed to standard error."""
        return self._err.read_text(errors="replace")

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        self._process.join(HANG)
        if self._process.exitcode is None:
            self.end()
            raise Hangs(f"no end in {HANG:g} seconds")
        return self._process.exitcode

    def end(self) -> None:
        if self.alive and self._process.pid:
            kill(self._process.pid)
        self._process.join()


def _run(words: list[str], folder: Path, out: Path, err: Path, settings: dict[str, object]) -> None:
    os.setsid()
    os.chdir(folder)
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    from radii.cli import main

    for name, value in settings.items():
        module, _, attribute = name.rpartition(".")
        setattr(__import__(module, fromlist=[attribute]), attribute, value)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    sys.argv = ["radii", *words]
    main()
