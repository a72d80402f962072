"""Splitting noise: all noisy copies are listed, so certificates are checked against all moves, without any chance."""

import itertools

import numpy as np
import pytest
import torch

import radii
from radii.certificates.falsify import falsify
from radii.errors import InputError
from radii.models.devices import TensorSource
from radii.noises import GREY_LEVELS as LEVELS
from radii.noises import full_name, make_noise
from radii.noises.norms import Ball
from radii.noises.splitting import UNEVEN, fixed_offsets
from radii.noises.streams import Stream
from radii.votes.file_format import manifest_of_votes

SHAPE = (1, 2, 2)
NOISE = radii.Splitting(0.02)  # 18 shifts: cells of 18 grey levels
KINDS = [radii.Splitting, radii.IndependentSplitting]


def images_of(levels) -> np.ndarray:
    """Grey levels as float32 images."""
    return np.asarray(levels, dtype=np.uint8).reshape(-1, *SHAPE) / np.float32(LEVELS)


def slow_middle(level: int, shift: int, width: int) -> float:
    """The middle of the cell, cut by [0, 1], of Levine & Feizi 2021; `level` of 255, walls half a level beside."""
    x, s, wide = level / LEVELS, (shift + 0.5) / LEVELS, width / LEVELS
    upper = wide * np.ceil((x - s) / wide) + s
    return (min(upper, 1) + max(upper - wide, 0)) / 2


def by_every_bit(noisy: torch.Tensor) -> torch.Tensor:
    """Logits that hang on every bit of a noisy copy: another class for each of them, as if at random."""
    words = (noisy.flatten(1) * 1020).round().long()
    keys = (words * torch.tensor([1, 1021, 1021**2, 1021**3])).sum(1)
    return torch.nn.functional.one_hot(keys * 2654435761 % 1000003 % 4, 4).float()


def by_one_wall(noisy: torch.Tensor) -> torch.Tensor:
    """Logits of two classes: whether the first feature's cell lies below level 120."""
    below = noisy.flatten(1)[:, 0] * 1020 < 2 * 2 * 120
    return torch.stack([below, ~below], 1).float()


def shares(images: np.ndarray, noise: radii.Splitting, model) -> np.ndarray:
    """Probabilities of all classes, by asking about each copy."""
    votes = radii.Smoothed(model, noise).vote(images, plan=radii.exhaustive(noise))
    return votes.counts / noise.shifts


# the noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.5, 2.0])
def test_outcomes_are_the_middles_of_cells(sigma: float) -> None:
    noise = radii.Splitting(sigma, offsets=3)
    levels = np.random.default_rng(0).integers(0, 256, 40)
    levels[:4] = 0, 255, 1, 254
    apart = fixed_offsets(4, noise.shifts, 3).astype(int)
    for number in (0, 1, noise.shifts // 2, noise.shifts - 1):
        found = noise.outcome(images_of(levels), np.full(10, number))
        expected = [
            slow_middle(level, (number + apart[place % 4]) % noise.shifts, noise.shifts)
            for place, level in enumerate(levels)
        ]
        np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)
        # exactly one of the numbers that a cell can give: what is seen is a function of whole numbers
        np.testing.assert_array_equal(found, (np.rint(found * 1020) / np.float32(1020)).astype(np.float32))


def test_tensors_and_arrays_are_split_alike() -> None:
    images = images_of(np.random.default_rng(0).integers(0, 256, 40))
    numbers = np.arange(10)
    expected = NOISE.outcome(images, numbers)
    np.testing.assert_array_equal(NOISE._shifted(torch.tensor(images), torch.arange(10.0)).numpy(), expected)
    shifts = {
        tuple(
            NOISE.perturb(torch.tensor(images[:1]), TensorSource(seed, torch.device("cpu")))
            .flatten()
            .tolist()
        )
        for seed in range(300)
    }
    listed = {
        tuple(NOISE.outcome(images[:1], np.array([number])).ravel().tolist())
        for number in range(NOISE.shifts)
    }
    assert shifts == listed


@pytest.mark.parametrize("shifts", [3, 17, 442, 1785, 65535])
def test_shifts_drawn_as_float32_are_nearly_even(shifts: int) -> None:
    every = np.arange(2**24, dtype=np.float32) * np.float32(2.0**-24)
    drawn = np.minimum(every * np.float32(shifts) // 1, shifts - 1).astype(np.int64)
    assert np.bincount(drawn, minlength=shifts).max() / 2**24 <= 1 / shifts + UNEVEN / 2


def test_independent_shifts_are_those_of_each_feature() -> None:
    noise = radii.IndependentSplitting(0.02)
    images = np.full((4000, *SHAPE), 128 / LEVELS, dtype=np.float32)
    seen = noise.perturb(images, Stream(1).at([0] * 4000, range(4000))).reshape(4000, 4)
    assert all(len(np.unique(column)) == noise.shifts for column in seen.T)
    assert np.abs(np.corrcoef(seen.T) - np.eye(4)).max() < 0.06


# certificates -----------------------------------------------------------------------------------


def test_radius_is_half_a_cell_times_the_gap() -> None:
    images = images_of(np.random.default_rng(1).integers(0, 256, 40))
    votes = radii.Smoothed(by_every_bit, NOISE).vote(images, plan=radii.exhaustive(NOISE))
    found = radii.certify(votes, "l1", labels="predicted")
    ordered = np.sort(votes.counts, axis=1) / NOISE.shifts
    expected = NOISE.scale * (ordered[:, -1] - ordered[:, -2])
    np.testing.assert_allclose(found.radius, expected, rtol=1e-9, atol=1e-12)
    assert np.all(found.radius <= expected) and found.radius.max() > 0
    assert found.alpha == 0 and found.method == "exact" and found.plan == "exhaustive"
    np.testing.assert_array_equal(~found.certified, expected == 0)


@pytest.mark.parametrize("norm", radii.NORMS)
@pytest.mark.parametrize("k", [1, 2])
def test_no_move_beats_a_certificate(norm: str, k: int) -> None:
    """All moves of up to 3 grey levels on each of 4 features, against a classifier that sees every cell."""
    rng = np.random.default_rng(2)
    levels = rng.integers(4, 252, (6, 4))
    moves = np.array(list(itertools.product(range(-3, 4), repeat=4)))
    lengths = {"l0": (moves != 0).sum(1), "l1": np.abs(moves).sum(1) / LEVELS}
    lengths |= {"l2": np.sqrt((moves**2).sum(1)) / LEVELS, "linf": np.abs(moves).max(1) / LEVELS}
    votes = radii.Smoothed(by_every_bit, NOISE).vote(images_of(levels), plan=radii.exhaustive(NOISE))
    found = radii.certify(votes, norm, labels="predicted", k=k)
    beaten = []
    for image, label in zip(levels, found.label, strict=True):
        moved = shares(images_of(image + moves), NOISE, by_every_bit)
        out = (moved >= moved[:, [label]]).sum(axis=1) > k
        beaten.append(lengths[norm][out].min() if out.any() else np.inf)
    if norm != "l0":
        assert (found.radius > 0).sum() >= 3
    assert np.all((found.radius < np.array(beaten)) | (found.radius == 0))


def test_l1_radius_is_met_by_a_classifier_that_knows_the_walls() -> None:
    """One feature; the class is whether a wall lies below level 120: each level up takes one more shift away."""
    levels = np.arange(112, 129)
    votes = radii.Smoothed(by_one_wall, NOISE).vote(
        images_of(np.repeat(levels, 4)), plan=radii.exhaustive(NOISE)
    )
    label = votes.counts.argmax(1)
    radius = radii.certify(votes, "l1", labels="predicted").radius
    for place, level in enumerate(levels):
        other = np.abs(levels[label != label[place]] - level).min() / LEVELS
        ties = np.abs(levels[votes.counts[:, 0] * 2 == NOISE.shifts] - level)
        nearest = min(other, ties.min() / LEVELS) if ties.size else other
        assert radius[place] < nearest <= radius[place] + 1.001 / LEVELS or nearest == 0 == radius[place]


def crossed(moves: np.ndarray, kind, shifts: int) -> np.ndarray:
    """The probability that some feature crosses a wall: one shift for each feature, or at worst never two at once."""
    each = np.minimum(np.abs(moves) / shifts, 1)
    return 1 - np.prod(1 - each, axis=1) if kind is radii.IndependentSplitting else each.sum(1).clip(max=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shifts", [1, 2, 5, 9, 60])
@pytest.mark.parametrize("features", [1, 2, 3, 4])
def test_no_move_on_the_grid_tells_more_than_rules_say(kind, shifts: int, features: int) -> None:
    noise = kind(shifts / (2 * np.sqrt(3) * LEVELS))
    assert noise.shifts == shifts
    largest = {1: 70, 2: 24, 3: 9, 4: 6}[features]
    moves = np.array(list(itertools.combinations_with_replacement(range(largest + 1), features)))
    truth = crossed(moves, kind, shifts)
    for norm, order in (("l1", 1), ("l2", 2), ("linf", np.inf)):
        lengths = np.linalg.norm(moves, order, axis=1) / LEVELS
        rule = noise.trade_offs(Ball(norm, (1, 1, features)))
        said = rule.upper(np.zeros(len(moves)), lengths)
        assert np.all(said >= truth * (1 - 1e-12))
        # a radius just beyond a length allows what the length allows
        assert np.all(np.diff(rule.upper(np.zeros(999), np.linspace(0, lengths.max(), 999))) >= 0)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_by_one_level_are_the_worst_in_l2_and_linf(kind) -> None:
    """As many features as it takes, all at once: the rule is exact there, up to the shares of float32 shifts."""
    noise, shape = kind(0.5), (3, 32, 32)
    for changed in (1, 2, 44, 176, 400):
        move = np.zeros((1, 3072))
        move[:, :changed] = 1
        said = noise.trade_offs(Ball("l2", shape)).upper(np.zeros(1), np.array([np.sqrt(changed) / LEVELS]))
        np.testing.assert_allclose(said, crossed(move, kind, noise.shifts), rtol=1.2e-4)
    everywhere = np.full((1, 64), 3.0)
    for radius in (3 / LEVELS, 3.99 / LEVELS):
        said = noise.trade_offs(Ball("linf", (1, 8, 8))).upper(np.zeros(1), np.array([radius]))
        np.testing.assert_allclose(said, crossed(everywhere, kind, noise.shifts), rtol=1.2e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 2), (1, 8, 8), (3, 32, 32)])
def test_radii_stand_in_the_order_of_the_norms(kind, shape: tuple[int, ...]) -> None:
    p = np.array([0.500001, 0.51, 0.6, 0.75, 0.9, 0.99, 0.9999])
    l1, l2, linf = (radii.certified_radius(kind(0.5), norm, p, shape=shape) for norm in ("l1", "l2", "linf"))
    assert np.all(linf <= l2 * (1 + 1e-9)) and np.all(l2 <= l1 * (1 + 1e-9)) and np.all(linf > 0)


def test_radii_of_the_grid_are_those_that_were_derived_by_hand() -> None:
    """Of p = .9: 176.8 of 442 shifts may be crossed in l2, one by each feature; moves off the grid allowed .0125."""
    p, shape = np.array([0.6, 0.9, 0.99]), (3, 32, 32)
    shared = radii.certified_radius(radii.Splitting(0.5), "l2", p, shape=shape)
    np.testing.assert_allclose(shared, np.sqrt(442 * (p - 0.5)) / LEVELS, rtol=1e-9)
    single = radii.certified_radius(radii.IndependentSplitting(0.5), "l2", p, shape=shape)
    np.testing.assert_allclose(single, np.sqrt(np.log(1.5 - p) / np.log(1 - 1 / 442)) / LEVELS, rtol=1e-4)
    # a radius of less than one level says nothing, and is not to look like one
    below = radii.certified_radius(radii.Splitting(0.5), "linf", p, shape=shape)
    np.testing.assert_allclose(below, 442 * (p - 0.5) / LEVELS / 3072, rtol=1e-9)


def test_l0_counts_full_changes() -> None:
    p = np.array([0.6, 0.9, 0.999])
    shape = (3, 4, 4)
    wide = radii.Splitting(9.0)
    full = radii.certified_radius(wide, "l1", p, shape=shape)
    np.testing.assert_array_equal(
        radii.certified_radius(wide, "l0", p, shape=shape, unit="feature"), np.floor(full)
    )
    pixels = radii.certified_radius(wide, "l0", p, shape=shape, unit="pixel")
    np.testing.assert_array_equal(pixels, np.floor(full / 3))
    grey = np.full((3, *shape), 0.5)
    np.testing.assert_array_equal(
        radii.certified_radius(wide, "l0", p, shape=shape, unit="feature", images=grey), np.floor(full * 2)
    )


def test_independent_shifts_pay_for_their_float32() -> None:
    p = np.array([0.6, 0.9])
    even = radii.certified_radius(radii.Splitting(0.5), "l1", p, shape=SHAPE)
    paid = radii.certified_radius(radii.IndependentSplitting(0.5), "l1", p, shape=SHAPE)
    assert np.all(paid < even) and np.all(paid > even * (1 - 2e-4))


# votes ------------------------------------------------------------------------------------------


def test_parts_of_the_outcomes_add_up(tmp_path) -> None:
    images = images_of(np.random.default_rng(3).integers(0, 256, 40))
    smoothed, plan = radii.Smoothed(by_every_bit, NOISE), radii.exhaustive(NOISE)
    whole = smoothed.vote(images, plan=plan)
    parts = smoothed.vote(images, plan=plan, draws=(0, 7)) + smoothed.vote(images, plan=plan, draws=(7, 18))
    np.testing.assert_array_equal(parts.counts, whole.counts)
    whole.save(tmp_path / "votes.parquet")
    again = radii.load_votes(tmp_path / "votes.parquet")
    assert (again.noise, again.plan, again.noise.offsets) == (NOISE, plan, 0)
    with pytest.raises(InputError, match="hold 7 of the 18 planned samples"):
        radii.certify(smoothed.vote(images, plan=plan, draws=(0, 7)), "l1", labels="predicted")


def test_prediction_takes_all_outcomes_and_abstains_at_ties() -> None:
    images = images_of(np.repeat(np.arange(110, 132), 4))
    counts = radii.Smoothed(by_one_wall, NOISE).vote(images, plan=radii.exhaustive(NOISE)).counts
    tied = counts[:, 0] == counts[:, 1]
    expected = np.where(tied, radii.ABSTAIN, counts.argmax(1))
    assert tied.any()
    np.testing.assert_array_equal(radii.Smoothed(by_one_wall, NOISE).predict(images), expected)


@pytest.mark.parametrize(
    "change,words",
    [
        ({"plan": radii.fixed(18)}, "listed, all 18: radii.exhaustive"),
        ({"plan": radii.votes.plans.Exhaustive(17)}, "listed, all 18"),
        ({"images": np.full((1, *SHAPE), 0.5003, dtype=np.float32)}, "8-bit images"),
    ],
)
def test_what_would_not_be_exact_is_refused(change: dict, words: str) -> None:
    given = {"images": images_of([1, 2, 3, 4]), "plan": radii.exhaustive(NOISE)} | change
    with pytest.raises(InputError, match=words):
        radii.Smoothed(by_every_bit, NOISE).vote(given.pop("images"), **given)


def test_other_noise_cannot_be_listed() -> None:
    with pytest.raises(InputError, match="laplace noise cannot be listed"):
        radii.exhaustive(radii.Laplace(0.5))
    plan = radii.exhaustive(NOISE)
    with pytest.raises(InputError, match="laplace noise are sampled"):
        radii.Smoothed(by_every_bit, radii.Laplace(0.5)).vote(images_of([1, 2, 3, 4]), plan=plan)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.0001, 80.0, float("nan"), "1"])
def test_widths_that_cannot_be(kind, sigma) -> None:
    with pytest.raises(InputError, match="sigma"):
        kind(sigma)


def test_offsets_are_the_same_for_ever() -> None:
    assert fixed_offsets(6, 442, 0).tolist() == [221, 144, 341, 172, 29, 289]
    assert fixed_offsets(4, 442, 0).tolist() != fixed_offsets(4, 442, 1).tolist()
    with pytest.raises(InputError, match="offsets must be a seed"):
        radii.Splitting(0.5, offsets=-1)


# symmetric offsets ------------------------------------------------------------------------------

WIDTHS = [1, 2, 5, 8]


def mirror(images):
    """Images `(..., width)` with their columns in reverse order."""
    return images.flip(-1) if isinstance(images, torch.Tensor) else images[..., ::-1].copy()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_samples_of_the_mirrored_image_are_the_mirrored_samples(width: int, sigma: float) -> None:
    noise = radii.Splitting(sigma, offsets=3, symmetric=1)
    levels = np.random.default_rng(4).integers(0, 256, (noise.shifts, 2, 3, width), dtype=np.uint8)
    images, numbers = levels / np.float32(LEVELS), np.arange(noise.shifts)
    np.testing.assert_array_equal(
        noise.outcome(mirror(images), numbers), mirror(noise.outcome(images, numbers))
    )
    tensors = noise._shifted(torch.tensor(images), torch.tensor(numbers, dtype=torch.float32))
    np.testing.assert_array_equal(tensors.numpy(), noise.outcome(images, numbers))
    # fixed offsets that are not symmetric give other samples, but for the one column of width 1
    plain = radii.Splitting(sigma, offsets=3)
    other = np.any(plain.outcome(mirror(images), numbers) != mirror(plain.outcome(images, numbers)))
    assert other == (width > 1)


@pytest.mark.parametrize("width", WIDTHS)
def test_symmetric_offsets_are_those_of_the_left_half(width: int) -> None:
    """Where no wall lies beyond the first cell, the sample of a black image tells the offset of each feature."""
    noise, plain = (radii.Splitting(0.5, offsets=2, symmetric=number) for number in (1, 0))
    black = np.zeros((noise.shifts, 1, 4, width), dtype=np.float32)
    numbers = np.arange(noise.shifts)
    samples, left = noise.outcome(black, numbers), plain.outcome(black, numbers)
    half = (width + 1) // 2
    np.testing.assert_array_equal(samples[..., :half], left[..., :half])
    np.testing.assert_array_equal(samples, mirror(samples))
    # rows keep offsets of their own
    assert np.any(samples[:, :, 0] != samples[:, :, 1])


def test_each_symmetric_offset_alone_is_uniform() -> None:
    """All that the rule needs: between two neighbouring levels, each feature has a wall under one shift."""
    noise = radii.Splitting(0.1, symmetric=1)
    numbers = np.arange(noise.shifts)
    for level in (0, 3, 100, 254):
        pair = [
            np.full((noise.shifts, 1, 3, 5), each / LEVELS, dtype=np.float32) for each in (level, level + 1)
        ]
        crossed = noise.outcome(pair[0], numbers) != noise.outcome(pair[1], numbers)
        np.testing.assert_array_equal(crossed.sum(axis=0), 1)


@pytest.mark.parametrize("norm", radii.NORMS)
def test_no_perturbation_beats_a_certificate_under_symmetric_offsets(norm: str) -> None:
    """All perturbations of up to 2 grey levels, against a classifier that sees every cell, mirrored or not."""
    from radii.models import Mirrored

    class EveryBit(torch.nn.Module):
        def forward(self, noisy: torch.Tensor) -> torch.Tensor:
            return by_every_bit(noisy)

    noise, model = radii.Splitting(0.02, symmetric=1), Mirrored(EveryBit().eval(), of="logits")
    levels = np.random.default_rng(2).integers(4, 252, (6, 4))
    moves = np.array(list(itertools.product(range(-2, 3), repeat=4)))
    lengths = {"l0": (moves != 0).sum(1), "l1": np.abs(moves).sum(1) / LEVELS}
    lengths |= {"l2": np.sqrt((moves**2).sum(1)) / LEVELS, "linf": np.abs(moves).max(1) / LEVELS}
    votes = radii.Smoothed(model, noise).vote(images_of(levels), plan=radii.exhaustive(noise))
    found = radii.certify(votes, norm, labels="predicted")
    beaten = []
    for image, label in zip(levels, found.label, strict=True):
        moved = shares(images_of(image + moves), noise, model)
        out = (moved >= moved[:, [label]]).sum(axis=1) > 1
        beaten.append(lengths[norm][out].min() if out.any() else np.inf)
    if norm != "l0":
        assert (found.radius > 0).any()
    assert np.all((found.radius < np.array(beaten)) | (found.radius == 0))


@pytest.mark.parametrize("norm", radii.NORMS)
def test_the_falsifier_refutes_no_rule_under_symmetric_offsets(norm: str) -> None:
    radius = 1.0 if norm == "l0" else 0.2
    noise = radii.Splitting(0.5, symmetric=1)
    trials = falsify(noise, norm, radius, (1, 2, 4), draws=20_000)
    assert trials and not any(trial.refutes for trial in trials)


def test_the_falsifier_refutes_an_overclaim_under_symmetric_offsets() -> None:
    trials = falsify(radii.Splitting(0.5, symmetric=1), "l1", 0.2, (1, 2, 4), length=0.3, draws=20_000)
    assert any(trial.refutes for trial in trials)


def test_symmetric_offsets_make_another_noise(tmp_path) -> None:
    plain, symmetric = (radii.Splitting(0.02, symmetric=number) for number in (0, 1))
    assert full_name(plain) == "splitting:sigma=0.02,offsets=0"
    assert full_name(symmetric) == "splitting:sigma=0.02,offsets=0,symmetric=1"
    assert make_noise(full_name(symmetric)) == symmetric == radii.Splitting(0.02, symmetric=True) != plain
    assert (plain.title, symmetric.title) == ("Splitting", "Symmetric splitting")
    images = images_of(np.random.default_rng(3).integers(0, 256, 40))
    votes = [
        radii.Smoothed(by_every_bit, noise).vote(images, plan=radii.exhaustive(noise))
        for noise in (plain, symmetric)
    ]
    for each in votes:
        each.save(tmp_path / "votes.parquet")
        assert radii.load_votes(tmp_path / "votes.parquet").noise == each.noise
    assert "symmetric" not in manifest_of_votes(votes[0])["noise"]
    assert manifest_of_votes(votes[1])["noise"]["symmetric"] == 1
    with pytest.raises(InputError, match="noise"):
        votes[0][:5] + votes[1][5:]


@pytest.mark.parametrize("wrong", [2, -1, 0.0, "1", None])
def test_symmetric_is_0_or_1(wrong) -> None:
    with pytest.raises(InputError, match="symmetric must be 0 or 1"):
        radii.Splitting(0.5, symmetric=wrong)
