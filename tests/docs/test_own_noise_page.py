"""docs/own-noise.md: its module and snippets run in order, and print what the page shows."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pytest

import pages
import radii
from radii.errors import RadiiWarning
from radii.noises.lattice import RELATIVE

BLOCKS = pages.blocks(pages.read("docs/own-noise.md"))
CODE = [block.text for block in BLOCKS if block.kind.startswith("python")]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module of the page in the current folder, forgotten afterwards."""
    Path(tmp_path / "triangular.py").write_text(CODE[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    radii.NOISES.pop("triangular", None)


def test_the_page_from_top_to_bottom(module: None) -> None:
    space: dict = {}
    said = ""
    for kind, text, _ in BLOCKS[1:]:
        if kind == "text":
            assert said == text
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RadiiWarning
            )  # some processors round a product as its batch has it
            exec(text, space)
        said = out.getvalue()
    assert space["certificates"].accuracy([0.25])[0] > 0.4
    exact = radii.Smoothed(space["network"], space["noise"], exact_arithmetic=True)
    assert radii.certify(
        exact.vote(space["load_data"]("digits").first(5), plan=radii.fixed(100)), "l1"
    ).radius.any()


def test_its_functions_are_those_of_the_density(module: None) -> None:
    from triangular import Triangular, cdf, quantile

    p = np.array([1e-12, 0.1, 0.5, 0.9, 1 - 1e-12])
    np.testing.assert_allclose(cdf(quantile(p)), p, rtol=1e-13)
    noise = Triangular(1 / np.sqrt(6))
    x = np.linspace(-1, 1, 200_001)
    f = np.exp(noise.log_density(x)) / np.exp(noise.log_density(x)).sum()
    assert abs((f * x**2).sum() - 1 / 6) < 1e-9 and abs((f * np.abs(x)).sum() - noise.mean_magnitude) < 1e-9
    np.testing.assert_allclose(np.cumsum(f), cdf(x + 1), atol=1e-5)
    tail = np.array([1e-300, 0.25, 0.75])
    np.testing.assert_allclose(noise.tail_quantile(tail), [1, 0.5, 1 - np.sqrt(0.75)], rtol=RELATIVE)
    # the distance to the peak keeps its digits: near 1, `1 - sqrt(tail)` is `(1 - tail) / 2`
    assert noise.tail_quantile(np.array([1 - 2.0**-52]))[0] == pytest.approx(2.0**-53, rel=RELATIVE)
