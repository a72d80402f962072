"""Votes: the class counts of a model over noise samples of images, with all that identifies them.

Votes are stored once; every certificate, in any norm, for any k and alpha, is a function of the file.
"""

from radii.storage.documents import software_versions
from radii.votes.file_format import (
    FORMAT,
    MANIFEST,
    decode_votes,
    identity_of,
    load_votes,
    manifest_of_votes,
    plan_of,
)
from radii.votes.image_identity import ImageIdentity
from radii.votes.merging import SHARED_FIELDS, check_same_manifest, merge
from radii.votes.record import (
    ABSTAIN,
    PRECISIONS,
    Precision,
    Votes,
    check_fingerprints,
    check_outcomes,
    join_ranges,
)

__all__ = [
    "ABSTAIN",
    "FORMAT",
    "MANIFEST",
    "PRECISIONS",
    "SHARED_FIELDS",
    "ImageIdentity",
    "Precision",
    "Votes",
    "check_fingerprints",
    "check_outcomes",
    "check_same_manifest",
    "decode_votes",
    "identity_of",
    "join_ranges",
    "load_votes",
    "manifest_of_votes",
    "merge",
    "plan_of",
    "software_versions",
]
