"""The works that a page rests on, as BibTeX: those that its rules name, and those of the method itself."""

import re
from collections.abc import Sequence
from importlib.resources import files

from radii.report.runs import Run

_CITED = re.compile(r"(?:^|[:;] |of )([A-Z][a-z]+)[^:;]*? (\d{4})")
METHOD = ("cohen2019", "clopper1934")
TOP_K, EXACT = "jia2020", "jin2022"


def entries() -> dict[str, str]:
    """All entries of the file sources.bib, by their keys."""
    text = (files("radii.report") / "sources.bib").read_text(encoding="utf-8")
    found = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in found}


def cited(source: str) -> list[str]:
    """The keys of the works that the source of a rule names: first author and year."""
    return [name.lower() + year for name, year in _CITED.findall(source)]


def bibtex(runs: Sequence[Run], norms: Sequence[str]) -> str:
    """BibTeX of the works behind the certificates of these runs in these norms."""
    keys = list(METHOD)
    if any(one.k > 1 for run in runs for one in run.all):
        keys.append(TOP_K)
    if any(run.votes is not None and run.votes.exact for run in runs):
        keys.append(EXACT)
    for run in runs:
        for norm in norms:
            if norm in run.noise.rules:
                keys += cited(run.noise.rules[norm].source)
    known = entries()
    return "\n\n".join(known[key] for key in dict.fromkeys(keys))
