"""Votes: what a model answered about noisy copies of images, as integers, with all that identifies them.

Votes are stored once; every certificate (any norm, k, alpha) is a function of the file.
"""

from radii.storage.documents import software_versions
from radii.votes.file_format import FORMAT, LAW, decode_votes, identity_of, law_of, load_votes, plan_of
from radii.votes.image_identity import ImageIdentity
from radii.votes.merging import IDENTITY, check_same_law, merge
from radii.votes.record import ABSTAIN, PRECISIONS, Votes, check_outcomes, check_seen, join_ranges

__all__ = [
    "ABSTAIN",
    "FORMAT",
    "IDENTITY",
    "LAW",
    "PRECISIONS",
    "ImageIdentity",
    "Votes",
    "check_outcomes",
    "check_same_law",
    "check_seen",
    "decode_votes",
    "identity_of",
    "join_ranges",
    "law_of",
    "load_votes",
    "merge",
    "plan_of",
    "software_versions",
]
