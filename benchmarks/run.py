"""All benchmarks, or those named, and the page docs/benchmarks.md of what they say, section by section as they end.

Run: make bench, on a quiet machine; with DATA=PATH to CIFAR-10 also the whole table end to end. A part of it again:
make bench ONLY="passes engine"; the other sections stay, each with the day and the machine it was measured on.
"""

import argparse
import datetime
import re
from collections.abc import Mapping
from pathlib import Path

import arithmetic
import end_to_end
import exhaustive
import memory
import passes
import rules
import scale
import serve
from measure import machine

import engine
import report
import sampling
import training
from radii.report.export import write_whole

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

This page is the output of `make bench`. `make bench DATA=PATH`, with the folder of CIFAR-10, also
runs the last section, and `make bench ONLY="passes engine"` runs the named ones. Machines differ,
and one machine differs from hour to hour. So compare ratios, which come from neighbouring runs,
rather than seconds. Ratios are medians, with the range in brackets. Each section is a script in
`benchmarks/`, and ends with the date and the machine of its run.
"""
PLACE = re.compile(r"<!-- section: (\S+) -->\n\n(.*?)\n\n<!-- end -->", re.DOTALL)
SECTIONS = {
    "passes": passes.section,
    "sampling": lambda: sampling.section("wrn-16-2", 4000, 5),
    "arithmetic": arithmetic.section,
    "rules": rules.section,
    "exhaustive": exhaustive.section,
    "memory": memory.section,
    "scale": scale.section,
    "engine": engine.section,
    "serve": serve.section,
    "report": report.section,
    "training": lambda: training.section("wrn-16-2", 128, 5, 10, compile=True),
}
LAST = "end_to_end"


def stored(page: str) -> dict[str, str]:
    """The sections of a page, by their names."""
    return dict(PLACE.findall(page))


def page_of(found: Mapping[str, str]) -> str:
    """The page with these sections, in the order in which they run."""
    places = [
        f"\n<!-- section: {name} -->\n\n{found[name]}\n\n<!-- end -->\n"
        for name in (*SECTIONS, LAST)
        if name in found
    ]
    return HEAD + "".join(places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument(
        "--every", type=int, default=end_to_end.EVERY, help="of the test images, for the whole table"
    )
    parser.add_argument("--only", nargs="+", choices=[*SECTIONS, LAST], help="the sections to run")
    asked = parser.parse_args()
    sections = dict(SECTIONS)
    if asked.data_dir:
        sections[LAST] = lambda: end_to_end.section(asked.data_dir, asked.every, end_to_end.RUN)
    if LAST in (asked.only or []) and not asked.data_dir:
        parser.error("end_to_end polls images of CIFAR-10: give --data-dir, the folder that holds them")
    found = stored(PAGE.read_text(encoding="utf-8"))
    for name in asked.only or sections:
        text = sections[name]()
        found[name] = f"{text.strip()}\n\n{datetime.date.today()}, {machine()}."
        print(found[name] + "\n", flush=True)
        write_whole(PAGE, page_of(found))


if __name__ == "__main__":
    main()
