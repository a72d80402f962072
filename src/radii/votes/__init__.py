"""Votes: the class counts of a model over noise samples of images, with all that identifies them.

Votes are stored once; every certificate, in any norm, for any k and alpha, is a function of the file.
"""

from radii.storage.documents import software_versions
from radii.votes.canary import INPUTS, Canary, canary_of, canary_pixels, check_canary, other_answers
from radii.votes.file_format import (
    FORMAT,
    MANIFEST,
    OPTIONAL,
    decode_votes,
    identity_of,
    load_votes,
    manifest_of_votes,
    noise_of,
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
    "INPUTS",
    "MANIFEST",
    "OPTIONAL",
    "PRECISIONS",
    "SHARED_FIELDS",
    "Canary",
    "ImageIdentity",
    "Precision",
    "Votes",
    "canary_of",
    "canary_pixels",
    "check_canary",
    "check_fingerprints",
    "check_outcomes",
    "check_same_manifest",
    "decode_votes",
    "identity_of",
    "join_ranges",
    "load_votes",
    "manifest_of_votes",
    "merge",
    "noise_of",
    "other_answers",
    "plan_of",
    "software_versions",
]
