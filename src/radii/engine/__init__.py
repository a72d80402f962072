"""Votes as a job that survives anything: cut into units, drawn by whoever is there, kept in parts."""

from radii.engine.api import gather, vote
from radii.engine.job import Job, at_hand
from radii.engine.parts import Parts
from radii.engine.run import Executor, Here, Shard, run
from radii.engine.workers import Workers, check_workers

__all__ = [
    "Executor",
    "Here",
    "Job",
    "Parts",
    "Shard",
    "Workers",
    "at_hand",
    "check_workers",
    "gather",
    "run",
    "vote",
]
