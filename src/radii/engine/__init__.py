"""Votes as a job that survives interruptions: split into units, sampled by any process, stored in parts."""

from radii.engine.api import gather, vote
from radii.engine.job import Job
from radii.engine.parts import Parts
from radii.engine.run import Executor, LocalExecutor, Shard, run
from radii.engine.workers import Workers, check_workers

__all__ = [
    "Executor",
    "Job",
    "LocalExecutor",
    "Parts",
    "Shard",
    "Workers",
    "check_workers",
    "gather",
    "run",
    "vote",
]
