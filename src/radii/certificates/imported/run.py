"""From the files of other codes to runs: logs of radii, folders of probability bounds, tables of class counts."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from radii.certificates.certify import Certificates
from radii.certificates.imported.arrays import (
    read_content,
    read_folder,
    read_npy,
    read_npz,
    read_table,
    read_text,
    whole_numbers,
)
from radii.certificates.imported.counts import counts_of_shares, published_splitting, votes_of_counts
from radii.certificates.imported.log import is_log, read_log
from radii.certificates.imported.mat import read_mat
from radii.certificates.imported.record import ImportedRun
from radii.certificates.imported.stated import EVERY, SEPARATE, STATED, UNIDENTIFIED, Stated
from radii.errors import InputError
from radii.noises import Noise
from radii.noises.norms import Norm, Unit, unit_of
from radii.storage.kinds import foreign, kind_of
from radii.votes import ABSTAIN, ImageIdentity, Votes

RADII = (
    "The {norm} radii are those of the log, computed by the other code; in other norms, radii are those of the largest "
    "balls within."
)
BOUNDS = (
    "Radii follow by the rules of radii from probability bounds in the log, which the other code computed."
)
NAMELESS = (
    "The log names no class where the classifier abstained: plain accuracy counts these as wrong ({images})."
)
HIDDEN = (
    "The file has no predicted labels, and the radius -1 wherever the prediction is wrong or abstains: plain accuracy "
    "counts these as wrong ({images})."
)
TIED = "Images whose prediction is tied between classes count as abstentions ({images})."


def import_log(
    path: str | Path,
    *,
    noise: Noise,
    shape: tuple[int, ...],
    n: int | None = None,
    alpha: float = 1e-3,
    norm: Norm = "l2",
    unit: Unit = "pixel",
    labels: np.ndarray | None = None,
    positions: slice = EVERY,
    data: ImageIdentity | None = None,
) -> Certificates | Votes:
    r"""Read what another code has certified: a log of radii, probability bounds, or class counts.

    Parameters
    ----------
    path
        One of: a log in text with the columns idx, label, predict, radius and correct, as Cohen et al. 2019 print it;
        a `.mat` file of MACER's code; a folder of rs4a with `preds.npy`, `prob_lb.npy` and `labels.npy`; class counts
        of images in `.npy`, `.npz` or CSV.
    noise
        Noise of the smoothed classifier.
    shape : channels, height, width
        Shape of one image.
    n : noise samples per image
        Their number; for counts, their sum.
    alpha : probability
        Error probability per image; passed over for counts.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the radii in a log, or in which bounds are certified; passed over for counts.
    unit : "feature" or "pixel"
        Unit that l0 counts.
    labels : `(images,)`
        True labels, for files without them.
    positions : slice
        Positions of the images in the data set, for files without them: `slice(500, None, 20)` begins at image 500
        and takes every 20th.
    data : ImageIdentity or None
        Data set of the images, for comparisons with other runs on it.

    Returns
    -------
    Certificates or Votes
        Certificates of the predicted labels for k = 1; votes, if the file holds counts. The field `unchecked` says
        what cannot be checked.

    Raises
    ------
    InputError
        If the file has another layout, contradicts itself, or has larger values than `n` samples can show at `alpha`.

    Notes
    -----
    Guarantee: that of `Certificates`, if the log is what it was stated to be. Rounded radii are lowered by half
    a unit of their last digit, and bounds in float32 to the next smaller number.

    Examples
    --------
    >>> import tempfile
    >>> import radii
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/sigma_0.25"
    ...     with open(path, "w") as log:
    ...         _ = log.write("idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    ...                       "0\t3\t3\t0.952\t1\t0:00:13.1\n" "20\t8\t-1\t0.0\t0\t0:00:12.9\n")
    ...     log = radii.import_log(path, noise=radii.Gaussian(sigma=0.25), shape=(3, 32, 32), n=100_000)
    >>> log.radius
    array([0.9515, 0.    ])
    >>> print(log.unchecked[-1])
    The log rounds radii to 3 digits: each was lowered by half a unit of its last digit, by 0.0005 at most.
    """
    stated = Stated(noise, shape, n, alpha, norm, unit_of(norm, unit), labels, positions, data)
    run = read_run(Path(path), stated)
    return run.certificates(norm, unit) if isinstance(run, ImportedRun) else run


def read_run(path: Path, stated: Stated) -> ImportedRun | Votes:
    """Return what `import_log` imports, before a norm is chosen."""
    if path.is_dir():
        arrays = read_folder(path)
        source = f"{path.name}, sha256:{digest_of(*(array.tobytes() for array in arrays.values()))}"
        return _of_folder(arrays, path, source, stated)
    content = read_content(path)
    source = f"{path.name}, sha256:{digest_of(content)}"
    kind = kind_of(content)
    if kind == "npy":
        return votes_of_counts({"counts": read_npy(content, path)}, path, source, stated)
    if kind in ("npz", "zip"):
        return votes_of_counts(read_npz(content, path), path, source, stated)
    if kind == "mat":
        return _of_mat(read_mat(content, path), path, source, stated)
    if other := foreign(content, "log", "tsv", "csv", "text"):
        raise InputError(f"{path} is {other}, and neither a log of radii nor a table of counts")
    text = read_text(content, path)
    return (
        _of_log(text, path, source, stated)
        if is_log(text)
        else votes_of_counts(read_table(text, path), path, source, stated)
    )


def digest_of(*contents: bytes) -> str:
    """Return the first 16 digits of the SHA-256 of contents, one after the other."""
    total = hashlib.sha256()
    for content in contents:
        # with its length: the same bytes in other pieces are another content
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()[:16]


def _of_log(text: str, path: Path, source: str, stated: Stated) -> ImportedRun:
    """Return the run of a log of radii."""
    log = read_log(text, path, whole=stated.norm == "l0")
    abstained = int((log.predicted == ABSTAIN).sum())
    notes = [
        RADII.format(norm=stated.norm),
        *([NAMELESS.format(images=abstained)] if abstained else []),
        *log.notes,
    ]
    return _run(
        log.index,
        stated.true_labels(log.true_label),
        log.predicted,
        log.radius,
        stated.norm,
        notes,
        source,
        stated,
    )


def _of_mat(arrays: Mapping[str, np.ndarray], path: Path, source: str, stated: Stated) -> ImportedRun:
    """Return the run of MACER's code: radii of the true label, without any other label."""
    if "hard" not in arrays:
        raise InputError(
            f"{path} must hold an array hard, the radii by votes; those of the mean softmax, soft, are not read"
        )
    radii = arrays["hard"]
    labels = stated.true_labels(None)
    if labels is None or labels.shape != radii.shape:
        raise InputError(f"state the true labels of the {len(radii)} images, which are not in {path}")
    missed = radii == -1
    notes = [
        RADII.format(norm=stated.norm),
        *([HIDDEN.format(images=int(missed.sum()))] if missed.any() else []),
    ]
    return _run(
        stated.index(len(radii)),
        labels,
        np.where(missed, ABSTAIN, labels),
        np.where(missed, 0.0, radii),
        stated.norm,
        notes,
        source,
        stated,
    )


def _of_folder(
    arrays: Mapping[str, np.ndarray], path: Path, source: str, stated: Stated
) -> ImportedRun | Votes:
    """Return the run of a folder of rs4a: of bounds, or of shares of all outcomes of splitting noise."""
    shares = arrays["preds"].astype(np.float64)
    images = len(shares) if shares.ndim == 2 else 0
    if not images or not np.all((shares >= 0) & (shares < np.inf)):
        raise InputError(
            f"preds.npy in {path} must hold shares of votes (images, classes) from 0; got shape {arrays['preds'].shape}"
        )
    inside = whole_numbers(arrays["labels"], f"labels.npy in {path}") if "labels" in arrays else None
    labels = stated.true_labels(inside)
    if labels is not None and (labels.shape != (images,) or labels.max() >= shares.shape[1]):
        raise InputError(
            f"true labels must be one for each of {images} images, below {shares.shape[1]} classes; "
            f"got shape {labels.shape}"
        )
    if "prob_lb" not in arrays:
        known = {"labels": labels} if labels is not None else {}
        noise, note = published_splitting(stated.noise)
        return votes_of_counts(
            {"counts": counts_of_shares(shares, noise, path), **known},
            path,
            source,
            replace(stated, noise=noise, labels=None),
            note,
        )
    lower = arrays["prob_lb"].astype(np.float64)
    if lower.shape != (images,) or not np.all((lower >= 0) & (lower <= 1)):
        raise InputError(
            f"prob_lb.npy in {path} must hold one probability for each of {images} images; got shape {lower.shape}"
        )
    if np.array_equal(lower, lower.astype(np.float32)):
        # rounded to the nearest float32, which may lie above
        lower = np.nextafter(lower.astype(np.float32), np.float32(0)).astype(np.float64)
    tied = (shares == shares.max(axis=1, keepdims=True)).sum(axis=1) > 1
    # which of tied classes the other code took depends on its processor
    predicted = np.where(tied, ABSTAIN, shares.argmax(axis=1))
    notes = [BOUNDS, *([TIED.format(images=int(tied.sum()))] if tied.any() else [])]
    return _run(stated.index(images), labels, predicted, lower, "", notes, source, stated)


def _run(
    index: np.ndarray,
    labels: np.ndarray | None,
    predicted: np.ndarray,
    value: np.ndarray,
    norm: str,
    notes: list[str],
    source: str,
    stated: Stated,
) -> ImportedRun:
    """Return the record of a run with one value for each image."""
    if stated.n is None:
        raise InputError("the number of noise samples is in no such log: state n, as it was used")
    noise, note = published_splitting(stated.noise)
    return ImportedRun(
        index=index,
        labels=labels,
        predicted=predicted,
        value=value,
        noise=noise,
        norm=norm,
        unit=stated.unit if norm else "feature",
        n=stated.n,
        alpha=stated.alpha,
        shape=stated.shape,
        data=stated.data,
        imported_from=source,
        name=stated.name,
        unchecked=(f"Imported from {source}.", STATED, SEPARATE, UNIDENTIFIED, *notes, *note),
    )
