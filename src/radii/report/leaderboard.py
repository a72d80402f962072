"""The conditions of a table's rows, as on a leaderboard: extra data, network, images, noise samples, alpha, year."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from radii.certificates.certify import Certificates
from radii.report.published import Published

HEADERS = ("extra data", "network", "images", "n", "α", "year")
"""Columns of a `Setting`, in the order of its cells."""
UNKNOWN = "–"
_WHOLE = "all"


@dataclass(frozen=True)
class Setting:
    """The conditions under which the shares of a row were measured.

    Parameters
    ----------
    group : the images that the row is about; rows of one group are about the same images, empty if these are unknown
    extra_data : training data beyond the training split, "none" without any, empty if unknown
    network : its architecture, empty if unknown
    images : number of test images
    n : noise samples per image
    alpha : error probability per image, 0 without sampling error
    year : of the publication
    bibkey : of the work in a BibTeX file, empty if there is none
    """

    group: str = ""
    extra_data: str = ""
    network: str = ""
    images: int | None = None
    n: int | None = None
    alpha: float | None = None
    year: int | None = None
    bibkey: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The values of `HEADERS` as text; a dash for an unknown one."""
        network = "" if self.network == "unknown" else self.network
        numbers = [f"{number:,}" if number else "" for number in (self.images, self.n)]
        # 0 is an error probability, where all outcomes of the noise were counted
        alpha = "" if self.alpha is None else f"{self.alpha:g}"
        texts = (self.extra_data, network, *numbers, alpha, str(self.year or ""))
        return tuple(text or UNKNOWN for text in texts)


def setting_of(certificates: Certificates, published: Iterable[Published] = ()) -> Setting:
    """Return the conditions of a run; those of its training are unknown from certificates.

    `published`: rows of the same data set, whose files state how many images the whole split has.
    """
    data, images = certificates.data, len(certificates)
    whole = data is not None and any((row.data, row.size) == (str(data.whole), images) for row in published)
    # positions alone tell images apart only within one data set, which a table has
    digest = blake2b(certificates.index.astype("<i8").tobytes(), digest_size=8).hexdigest()
    return Setting(
        group=_WHOLE if whole else digest, images=images, n=certificates.n, alpha=certificates.alpha
    )


def setting_of_best(settings: Iterable[Setting]) -> Setting:
    """Return the conditions that runs share, for the row of the best of them at each radius."""
    first, *others = settings
    shared = {
        name: value
        for name, value in vars(first).items()
        if all(getattr(other, name) == value for other in others)
    }
    return Setting(**shared)


def setting_of_published(row: Published) -> Setting:
    """Return the conditions of a published row."""
    return Setting(
        # subsets of one size need not be the same images
        group=_WHOLE if row.whole else "",
        extra_data=row.extra_data,
        network=row.architecture,
        images=row.images,
        n=row.n,
        alpha=row.alpha,
        year=row.year,
        bibkey=row.bibkey,
    )
