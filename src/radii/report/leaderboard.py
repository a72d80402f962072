"""The conditions of a table's rows, as on a leaderboard: extra data, network, images, noise samples, alpha, year."""

from collections.abc import Iterable
from dataclasses import dataclass

from radii.certificates.certify import Certificates
from radii.report.published import Published

HEADERS = ("extra data", "network", "images", "n", "α", "year")
"""Columns of a `Setting`, in the order of its cells."""
UNKNOWN = "–"


@dataclass(frozen=True)
class Setting:
    """The conditions under which the shares of a row were measured.

    Parameters
    ----------
    extra_data : training data beyond the training split, "none" without any, empty if unknown
    network : its architecture, empty if unknown
    images : number of test images
    n : noise samples per image
    alpha : error probability per image, 0 without sampling error
    year : of the publication
    bibkey : of the work in a BibTeX file, empty if there is none
    """

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


def setting_of(certificates: Certificates) -> Setting:
    """Return the conditions of a run; those of its training are unknown from certificates."""
    return Setting(images=len(certificates), n=certificates.n, alpha=certificates.alpha)


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
        extra_data=row.extra_data,
        network=row.architecture,
        images=row.images,
        n=row.n,
        alpha=row.alpha,
        year=row.year,
        bibkey=row.bibkey,
    )
