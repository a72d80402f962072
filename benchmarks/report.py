"""The page of a report: seconds to build it, its size, and how fast it answers in a browser.

Run: python benchmarks/report.py. Times in the browser need Chromium and the packages of `radii[browser]`.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measure import table

import radii
from radii.certificates.runs import certify_all
from radii.report.html import Run, write_report
from radii.votes import ImageIdentity
from radii.votes.canary import INPUTS, NUMBERS

N = 10_000
SIZES = {
    "10,000 images, 10 classes, 4 runs, k = 1, 2, 3": (10_000, 10, 4, (1, 2, 3)),
    "2,000 images, 1,000 classes, 4 runs, k = 1": (2000, 1000, 4, (1,)),
    "500 images, 10 classes, 200 runs, k = 1": (500, 10, 200, (1,)),
}
NOISES = (radii.Laplace, radii.Gaussian, radii.Uniform)
HOVER = """async () => {
  const chart = document.querySelector(".drawing"), box = chart.getBoundingClientRect(), times = [];
  for (let step = 0; step < 60; step++) {
    const clientX = box.left + 50 + (step / 60) * (box.width - 80);
    const start = performance.now();
    chart.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX, clientY: box.top + 90 }));
    document.body.getBoundingClientRect(); // with the layout
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[56];
}"""
"""Milliseconds of a move of the pointer, of which 19 of 20 take no more."""


def make_votes(number: int, images: int, classes: int) -> radii.Votes:
    """Made-up votes of one run: a few classes per image, as a network under noise sees it."""
    rng = np.random.default_rng(number)
    counts = np.zeros((images, classes), dtype=np.int64)
    labels = np.arange(images) % classes
    for row in range(images):
        rivals = rng.choice(classes, min(6, classes - 1), replace=False)
        chance = np.append(rng.dirichlet(np.full(len(rivals), 0.4)) * rng.beta(0.6, 1.4), 0.0)
        chance[-1] = 1 - chance.sum()
        np.add.at(counts[row], np.append(rivals, labels[row]), rng.multinomial(N, chance))
    kind = NOISES[number % len(NOISES)]
    return radii.Votes(
        counts=counts,
        selection=np.zeros_like(counts),
        labels=labels,
        index=np.arange(images),
        noise=kind((0.25, 0.5, 1.0)[number // len(NOISES) % 3]),
        shape=(3, 32, 32),
        plan=radii.fixed(N, 0),
        draws=((0, N),),
        seed=number,
        model="made up",
        canary=((1.0,) * NUMBERS,) * INPUTS,
        data=ImageIdentity("made-up images"),
    )


def answers(page: Path) -> dict[str, float]:
    """Milliseconds until the page can be used, and of moves of the pointer; empty without a browser."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if not program:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.goto(page.as_uri())
        ready = opened.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        opened.evaluate(HOVER)
        hover = opened.evaluate(HOVER)
        start = time.perf_counter()
        opened.locator(".list summary").click()
        opened.locator(".images tbody tr").first.wait_for()
        listed = 1000 * (time.perf_counter() - start)
        browser.close()
    return {"ready": ready, "hover": hover, "list": listed}


def run(images: int, classes: int, count: int, ks: tuple[int, ...]) -> dict[str, Any]:
    """Seconds to certify and to build the page, its bytes, and its answers."""
    votes = {f"run {number}": make_votes(number, images, classes) for number in range(count)}
    start = time.perf_counter()
    certificates = certify_all(votes, list(radii.NORMS), list(ks))
    certified = time.perf_counter() - start
    runs = [Run(name, certificates[name], known) for name, known in votes.items()]
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        page = write_report(runs, folder)
        built = time.perf_counter() - start
        return {"certify": certified, "build": built, "bytes": page.stat().st_size, **answers(page)}


def section() -> str:
    """All measurements as a section in Markdown."""
    rows = []
    for words, size in SIZES.items():
        command = [sys.executable, __file__, json.dumps(size)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        browser = [f"{found[name]:,.0f}" if name in found else "" for name in ("ready", "hover", "list")]
        rows.append(
            [
                words,
                f"{found['certify']:.1f}",
                f"{found['build']:.1f}",
                f"{found['bytes'] / 1e6:.2f}",
                *browser,
            ]
        )
    words = (
        "Synthetic votes, n = 10,000, four norms. Seconds to certify and to build the page, its size in MB, and"
        " milliseconds in Chromium: until the page can be used, for a move of the pointer over the chart (19 of 20 take"
        " less), and until the list of all images is shown."
    )
    heads = ["votes", "certify", "build", "MB", "ready", "pointer", "list"]
    return "\n\n".join(["## The page of a report", words, table(heads, rows)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run(*json.loads(sys.argv[1]))))
    else:
        print(section())
