"""Votes by plans that stop early: sampled, stored, added, and certified as the plan allows and not otherwise."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtr

import radii
from radii.certificates.planning import RadiusTarget, sequential, sequential_top_k, two_stage
from radii.data import from_arrays
from radii.errors import InputError
from radii.votes import load_votes

NOISE, SHAPE, SIGMA = radii.Gaussian(0.25), (1, 1, 1), 0.25
ASKED = {"l2": (0.1, 0.2), "linf": (0.15,), "l1": (0.05,)}


def model(noisy: torch.Tensor) -> torch.Tensor:
    """Class 1 above a half, else 0 or, below .1, 2: one feature, so that l2, l1 and linf are the same."""
    x = noisy.flatten(1)[:, 0]
    return torch.stack([(x <= 0.5).float(), (x > 0.5).float(), 2 * (x < 0.1).float()], 1)


IMAGES = torch.linspace(0.3, 1, 36).mul(255).round().div(255).view(-1, 1, 1, 1)
LABELS = np.ones(36, dtype=int)


def questions(exact: bool = False) -> list[RadiusTarget]:
    return [RadiusTarget(NOISE, norm, at, SHAPE, exact_arithmetic=exact) for norm, at in ASKED.items()]


PLANS = {
    "levels": sequential(*questions(), n_max=3000, alpha=0.01),
    "levels, predicted": sequential(*questions(), n_max=3000, alpha=0.01, selection=30),
    "top-k": sequential_top_k(questions()[0], n_max=3000, alpha=0.01),
    "two-stage": replace(two_stage(NOISE, "l2", shape=SHAPE, n_max=3000, price=1e-5), pilot=50),
}


def draw(plan, rows=slice(None), batch=128, exact=False, labels=True) -> radii.Votes:
    smoothed = radii.Smoothed(model, NOISE, batch=batch, exact_arithmetic=exact)
    given = LABELS[rows] if labels else None
    return smoothed.vote(from_arrays(IMAGES[rows], given, np.arange(36)[rows]), plan=plan, seed=4)


@pytest.mark.parametrize("name", PLANS)
def test_the_same_votes_however_the_work_is_cut(name, tmp_path):
    whole = draw(PLANS[name])
    whole.save(tmp_path / "whole")
    (draw(PLANS[name], slice(20, 36), 700) + draw(PLANS[name], slice(0, 20), 8)).save(tmp_path / "parts")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()
    again = load_votes(tmp_path / "whole")
    assert again.plan == PLANS[name] and again.complete
    np.testing.assert_array_equal(again.counts, whole.counts)
    if whole.certified is not None:
        np.testing.assert_array_equal(again.certified, whole.certified)
        assert len(set(whole.certified)) >= 3
    assert len(set(whole.counts.sum(1))) > 3
    with pytest.raises(InputError, match="image 0 is in both votes"):
        whole + draw(PLANS[name], slice(0, 2))


@pytest.mark.parametrize("exact", [False, True])
def test_the_radii_asked_for_are_certified_where_the_looks_say_so(exact):
    plan = sequential(*questions(exact), n_max=3000, alpha=0.01)
    assert len(plan.levels) == 4  # of l2 and l1 .05, .1, .2, and of linf .15
    votes = draw(plan, exact=exact)
    by_radius = dict(zip((0.05, 0.1, 0.15, 0.2), range(1, 5), strict=True))
    for norm, asked in ASKED.items():
        found = radii.certify(votes, norm, alpha=0.01)
        for radius in asked:
            np.testing.assert_array_equal(found.radius >= radius, votes.certified >= by_radius[radius])
        # a level says no more than it says
        assert found.radius.max() < 0.2 * (1 + 1e-6)
        assert found.method == "binary" and found.n == 3000
        assert found.mean_samples == pytest.approx(votes.counts.sum() / 36) and found.mean_samples < 1000
    truth = ndtr((IMAGES.flatten().numpy() - 0.5) / SIGMA)
    assert np.all(radii.certify(votes, "l2", alpha=0.01).lower < truth)
    assert np.all(radii.certify(votes, "l2", k=2, alpha=0.01).radius >= found.radius)


def test_radii_that_were_asked_for_are_read_and_not_searched_for(monkeypatch):
    """Another processor finds radii in the last digits elsewhere: what was decided does not depend on that."""
    votes = draw(PLANS["levels"])
    expected = {norm: radii.certify(votes, norm, alpha=0.01).accuracy(at) for norm, at in ASKED.items()}

    def elsewhere(*given, **options):
        return radii.certified_radius(*given, **options) * (1 - 1e-9)

    monkeypatch.setattr(sys.modules["radii.certificates.certify"], "certified_radius", elsewhere)
    for norm, at in ASKED.items():
        found = radii.certify(votes, norm, alpha=0.01)
        assert set(found.radius[found.radius > 0]) <= {0.0, *at, *found.radius[~np.isin(found.radius, at)]}
        np.testing.assert_array_equal(found.accuracy(at), expected[norm])
        assert np.all(radii.certify(votes, norm, k=2, alpha=0.01).accuracy(at) >= expected[norm])


def test_a_plan_decides_nothing_for_less_than_it_was_asked():
    """Levels for the top 2, or for noise drawn in floats, do not give the radii of the top 1, or on the lattice."""
    of_two = sequential(RadiusTarget(NOISE, "l2", (0.1,), SHAPE, k=2), n_max=3000, alpha=0.01)
    votes = draw(of_two)
    at = radii.certify(votes, "l2", k=2, alpha=0.01).accuracy([0.1])
    assert at[0] > radii.certify(votes, "l2", alpha=0.01).accuracy([0.1])[0]
    decision = PLANS["levels"].decisions[0]
    assert decision.answers("l2", "feature", 1, exact=False) and decision.answers(
        "l2", "feature", 3, exact=False
    )
    assert not decision.answers("l2", "feature", 1, exact=True)
    assert replace(decision, exact=True).answers("l2", "feature", 1, exact=True)
    assert not replace(decision, norm="l0", unit="pixel").answers("l0", "feature", 1, exact=False)


@pytest.mark.parametrize(
    "noise", [radii.Gaussian(0.2), radii.Gaussian(0.25 * (1 - 1e-5)), radii.Uniform(0.1)]
)
def test_a_plan_for_other_noise_is_rejected_before_sampling_and_after(noise, monkeypatch):
    monkeypatch.setattr("radii.sampling.sampler.count_votes", lambda *_: pytest.fail("samples were drawn"))
    smoothed = radii.Smoothed(model, noise, batch=128)
    with pytest.raises(
        InputError, match=r"the plan was made for other noise or images: .* make the plan anew"
    ):
        smoothed.vote(IMAGES, LABELS, plan=PLANS["levels"])
    monkeypatch.undo()
    votes = replace(draw(PLANS["levels"]), noise=noise)
    with pytest.raises(InputError, match="the plan was made for other noise or images"):
        radii.certify(votes, "l2", alpha=0.01)


def test_a_decision_that_says_a_hair_too_much_is_rejected():
    votes = draw(PLANS["levels"])
    for factor, fine in ((1 + 1e-7, True), (1 + 1e-5, False)):
        larger = tuple(
            replace(one, radii=tuple(factor * np.array(one.radii))) for one in votes.plan.decisions
        )
        edited = replace(votes, plan=replace(votes.plan, decisions=larger))
        if fine:
            assert radii.certify(edited, "l2", alpha=0.01).radius.max() >= 0.2
            continue
        with pytest.raises(
            InputError, match=r"does not certify the l2 radius 0\.100001 under gaussian noise"
        ):
            radii.certify(edited, "l2", alpha=0.01)


def test_predicted_labels_are_those_that_the_looks_saw():
    votes = draw(PLANS["levels, predicted"], labels=False)
    found = radii.certify(votes, "l2", alpha=0.01, labels="predicted")
    np.testing.assert_array_equal(found.label, votes.selection.argmax(1))
    assert np.all(votes.selection.sum(1) >= 6) and votes.selection.sum(1).min() < 30
    sure = IMAGES.flatten().numpy() > 0.9
    assert np.all(found.label[sure] == 1) and np.all(found.radius[sure] >= 0.2)


def test_top_k_keeps_what_its_looks_certified():
    votes = draw(PLANS["top-k"])
    found = radii.certify(votes, "l2", alpha=0.01)
    at_looks = np.array([0, 0.1, 0.2])[votes.certified]
    assert np.all(found.radius >= at_looks) and found.certified[at_looks > 0].all()
    # whatever the bounds of the last look are, what earlier ones showed still holds, in all norms that follow
    shifted = replace(votes, certified=np.maximum(votes.certified, 1))
    for norm in ("l2", "l1", "linf"):
        held = radii.certify(shifted, norm, alpha=0.01)
        assert np.all(held.radius >= 0.1 * (1 - 1e-9 * (norm != "l2"))) and held.certified.all()
    assert np.any(radii.certify(shifted, "l0", alpha=0.01).status == "open")
    with pytest.raises(InputError, match="image 0 cannot have ended with all radii certified"):
        radii.certify(replace(votes, certified=np.full(36, 2)), "l2", alpha=0.01)


def test_two_stages_bound_by_fresh_samples_alone():
    votes = draw(PLANS["two-stage"])
    found = radii.certify(votes, "l2", method="binary")
    n, right = votes.counts.sum(1), votes.counts[:, 1]
    assert (n == 0).any() and (n == 3000).any() and np.all(votes.selection.sum(1) == 50)
    assert np.all(found.radius[n == 0] == 0) and np.all(~found.certified[n == 0])
    for row in np.flatnonzero(n)[:5]:
        bound = radii.bounds(np.array([[n[row] - right[row], right[row]]]), np.array([1]), method="binary")[0]
        assert found.lower[row] == bound[0]
    both = radii.certify(votes, "l2", k=2, labels="predicted")
    assert both.mean_samples == pytest.approx(n.mean() + 50)


def test_the_pilot_chooses_between_the_methods():
    """Without a look at the fresh samples; and mostly it chooses well."""
    rng, classes = np.random.default_rng(0), ("a", "b", "c")
    law = np.array([[0.55, 0.25, 0.2], [0.7, 0.15, 0.15], [0.95, 0.04, 0.01], [1 - 1e-6, 1e-6, 0]] * 25)
    law = law / law.sum(1, keepdims=True)
    plan = two_stage(NOISE, "l2", shape=(3, 8, 8), n_max=5000)
    n = rng.choice(plan.sample_sizes[-20:], 100)

    def votes(counts) -> radii.Votes:
        selection = np.random.default_rng(1).multinomial(plan.pilot, law)
        index, label = np.arange(100), np.zeros(100, int)
        known = {"software": {}, "classes": classes}
        return radii.Votes(counts, selection, label, index, NOISE, (3, 8, 8), plan, (), 0, "", **known)

    found = votes(rng.multinomial(n, law))
    radius = {how: radii.certify(found, "l2", method=how).radius for how in ("binary", "two-event", None)}
    simple = radius[None] == radius["binary"]
    assert np.all(simple | (radius[None] == radius["two-event"])) and 20 < simple.sum() < 80
    assert radii.certify(found, "l2").method == "binary or two-event"
    most = np.maximum(radius["binary"], radius["two-event"])
    assert radius[None].mean() > max(radius[how].mean() for how in ("binary", "two-event"))
    assert radius[None].mean() > 0.999 * most.mean()
    # other fresh samples, the same choice
    other = votes(rng.multinomial(n, law[:, ::-1]))
    again = {how: radii.certify(other, "l2", method=how).lower for how in ("binary", "two-event", None)}
    np.testing.assert_array_equal(again[None], np.where(simple, again["binary"], again["two-event"]))


def test_any_moment_will_do(monkeypatch):
    """Stopped by the clock, in the middle of a round: the bounds are those for what each image has."""
    clock = iter(range(10**6))
    monkeypatch.setattr("radii.sampling.sampler.time.monotonic", lambda: next(clock))
    smoothed, plan = (
        radii.Smoothed(model, NOISE, batch=32),
        radii.anytime(alpha=0.01, n_max=500, selection=10),
    )
    votes = smoothed.vote(IMAGES, LABELS, plan=plan, seconds=60)
    n = votes.counts.sum(1)
    # 60 batches, and those that were on their way; rounds end at 16, 24, 36 and 54 samples
    assert 60 * 32 <= votes.samples.sum() <= 70 * 32
    assert n.min() == 36 and n.max() == 54 and len(set(n)) == 3
    whole = smoothed.vote(IMAGES, LABELS, plan=radii.fixed(500, 10))
    for row in range(36):
        part = smoothed.vote(
            from_arrays(IMAGES[[row]], index=[row]), plan=radii.fixed(500, 0), draws=(0, int(n[row]))
        )
        np.testing.assert_array_equal(part.counts[0], votes.counts[row])
    np.testing.assert_array_equal(whole.selection, votes.selection)
    for labels in ("true", "predicted"):
        label = LABELS if labels == "true" else votes.selection.argmax(1)
        found = radii.certify(votes, "l2", alpha=0.05, labels=labels)
        expected = radii.Anytime(0.05, 500).lower(votes.counts[np.arange(36), label], n)
        np.testing.assert_array_equal(found.lower, expected)
    with pytest.raises(InputError, match="bounds the label alone"):
        radii.certify(votes, "l2", method="two-event")


def test_who_stops_at_once_has_nothing_and_who_never_stops_has_all():
    smoothed, plan = radii.Smoothed(model, NOISE), radii.anytime(n_max=60)
    early = smoothed.vote(IMAGES, LABELS, plan=plan, seconds=1e-9)
    assert early.counts.sum() < 36 * 60 and np.all(
        radii.certify(early, "l2").radius[early.counts.sum(1) == 0] == 0
    )
    late = smoothed.vote(IMAGES, LABELS, plan=plan)
    assert np.all(late.counts.sum(1) == 60)
    bound = radii.Anytime(1e-3, 60).lower(late.counts[:, 1], 60)
    np.testing.assert_array_equal(radii.certify(late, "l2").lower, bound)


# refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,how,words",
    [
        ("levels", {}, r"fixed alpha = 0\.01, not 0\.001"),
        ("levels", {"alpha": 0.01, "labels": "predicted"}, "fixed labels = 'true', not 'predicted'"),
        ("levels", {"alpha": 0.01, "labels": LABELS}, "fixed labels = 'true'"),
        ("levels", {"alpha": 0.01, "method": "two-event"}, "fixed method = 'binary', not 'two-event'"),
        ("levels, predicted", {"alpha": 0.01}, "fixed labels = 'predicted', not 'true'"),
        ("levels, predicted", {"alpha": 0.01, "labels": "top-k-set"}, "fixed labels = 'predicted'"),
        ("top-k", {"alpha": 0.01, "k": 2}, "fixed k = 1, not 2"),
        ("top-k", {"alpha": 0.01, "method": "binary"}, "fixed method = 'two-event'"),
    ],
)
def test_nothing_else_can_be_certified(name, how, words):
    with pytest.raises(InputError, match=words):
        radii.certify(draw(PLANS[name]), "l2", **how)


def test_labels_or_selection_samples_are_needed():
    for name in ("levels", "top-k"):
        with pytest.raises(InputError, match="tests one label of each image"):
            draw(PLANS[name], labels=False)
    smoothed = radii.Smoothed(model, NOISE)
    with pytest.raises(InputError, match="only a fixed plan has parts"):
        smoothed.vote(IMAGES, LABELS, plan=PLANS["levels"], draws=(0, 10))
    with pytest.raises(InputError, match="seconds, above 0, are for"):
        smoothed.vote(IMAGES, LABELS, plan=PLANS["levels"], seconds=1)


@pytest.mark.parametrize(
    "name,changes,words",
    [
        ("levels", lambda v: {"counts": v.counts + 1}, "of image 0 add up to .* the plan never ends there"),
        ("levels", lambda v: {"certified": None}, "certified must be one number per image"),
        ("levels", lambda v: {"certified": v.certified + 4}, r"certified must lie in 0\.\.4"),
        ("levels", lambda v: {"certified": v.certified - 1}, r"certified must lie in 0\.\.4"),
        (
            "levels",
            lambda v: {"certified": np.full(36, 4)},
            "image 0 cannot have ended with 4 levels certified",
        ),
        ("levels", lambda v: {"certified": np.zeros(36, int)}, "cannot have ended with 0 levels certified"),
        ("levels", lambda v: {"labels": np.zeros(36, int)}, "votes of .* against label 0"),
        ("levels", lambda v: {"labels": None}, "tested the true labels"),
        (
            "levels, predicted",
            lambda v: {"selection": v.selection[:, [2, 1, 0]][:, ::-1][:, [1, 0, 2]]},
            "against",
        ),
        ("levels", lambda v: {"draws": ((0, 9),)}, "followed to its end"),
        (
            "levels",
            lambda v: {"selection": v.selection + 1},
            "selection of image 0 add up to 3, but there were 0",
        ),
        ("two-stage", lambda v: {"certified": np.zeros(36, int)}, "belongs to plans with looks"),
        ("two-stage", lambda v: {"selection": v.selection * 2}, "add up to 100, but there were 50 samples"),
    ],
)
def test_votes_must_fit_their_plan(name, changes, words):
    votes = draw(PLANS[name])
    with pytest.raises(InputError, match=words):
        replace(votes, **changes(votes))


# voting and certifying at once ------------------------------------------------------------------------


@pytest.mark.parametrize("at", [None, (0.1, 0.2)])
@pytest.mark.parametrize("labels", [True, False])
def test_certify_is_vote_and_certify(at, labels):
    smoothed = radii.Smoothed(model, NOISE)
    how = {"alpha": 0.01, "n_max": 800}
    found = smoothed.certify(IMAGES, LABELS if labels else None, norm="l2", radii=at, seed=3, **how)
    if at is None:
        plan = two_stage(NOISE, "l2", shape=SHAPE, **how)
    else:
        target = RadiusTarget(NOISE, "l2", at, SHAPE)
        plan = sequential(target, **how, selection=0 if labels else 100)
    votes = smoothed.vote(IMAGES, LABELS if labels else None, plan=plan, seed=3)
    expected = radii.certify(votes, "l2", alpha=0.01, labels="true" if labels else "predicted")
    np.testing.assert_array_equal(found.radius, expected.radius)
    np.testing.assert_array_equal(found.label, expected.label)
    assert found.plan == plan.name and found.labels == expected.labels
    assert 0 < (found.radius >= 0.1).mean() < 1


@pytest.mark.parametrize(
    "how,words",
    [
        ({"norm": "l9"}, "unknown norm"),
        ({"k": 3}, "k must be smaller than the number of classes, 3; got 3"),
        ({"radii": (0.2, 0.1)}, "radii"),
        ({"radii": (9,)}, "no l2 radius of 9"),
    ],
)
def test_what_cannot_be_certified_is_said_before_the_work(how, words):
    calls = []

    def counting(noisy: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return model(noisy)

    asked = {"norm": "l2", "radii": (0.1,), **how}
    with pytest.raises(InputError, match=words):
        radii.Smoothed(counting, NOISE).certify(IMAGES[:2], LABELS[:2], **asked)
    assert len(calls) <= 6


def test_numbers_of_numpy_are_numbers(tmp_path):
    plan = sequential(questions()[0], n_max=np.int64(300), alpha=np.float64(0.01))
    votes = draw(plan)
    votes.save(tmp_path / "votes")
    again = load_votes(tmp_path / "votes")
    assert again.plan == plan
    for one in (votes, again):
        radii.certify(one, "l2", k=np.int64(1), alpha=0.01)


def test_a_network_that_fails_ends_the_run():
    def broken(noisy: torch.Tensor) -> torch.Tensor:
        if noisy.mean() > -9:
            raise ValueError("out of order")
        return noisy

    with pytest.raises(ValueError, match="out of order"):
        radii.Smoothed(broken, NOISE).vote(IMAGES, LABELS, plan=PLANS["levels"])


def test_without_radii_the_radius_itself_is_asked_for():
    smoothed = radii.Smoothed(model, NOISE)
    found = smoothed.certify(IMAGES[:4], norm="linf", n_max=500)
    assert (found.plan, found.labels, found.norm) == ("two-stage", "predicted", "linf")
    for index, words in (
        ([1, 1], "none twice"),
        ([-1, 1], "from 0"),
        (np.array([1, 2**63], np.uint64), "to 2.*63 - 1"),
    ):
        with pytest.raises(InputError, match=words):
            from_arrays(IMAGES[:2], index=index)
