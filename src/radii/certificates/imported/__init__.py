"""Runs of other codes: certification logs, probability bounds and class counts, and what cannot be checked in them."""

from radii.certificates.imported.record import ImportedRun, load_run
from radii.certificates.imported.run import import_log, read_run
from radii.certificates.imported.stated import Stated

__all__ = ["ImportedRun", "Stated", "import_log", "load_run", "read_run"]
