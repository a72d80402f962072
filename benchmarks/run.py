"""All benchmarks in one run, and the page docs/benchmarks.md of what they say.

Run: make bench, on a quiet machine; with DATA=PATH to CIFAR-10 also the whole table end to end.
"""

import argparse
import datetime
from pathlib import Path

import arithmetic
import end_to_end
import engine
import exhaustive
import memory
import passes
import rules
import sampling
import scale
import serve
import training
from measure import machine

from radii.files import replacing

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

What `make bench` printed on {day}; `make bench DATA=PATH`, with the folder of CIFAR-10, runs the last section too.
Machines differ, and the same machine differs from hour to hour: read ratios, which come from neighbouring runs, before
seconds. Ratios are medians, with the range in brackets. Each section is a script of its own in `benchmarks/`.

Machine: {machine}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--every", type=int, default=100, help="of the test images, for the whole table")
    asked = parser.parse_args()
    parts = [
        passes.section,
        lambda: sampling.section("wrn-16-2", 4000, 5),
        arithmetic.section,
        rules.section,
        exhaustive.section,
        memory.section,
        scale.section,
        engine.section,
        serve.section,
        lambda: training.section("wrn-16-2", 128, 5, 10, compile=True),
    ]
    if asked.data_dir:
        parts.append(lambda: end_to_end.section(asked.data_dir, asked.every, end_to_end.RUN))
    page = HEAD.format(day=datetime.date.today(), machine=machine())
    print(page)
    for part in parts:
        found = part()
        print(found + "\n", flush=True)
        page += f"\n{found}\n"
    with replacing(PAGE) as file:
        file.write(page.encode())


if __name__ == "__main__":
    main()
