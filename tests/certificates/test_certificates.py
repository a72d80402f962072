"""From votes to certificates: which label, at what confidence, and what is rejected."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import radii
from radii.certificates import certify, reachable_radius, to_norm
from radii.errors import InputError
from radii.noises.norms import NORMS, inner_radius
from radii.votes.bounds import METHODS
from vote_factory import votes_of_counts

SHAPE = (1, 6, 6)


VOTES = votes_of_counts([[990, 6, 4, 0], [600, 300, 90, 10], [300, 400, 290, 10], [10, 980, 5, 5]])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_certificate_is_the_radius_of_the_bounds(norm: str, k: int, method: str) -> None:
    found = certify(VOTES, norm, k=k, method=method, alpha=0.01)
    lower, rivals = radii.bounds(VOTES.counts, VOTES.labels, k=k, alpha=0.01, method=method)
    expected = radii.certified_radius(VOTES.noise, norm, lower, rivals, k=k, shape=SHAPE)
    np.testing.assert_array_equal(found.radius, expected)
    np.testing.assert_array_equal(found.lower, lower)
    assert (found.k, found.norm, found.n, found.alpha, found.method) == (k, norm, 1000, 0.01, method)
    assert not found.radius[~found.certified].any()


def test_true_predicted_and_given_labels() -> None:
    true, predicted = certify(VOTES, "l2"), certify(VOTES, "l2", labels="predicted")
    assert true.label.tolist() == [0, 0, 0, 0] and predicted.label.tolist() == [0, 0, 1, 1]
    assert true.status.tolist() == ["certified", "certified", "refuted", "refuted"]
    assert predicted.correct.tolist() == [True, True, False, False]
    given = certify(VOTES, "l2", labels=np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(given.radius, predicted.radius)
    assert (true.labels, predicted.labels, given.labels) == ("true", "predicted", "given")


def test_prediction_never_looks_at_the_counts_that_bound_it() -> None:
    # selection samples point at class 3, the bounding samples at class 0: the label is 3, and it abstains
    votes = votes_of_counts([[990, 6, 4, 0]], selection=np.array([[0, 0, 0, 10]]))
    found = certify(votes, "l2", labels="predicted")
    assert found.label.tolist() == [3] and not found.certified.any() and not found.radius.any()


def test_the_whole_set_is_a_top_1_question_about_its_weakest_member() -> None:
    votes = votes_of_counts(
        [[500, 450, 30, 20], [990, 6, 4, 0]], selection=np.array([[6, 4, 0, 0], [9, 1, 0, 0]])
    )
    whole = certify(votes, "l1", k=2, labels="top-k-set", alpha=0.01)
    assert whole.label.tolist() == [[0, 1], [0, 1]]
    # the member with 450 votes against the outsider with 30, as if no other class had any
    lower, _ = radii.bounds(np.array([[450, 30, 520]]), np.array([0]), k=2, alpha=0.01)
    assert whole.lower[0] == lower[0]
    outside = radii.votes.bounds.upper_bound(np.array([30]), 1000, 0.005)
    expected = radii.certified_radius(votes.noise, "l1", lower, outside[:, None], shape=SHAPE)
    assert whole.radius[0] == expected[0]
    members = [certify(votes, "l1", k=2, labels=np.full(2, m), alpha=0.005).radius for m in (0, 1)]
    assert whole.radius[0] > np.min(members, axis=0)[0]
    assert whole.radius[0] > 0 and whole.status.tolist() == ["certified", "abstained"]
    assert whole.correct.all()
    assert whole.accuracy([0.0]).tolist() == [0.5]


def test_accuracy_counts_all_images_and_never_an_abstention() -> None:
    found = certify(VOTES, "l2")
    assert found.accuracy([0]).tolist() == [0.5]
    assert found.accuracy([found.radius[1]]).tolist() == [0.5]
    assert found.accuracy([np.nextafter(found.radius[1], 9)]).tolist() == [0.25]
    assert found.accuracy([10.0]).tolist() == [0]
    # an l0 radius of 0 with the label confirmed is a correct, certified prediction; an abstention is not
    none = certify(VOTES, "l0")
    assert none.radius[1] == 0 and none.accuracy([0]).tolist() == [0.5]


def test_table_of_certificates() -> None:
    found = certify(VOTES, "linf")
    table = found.to_pandas()
    names = ["index", "true_label", "predicted", "correct", "status", "lower", "radius", "jointly"]
    assert table.columns.tolist() == names and len(table) == len(VOTES)
    # images 2 and 3 are misclassified, which their true label alone would not show
    assert table.predicted.tolist() == [0, 0, 1, 1] and table.correct.tolist() == [True, True, False, False]
    for radius in (1e-9, found.radius[1], found.radius[0], 1.0):
        assert (table.correct & (table.radius >= radius)).mean() == found.accuracy([radius])[0]
    sets = certify(VOTES, "linf", k=2, labels="top-k-set").to_pandas()
    assert [len(labels) for labels in sets.predicted] == [2] * len(VOTES)


def test_abstentions_are_those_of_predicted_labels() -> None:
    predicted = certify(VOTES, "l2", labels="predicted", alpha=1e-200)
    assert set(predicted.status) <= {"certified", "abstained"}
    np.testing.assert_array_equal(predicted.abstained, ~predicted.certified)
    with pytest.raises(InputError, match="certified, open or refuted"):
        _ = certify(VOTES, "l2").abstained


def test_the_rank_of_a_label_counts_the_classes_before_it_among_equals() -> None:
    votes = votes_of_counts([[5, 5, 0, 5], [9, 1, 3, 2]], labels=[3, 2])
    assert votes.rank(np.array([3, 2])).tolist() == [2, 1] and votes.majority().tolist() == [0, 0]
    for k, correct in ((1, [False, False]), (2, [False, True]), (3, [True, True])):
        assert certify(votes, "l2", k=k, alpha=0.5).correct.tolist() == correct


@pytest.mark.parametrize(
    "probabilities",
    [[0.3, 0.3, 0.2, 0.2], [0.25] * 4, [0.4, 0.4, 0.1, 0.1], [0.31, 0.3, 0.2, 0.19], [0.3, 0.5, 0.1, 0.1]],
)
@pytest.mark.parametrize("k", [1, 2])
def test_a_label_of_the_top_k_is_refuted_with_probability_alpha_at_most(
    probabilities: list[float], k: int
) -> None:
    if k <= np.sum(np.array(probabilities) > probabilities[0]):
        # the label is not among the k most probable ones, and may be refuted
        return
    draws = np.random.default_rng(7).multinomial(200, probabilities, 20_000)
    votes = votes_of_counts(draws, labels=np.zeros(len(draws), dtype=int))
    alpha, trials = 0.1, len(draws)
    wrong = (certify(votes, "l2", k=k, alpha=alpha).status == "refuted").sum()
    assert wrong <= alpha * trials + 4 * np.sqrt(alpha * trials)


def test_a_label_behind_k_others_is_refuted_and_no_other() -> None:
    counts = np.array([[10, 900, 80, 10], [300, 320, 200, 180], [10, 500, 480, 10]])
    votes = votes_of_counts(counts, labels=[0, 0, 0])
    assert certify(votes, "l2").status.tolist() == ["refuted", "open", "refuted"]
    assert certify(votes, "l2", k=2).status.tolist() == ["refuted", "certified", "refuted"]
    assert certify(votes, "l2", k=3).status.tolist() == ["open", "certified", "open"]


@pytest.mark.parametrize("noise", [radii.Gaussian(0.5), radii.Laplace(0.5), radii.Uniform(0.5)])
def test_reachable_radius_is_that_of_unanimous_votes(noise: radii.Noise) -> None:
    votes = votes_of_counts([[1000, 0, 0, 0], [999, 1, 0, 0]], noise=noise)
    for norm in ("l1", "linf"):
        reach = reachable_radius(noise, norm, 1000, classes=4, shape=SHAPE, k=2)
        radius = certify(votes, norm, k=2).radius
        assert radius[0] == reach and radius[1] < reach


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"norm": "l4"}, "unknown norm"),
        ({"k": 4}, "smaller than the number of classes"),
        ({"k": 1.5}, "whole number"),
        ({"alpha": 2}, "at least 1e-200 and below 1"),
        ({"alpha": 1e-300}, "at least 1e-200 and below 1; got 1e-300"),
        ({"alpha": "0.001"}, "at least 1e-200 and below 1; got '0.001'"),
        ({"labels": "truth"}, "did you mean 'true'"),
        ({"labels": np.array([1, 2])}, "one per image"),
        ({"labels": np.array([0, 1, 2, 9])}, "class numbers"),
        ({"method": "cohen"}, "unknown method"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    given = {"norm": "l2", **arguments}
    with pytest.raises(InputError, match=words):
        certify(VOTES, given.pop("norm"), **given)


def test_certificates_are_printed_in_three_lines() -> None:
    certificates = certify(VOTES, "l2")
    first, second, third = repr(certificates).splitlines()
    assert first == f"Certificates of {len(VOTES)} images, l2, k = 1, alpha = 0.001"
    assert second.startswith("noise ") and ", median radius " in third
    assert third.startswith("plain accuracy 50.0%, certified 50.0%, open 0.0%, refuted 50.0%")
    assert "plain" not in repr(replace(certificates, true_label=None))
    assert "l0 (pixels)" in repr(certify(VOTES, "l0")) and "l0 (features)" in repr(
        certify(VOTES, "l0", unit="feature")
    )


@pytest.mark.parametrize(
    "given,words",
    [
        (0.5, r"radii must be a list of numbers, for example \[0\.5\]; got 0\.5"),
        ("8/255", "radii must be a list of numbers"),
        (["0.5"], "radii must be a list of numbers"),
        ([[0.5]], "radii must be a list of numbers"),
        ([0, -1], "radii must be numbers of at least 0; got -1"),
        ([np.nan], "radii must be numbers of at least 0; got nan"),
    ],
)
def test_accuracy_takes_a_list_of_radii(given: object, words: str) -> None:
    certificates = certify(VOTES, "l2")
    assert certificates.accuracy({0.0}) == certificates.accuracy([0]) == certificates.accuracy(range(1))
    with pytest.raises(InputError, match=words):
        certificates.accuracy(given)


def test_rejects_what_the_votes_do_not_hold() -> None:
    with pytest.raises(InputError, match="no true labels"):
        certify(replace(VOTES, labels=None), "l2")
    with pytest.raises(InputError, match="no true labels"):
        _ = certify(replace(VOTES, labels=None), "l2", labels="predicted").correct
    no_selection = votes_of_counts(VOTES.counts, selection=np.zeros((4, 4), int))
    with pytest.raises(InputError, match="no selection samples to predict labels"):
        certify(no_selection, "l2", labels="predicted")


def test_says_when_n_is_too_small_and_how_many_samples_would_do() -> None:
    votes = votes_of_counts([[5, 0, 0, 0]])
    with pytest.raises(InputError, match=r"n = 5 samples cannot certify anything .* at least 11 samples"):
        certify(votes, "l2")
    assert certify(votes_of_counts([[11, 0, 0, 0]]), "l2").radius[0] > 0
    with pytest.raises(InputError, match="n = 10 samples"):
        certify(votes_of_counts([[10, 0, 0, 0]]), "l2")


def test_rejects_a_part_of_the_samples() -> None:
    part = votes_of_counts([[50, 0, 0, 0]], plan=radii.fixed(100, 10))
    with pytest.raises(InputError, match="50 of the 100 planned samples"):
        certify(part, "l2")


def test_rejects_a_file_name_in_place_of_votes() -> None:
    with pytest.raises(InputError, match=r"radii\.load_votes"):
        certify("votes.parquet", "l2")  # type: ignore[arg-type]


LENGTHS = {"l1": 1, "l2": 2, "linf": np.inf}


@pytest.mark.parametrize("outer", LENGTHS)
@pytest.mark.parametrize("inner", LENGTHS)
def test_a_converted_ball_lies_within_and_touches(outer: str, inner: str) -> None:
    d, radius = 108, 0.7
    inside = float(inner_radius(np.array(radius), outer, inner, d))
    moves = np.concatenate([np.random.default_rng(0).normal(size=(200, d)), np.eye(d)[:1], np.ones((1, d))])
    moves *= inside / np.linalg.norm(moves, LENGTHS[inner], axis=1, keepdims=True)
    reached = np.linalg.norm(moves, LENGTHS[outer], axis=1)
    assert reached.max() <= radius * (1 + 1e-14) and reached.max() >= radius * (1 - 1e-14)


@given(st.floats(1e-6, 1e6), st.integers(1, 10**6))
def test_a_converted_radius_is_rounded_down(radius: float, d: int) -> None:
    exact = Fraction(radius) ** 2
    assert Fraction(float(inner_radius(np.array(radius), "l1", "l2", d))) ** 2 * d <= exact
    assert Fraction(float(inner_radius(np.array(radius), "l2", "linf", d))) ** 2 * d <= exact
    assert Fraction(float(inner_radius(np.array(radius), "l1", "linf", d))) * d <= Fraction(radius)
    assert inner_radius(np.array(radius), "linf", "l2", d) == radius


@pytest.mark.parametrize("noise", [radii.Gaussian(0.5), radii.Laplace(0.5), radii.Uniform(0.5)])
def test_no_conversion_beats_a_tight_rule(noise: radii.Noise) -> None:
    votes = votes_of_counts(VOTES.counts, noise=noise)
    for norm in LENGTHS:
        direct = certify(votes, norm)
        for other in LENGTHS:
            found = to_norm(certify(votes, other), norm)
            assert (found.norm, found.status.tolist()) == (norm, direct.status.tolist())
            if noise.rules[norm].tightness.startswith("tight"):
                assert (found.radius <= direct.radius * (1 + 1e-4)).all()


def test_l0_is_not_converted() -> None:
    with pytest.raises(InputError, match="unknown norm 'l0'"):
        to_norm(certify(VOTES, "l0"), "l2")
