"""docs/which-noise.md: its tables follow from the stored votes, which are all there, and its commands run."""

import re
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import radii
from certificate_factory import make_certificates
from commands import fine
from radii.report.winners import find_winners

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "which-noise.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
VOTES = sorted((ROOT / "results" / "mnist5k").glob("*.parquet"))
TOOL = runpy.run_path(str(ROOT / "tools" / "which_noise.py"))
MAKER = runpy.run_path(str(ROOT / "tools" / "mnist5k.py"))


def test_the_tables_follow_from_the_votes() -> None:
    assert TOOL["filled"](PAGE) == PAGE, "make which-noise"
    assert len(re.findall(r"^\| Laplace \|", PAGE, re.MULTILINE)) == 9


def test_votes_of_every_noise_at_every_level_are_there() -> None:
    expected = {name: recipe.law() for name, recipe in MAKER["recipes"]()}
    expected[MAKER["LONGER"]] = MAKER["longer"]().law()
    for kind, noise in (("ordinary", radii.Gaussian), ("denoiser", radii.Gaussian)):
        expected |= {f"{kind}-gaussian-{sigma:g}": noise(sigma) for sigma in MAKER["DENOISED_SIGMAS"]}
    assert {path.stem for path in VOTES} == set(expected)
    assert Counter(law.name for law in expected.values()) >= Counter(dict.fromkeys(radii.NOISES, 3))
    for path in VOTES:
        votes = radii.load_votes(path)
        assert (
            votes.noise == expected[path.stem] and votes.complete and str(votes.data) == "mnist5k test, all"
        )
        assert len(votes) == 1000 and votes.n == (votes.noise.outcomes or MAKER["DRAWS"])
        assert path.stat().st_size < 60_000


def test_a_table_is_what_certificates_say() -> None:
    votes = radii.load_votes(ROOT / "results" / "mnist5k" / "laplace-0.5.parquet")
    share = radii.certify(votes, "l1").accuracy([1.0])[0]
    assert TOOL["certified"](votes, "mnist5k", "l1", 1).accuracy([1.0])[0] == share


def test_a_cell_is_the_best_level_of_a_noise_at_a_radius() -> None:
    runs = {
        f"{noise} {sigma:g}": make_certificates(noise, sigma=sigma, images=300)
        for noise, sigma in (("laplace", 0.25), ("laplace", 1), ("gaussian", 1))
    }
    winners = find_winners(runs, [0.1, 1.5])
    laplace = {name: one for name, one in runs.items() if "laplace" in name}
    cells = TOOL["best_levels"](winners, laplace)
    for column, (share, level, bold) in enumerate(cells):
        shares = {name: one.accuracy([winners.radii[column]])[0] for name, one in laplace.items()}
        assert share == max(shares.values()) == shares[f"laplace {level}"]
        assert bold == winners.leaders[winners.names.index(f"laplace {level}"), column]
    assert cells[1][1] == "1"


def test_what_longer_training_gives() -> None:
    found = []
    for name in ("ablation-45", MAKER["LONGER"]):
        votes = radii.load_votes(ROOT / "results" / "mnist5k" / f"{name}.parquet")
        certificates = radii.certify(votes, "l0", unit="pixel")
        found.append((np.median(certificates.radius), f"{certificates.accuracy([8])[0]:.1%}"))
    (before, share), (after, more) = found
    said = " ".join(PAGE.split())
    assert f"from {before:g} to {after:g} pixels" in said and f"at 8 pixels from {share} to {more}" in said


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = BLOCKS
    said = [fine(*line.split()[1:]) for line in block.splitlines()]
    assert "Trained small-cnn without noise" in said[0] and "ℓ₂: certified accuracy" in said[-1]
