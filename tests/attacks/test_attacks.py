"""Attacks: steps and projections against slow formulas; linear models, whose radii are known; wrong certificates."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm as normal
from torch import nn

import radii
from commands import call, fine
from radii.attacks import Attacks, Effort, attack
from radii.attacks.descent import Target, descend, greedy, margin
from radii.attacks.search import PerturbationSearch, exceeds_chance, left_top_k
from radii.cli.attack import summary_text as sentence
from radii.cli.attacked_pictures import read_pictures
from radii.data import load_data
from radii.errors import InputError
from radii.models.devices import TensorSource
from radii.report.attacked import found_beside
from radii.training.losses import NoiseSampler
from radii.training.pgd import project, steepest

ORDER = {"l1": 1, "l2": 2, "linf": np.inf}
SHAPE = (1, 4, 4)


class Line(nn.Module):
    """Three classes; the first wins where the mean of the first features is above `at`, else the second."""

    def __init__(self, features: int = 16, at: float = 0.5) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(16))
        self.weights.data[:features] = 1 / features
        self.at = at
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = 20 * (images.flatten(1) @ self.weights - self.at)
        return torch.stack([score, -score, torch.full_like(score, -50)], dim=1)


def certified(
    smoothed: radii.Smoothed, norm: str, images: np.ndarray, k: int = 1, n: int = 2000
) -> radii.Certificates:
    plan = radii.fixed(n) if smoothed.noise.outcomes is None else radii.exhaustive(smoothed.noise)
    votes = smoothed.vote(images, np.zeros(len(images), dtype=int), plan=plan, seed=0)
    return radii.certify(votes, norm, k=k)


@pytest.mark.parametrize("norm,length", [("linf", 2 / 255), ("l1", 2 * 16 / 255), ("l0", 16)])
def test_a_move_of_whole_grey_levels_is_as_long_as_they_are(norm: str, length: float) -> None:
    """And not what float32 leaves of that: a perturbation as long as the certified radius breaks the certificate."""
    levels = np.arange(254, dtype=np.float32).reshape(-1, 1, 1, 1)
    images, moved = (np.broadcast_to(one / np.float32(255), (254, *SHAPE)) for one in (levels, levels + 2))
    search = SimpleNamespace(certificates=SimpleNamespace(norm=norm, unit="feature"), on_grid=True)
    assert set(PerturbationSearch.lengths(search, images, moved)) == {length}  # type: ignore[arg-type]


# parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.3, 1.0, 50.0])
@pytest.mark.parametrize("norm", ORDER)
def test_projections_are_the_nearest_points(norm: str, radius: float) -> None:
    point = np.random.default_rng(1).normal(size=6)
    found = (
        project(torch.from_numpy(point).view(1, 1, 2, 3), norm, torch.tensor([radius], dtype=torch.float64))
        .numpy()
        .ravel()
    )
    assert np.linalg.norm(found, ORDER[norm]) <= radius * (1 + 1e-9)
    # a minimiser that knows nothing of norms but their value; the signs stay
    room = {"l1": lambda x: radius - x.sum(), "l2": lambda x: radius**2 - x @ x, "linf": lambda x: radius - x}
    best = minimize(
        lambda x: np.sum((x - np.abs(point)) ** 2),
        np.full(6, 1e-3),
        bounds=[(0, None)] * 6,
        constraints={"type": "ineq", "fun": room[norm]},
        options={"maxiter": 500, "ftol": 1e-14},
    )
    np.testing.assert_allclose(found, np.sign(point) * best.x, atol=1e-5)


@pytest.mark.parametrize("norm", ORDER)
def test_steps_have_their_length_and_rise(norm: str) -> None:
    slope = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 1, 20, 20)))
    lengths = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    step = steepest(slope, norm, lengths)
    np.testing.assert_allclose(
        np.linalg.norm(step.flatten(1).numpy(), ORDER[norm], axis=1), lengths, rtol=1e-12
    )
    gain = (step * slope).flatten(1).sum(1).numpy() / lengths.numpy()
    dual = {"l1": np.inf, "l2": 2, "linf": 1}[norm]
    most = np.linalg.norm(slope.flatten(1).numpy(), dual, axis=1)
    assert (gain > (0.7 if norm == "l1" else 1 - 1e-12) * most).all() and (gain <= most * (1 + 1e-12)).all()


@pytest.mark.parametrize("norm", ORDER)
def test_steps_have_their_length_where_slopes_are_equal_or_zero(norm: str) -> None:
    slope = torch.zeros(4, 1, 20, 20, dtype=torch.float64)
    slope[0], slope[1, 0, 0], slope[2, 0, 0, :2] = -1, torch.linspace(1, 1.5, 20), 2
    step = steepest(slope, norm, torch.full((4,), 3.0, dtype=torch.float64)).flatten(1)
    np.testing.assert_allclose(np.linalg.norm(step, ORDER[norm], axis=1), [3, 3, 3, 0], rtol=1e-12)
    assert torch.isfinite(step).all()


def test_margins_are_ahead_of_the_kth_other() -> None:
    scores = torch.tensor([[1.0, 5.0, 3.0, 2.0]])
    assert [float(margin(scores, torch.tensor([2]), k)) for k in (1, 2, 3)] == [-2.0, 1.0, 2.0]


def test_labels_leave_the_top_k_by_binomial_tests_against_the_rivals_of_the_selection() -> None:
    votes = radii.Smoothed(Line(), radii.Gaussian(0.5)).vote(
        np.full((4, *SHAPE), 0.5), plan=radii.fixed(100), seed=0
    )
    counts = np.array([[20, 80, 0], [32, 68, 0], [0, 50, 50], [50, 25, 25]])
    selection = 10 * np.array([[0, 9, 1], [0, 9, 1], [0, 5, 5], [0, 9, 1]])
    told = replace(votes, counts=counts, selection=selection)
    label = np.zeros(4, dtype=int)
    # P(Binomial(100, 1/2) >= 80) = 5.6e-10, >= 68: 2e-4; 2^-50 for both rivals of the third
    assert left_top_k(told, label, 1).tolist() == [True, False, True, False]
    assert left_top_k(told, label, 2).tolist() == [False, False, True, False]
    # rivals are not chosen by the counts that judge them
    other = replace(told, counts=np.array([[10, 0, 90]] * 4), selection=np.array([[0, 100, 0]] * 4))
    assert not left_top_k(other, label, 1).any()


def test_more_wrong_certificates_than_chance_explains() -> None:
    assert not exceeds_chance(0, 500, 0.0) and exceeds_chance(1, 500, 0.0)
    # of 500 at .001 there are 5 with probability 1.7e-4, 4 with 1.8e-3
    assert not exceeds_chance(4, 500, 0.001) and exceeds_chance(5, 500, 0.001)


def test_descent_stays_within_radius_and_box() -> None:
    torch.manual_seed(0)
    images = torch.rand(5, *SHAPE)
    draw = NoiseSampler(radii.Gaussian(0.3), TensorSource(0, torch.device("cpu")))
    target = Target(Line(), draw, torch.zeros(5, dtype=torch.long), 1, Effort(5, 8))
    for norm, order in ORDER.items():
        radius = torch.tensor([0.01, 0.1, 0.3, 1.0, 4.0])
        move = descend(target, images, norm, radius)
        assert (np.linalg.norm(move.flatten(1), order, axis=1) <= radius.numpy() * (1 + 1e-5)).all()
        assert (images + move).min() >= 0 and (images + move).max() <= 1
        assert (Line()(images + move)[:, 0] <= Line()(images)[:, 0]).all()


def test_gradients_ignore_classes_that_are_switched_off() -> None:
    """Minus infinity in place of a logit that is far below all others changes no gradient."""

    class Off(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return Line()(images).masked_fill(torch.tensor([False, False, True]), -torch.inf)

    images = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    for k in (1, 2):
        slopes = []
        for model in (Line(), Off()):
            draw = NoiseSampler(radii.Gaussian(0.3), TensorSource(0, torch.device("cpu")))
            slopes.append(
                Target(model, draw, torch.zeros(5, dtype=torch.long), k, Effort(5, 8)).gradient(images)
            )
        assert slopes[1].isfinite().all() and slopes[1].any()
        if k == 1:
            torch.testing.assert_close(*slopes)


def test_greedy_changes_follow_the_gradient() -> None:
    images = torch.full((2, 3, 2, 2), 0.5)
    weights = torch.arange(12.0).view(3, 2, 2)

    class Sum(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            score = (images * weights).flatten(1).sum(1)
            return torch.stack([score, -score], dim=1)

    draw = NoiseSampler(radii.Gaussian(1e-3), TensorSource(0, torch.device("cpu")))
    target = Target(Sum(), draw, torch.zeros(2, dtype=torch.long), 1, Effort(1, 2))
    order, moved = greedy(target, images, 3, 2)
    assert order.tolist() == [[3, 2]] * 2
    assert torch.equal(moved[:, :, 1], torch.zeros(2, 3, 2)) and torch.equal(moved[:, :, 0], images[:, :, 0])
    order, moved = greedy(target, images, 1, 3)
    assert order.tolist() == [[11, 10, 9]] * 2 and (moved == 0).sum() == 6


def test_steps_in_l1_are_not_spent_on_features_at_their_end() -> None:
    """The steepest feature is at its end already, so the next one changes."""

    class Sum(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            score = images.flatten(1) @ torch.arange(1.0, 17)
            return torch.stack([score, -score], dim=1)

    images = torch.full((2, *SHAPE), 0.5)
    images[:, 0, 3, 3] = 0
    images[1, 0, 3, 2] = 0
    draw = NoiseSampler(radii.Gaussian(1e-3), TensorSource(0, torch.device("cpu")))
    target = Target(Sum(), draw, torch.zeros(2, dtype=torch.long), 1, Effort(4, 2))
    move = descend(target, images, "l1", torch.tensor([0.25, 0.25]))
    np.testing.assert_allclose(move.abs().sum((1, 2, 3)), 0.25, rtol=1e-5)
    assert move[0, 0, 3, 2] == pytest.approx(-0.25) and move[1, 0, 3, 1] == pytest.approx(-0.25)


# linear models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ORDER)
def test_radii_of_a_linear_model_are_met_from_above(norm: str) -> None:
    """Under Gaussian noise the label is lost exactly where the mean crosses the line."""
    rng = np.random.default_rng(0)
    images = (0.62 + 0.05 * rng.random((6, *SHAPE))).astype(np.float32)
    smoothed = radii.Smoothed(Line(), radii.Gaussian(0.5), batch=256)
    certificates, effort = certified(smoothed, norm, images), Effort(20, 32)
    found = attack(smoothed, images, certificates, effort=effort, n=10_000, reach=12)
    gap = images.reshape(6, -1).mean(1) - 0.5
    true = gap * {"l1": 16, "l2": 4, "linf": 1}[norm]
    assert len(found.rows) == 6 and not found.within_radius.any() and not found.refuted
    assert (found.lengths >= true[found.rows] * 0.98).all() and (
        found.lengths <= 1.15 * true[found.rows]
    ).all()
    lengths = np.linalg.norm(
        (found.perturbed - images[found.rows]).reshape(len(found.rows), -1), ORDER[norm], axis=1
    )
    np.testing.assert_allclose(found.lengths, lengths, rtol=1e-4)


def test_changes_of_a_linear_model() -> None:
    images = np.full((3, *SHAPE), 0.75, dtype=np.float32)
    noise = radii.Gaussian(2.0)
    smoothed = radii.Smoothed(Line(), noise, batch=256)
    certificates = certified(smoothed, "l0", images, n=20_000)
    assert certificates.radius.tolist() == [0] * 3 or certificates.radius.min() >= 1
    claimed = replace(certificates, radius=np.ones(3), status=np.full(3, "certified"))
    found = attack(smoothed, images, claimed, reach=16, n=4000, effort=Effort(1, 64))
    # each change to 0 lowers the mean by .75 / 16: five of them lead just below .5156, six to .469
    assert ((found.lengths >= 6) & (found.lengths <= 8)).all()


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_claims_that_are_too_large_are_refuted(norm: str) -> None:
    images = np.full((8, *SHAPE), 0.75, dtype=np.float32)
    smoothed = radii.Smoothed(Line(), radii.Gaussian(0.5), batch=256)
    honest = certified(smoothed, norm, images)
    true = {"l0": 6, "l1": 4.0, "l2": 1.0, "linf": 0.25}[norm]
    greedy = replace(honest, radius=np.full(8, 1.5 * true), status=np.full(8, "certified"))
    found = attack(smoothed, images, greedy, effort=Effort(10, 16))
    assert found.within_radius.all() and found.refuted
    assert (found.lengths <= greedy.radius).all() and (found.lengths > 0.9 * true).all()
    assert found.accuracy([0, 2 * true]).tolist() == [1.0, 0.0]


def test_the_third_class_must_be_passed_for_the_top_two() -> None:
    images = np.full((2, *SHAPE), 0.6, dtype=np.float32)
    smoothed = radii.Smoothed(Line(), radii.Gaussian(0.5), batch=256)
    top = certified(smoothed, "l2", images, k=2)
    found = attack(smoothed, images, top, effort=Effort(5, 8))
    assert np.isinf(found.lengths).all() and (found.perturbed == images[found.rows]).all()


def test_enumerable_noise_is_tested_on_all_outcomes_and_perturbed_by_whole_grey_levels() -> None:
    images = np.full((2, *SHAPE), 160 / 255, dtype=np.float32)
    smoothed = radii.Smoothed(Line(4), radii.Splitting(0.5), batch=256)
    certificates = certified(smoothed, "l1", images)
    assert certificates.alpha == 0
    found = attack(smoothed, images, certificates, effort=Effort(20, 32), reach=30)
    assert np.isfinite(found.lengths).all() and not found.within_radius.any()
    levels = found.perturbed * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


@pytest.mark.parametrize(
    "noise", [radii.Ablation(8), radii.Flips(0.8), radii.PowerL2(0.5), radii.Laplace(0.5)]
)
def test_every_kind_of_noise_can_be_attacked(noise: radii.Noise) -> None:
    class Shown(Line):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.shape[1] == 1:
                return super().forward(images)
            # the mean of the pixels that are shown
            mean = images[:, 0].flatten(1).sum(1) / images.sum(1).flatten(1).sum(1).clamp(min=1)
            return torch.stack([20 * (mean - 0.5), 20 * (0.5 - mean), mean - 50], dim=1)

    images = np.ones((2, *SHAPE), dtype=np.float32)
    smoothed = radii.Smoothed(Shown(), noise, batch=256)
    certificates = certified(smoothed, next(iter(noise.rules)), images)
    found = attack(smoothed, images, certificates, effort=Effort(5, 8), reach=16)
    assert not found.within_radius.any() and (np.isfinite(found.lengths).any() or len(found.rows) == 0)


def test_perturbations_below_a_grey_level_are_rounded_to_zero_on_the_grid() -> None:
    smoothed = radii.Smoothed(Line(4), radii.Splitting(0.5), batch=256)
    images = np.full((1, *SHAPE), 160 / 255, dtype=np.float32)
    search = PerturbationSearch(smoothed, certified(smoothed, "l1", images), Effort(), 100, 2.0, 0)
    for part in (-1.7, -0.9, 0.9, 1.7):
        moved = search.round_to_grid(images, images + np.float32(part / 255))
        np.testing.assert_allclose(moved * 255, 160 + np.trunc(part), atol=1e-4)


def test_certificates_of_gaussian_noise_agree_with_the_closed_form() -> None:
    """The other route to the radius of a linear model: sigma times the quantile of its share of votes."""
    images = np.full((1, *SHAPE), 0.6, dtype=np.float32)
    smoothed = radii.Smoothed(Line(), radii.Gaussian(0.5), batch=256)
    votes = smoothed.vote(images, plan=radii.fixed(20_000), seed=0)
    share = votes.counts[0, 0] / votes.n
    assert 0.5 * normal.ppf(share) == pytest.approx(0.4, abs=0.02)


# mistakes and the command -------------------------------------------------------------------------


def test_what_cannot_be_attacked() -> None:
    images = np.full((2, *SHAPE), 0.75, dtype=np.float32)
    smoothed = radii.Smoothed(Line(), radii.Gaussian(0.5), batch=64)
    certificates = certified(smoothed, "l2", images, n=200)
    for changes, words in (
        ({"images": images[:1]}, "one image|an image for each"),
        ({"reach": 0.5}, "reach must be at least 1"),
        ({"effort": Effort(0)}, "at least one step"),
        (
            {"smoothed": radii.Smoothed(lambda x: Line()(x), radii.Gaussian(0.5), batch=64)},
            "only a torch module",
        ),
    ):
        asked = {"smoothed": smoothed, "images": images, "certificates": certificates} | changes
        with pytest.raises(InputError, match=words):
            attack(**asked)


def test_the_command(tmp_path) -> None:
    run = tmp_path / "run"
    fine("train", "--data", "digits", "--noise", "gaussian", "--sigma", 0.4, "--epochs", 3, "--out", run)
    fine("vote", run, "--n", 500, "--limit", 12)
    votes = run / "votes.parquet"
    said = fine(
        "attack",
        votes,
        "--norm",
        "l2",
        "--norm",
        "l0",
        "--steps",
        5,
        "--eot-samples",
        8,
        "--n",
        300,
        "--out",
        run / "attacks",
    )
    assert "ℓ₂: accuracy under perturbations of at most the radius" in said
    assert (
        "certified, at least" in said and "under attack, at most" in said and "none within its radius" in said
    )
    rows = (run / "attacks" / "votes-l2-top1.csv").read_text().splitlines()
    certificates = radii.certify(radii.load_votes(votes), "l2")
    assert len(rows) == 1 + (certificates.radius > 0).sum()
    written = [float(row.split(",")[2]) for row in rows[1:]]
    assert written == certificates.radius[certificates.radius > 0].tolist()
    lengths = np.array([float(row.split(",")[3]) for row in rows[1:]])
    pictures = read_pictures(
        run / "attacks" / "votes-l2-top1.png",
        certificates,
        found_beside(votes, {("l2", 1): certificates})["l2", 1],
    )
    found = [
        int(row.split(",")[0]) for row, length in zip(rows[1:], lengths, strict=True) if np.isfinite(length)
    ]
    assert list(pictures) == found and found
    clean = load_data("digits", "test").images()
    apart = [np.linalg.norm(picture / 255 - clean[index, 0]) for index, picture in pictures.items()]
    # cut to [0, 1] and rounded, so a little shorter or longer than the perturbation
    assert np.all(np.array(apart) <= lengths[np.isfinite(lengths)] + 8 * 0.5 / 255) and min(apart) > 0.1
    none = np.zeros(0, dtype=np.int64)
    flat = Attacks(
        replace(certificates, radius=0 * certificates.radius), none, np.zeros(0), np.zeros((0, 1, 8, 8))
    )
    assert sentence(flat) == "No ℓ₂ radius for the top 1 is above 0: nothing was attacked."
    said = fine("report", votes, "--attacks", "--k", 1, "--k", 2, "--out", tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.count(": attacks changed ") == 2 and page.count('"found":[') == 2, "l2 and l0, k = 1"
    assert page.count('"perturbed":{') == len(list((run / "attacks").glob("*.png"))) > 0
    ended = call("report", votes, "--attacks", "--alpha", 0.01, "--out", tmp_path / "none")
    assert ended.status == 2 and "other certificates than these votes give at alpha = 0.01" in ended.err
    assert not (tmp_path / "none").exists()
    for line, words in {
        ("--run", tmp_path): "is not a run folder",
        ("--stride", 0): "every 1st, 2nd, 3rd",
        ("--reach", 0.5): "reach must be at least 1",
        ("--steps", 0): "at least one step",
    }.items():
        ended = call("attack", votes, *line)
        assert ended.status == 2 and words in ended.err
    other = tmp_path / "other"
    fine("train", "--data", "digits", "--noise", "gaussian", "--sigma", 0.4, "--epochs", 1, "--out", other)
    ended = call("attack", votes, "--run", other)
    assert ended.status == 2 and "another model than the one that gave these votes" in ended.err
    fine("vote", other, "--n", 500, "--limit", 12)
    fine("report", votes, other / "votes.parquet", "--attacks", "--k", 1, "--out", tmp_path / "both")
    assert (tmp_path / "both" / "index.html").read_text().count('"found":[') == 2, "one run was not attacked"
    ended = call("report", other / "votes.parquet", "--attacks", "--out", tmp_path / "none")
    assert ended.status == 2 and "no votes have attacks in these norms and k beside them" in ended.err
    assert f"run radii attack {other / 'votes.parquet'} --out {other / 'attacks'}" in ended.err
    assert not (tmp_path / "none").exists()
