"""Radii are rounded down, and the guarantee names everything that it depends on."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificate_factory import make_certificates
from radii.errors import InputError
from radii.report.formatting import draws_text, floor_text, guarantee, radius_text


@given(st.floats(0, 1e6), st.integers(0, 8))
def test_a_printed_radius_is_never_above_the_radius(value, digits):
    printed = Fraction(floor_text(value, digits))
    assert printed <= Fraction(value) < printed + Fraction(1, 10**digits)


@given(st.floats(0, 1))
def test_a_printed_linf_radius_is_never_above_the_radius(value):
    levels, whole = radius_text(value, "linf").split("/")
    assert whole == "255" and Fraction(levels) / 255 <= Fraction(value)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.9999, 3, "0.999"),
        (0.3, 3, "0.299"),  # the double 0.3 lies below three tenths
        (0.1, 3, "0.100"),  # and 0.1 above one tenth
        (0.25, 3, "0.250"),
        (math.nextafter(1, 0), 3, "0.999"),
        (1.0, 0, "1"),
        (12345.678, 1, "12345.6"),
        (1e-9, 3, "0.000"),
        (-0.0001, 3, "-0.001"),
    ],
)
def test_floors(value, digits, text):
    assert floor_text(value, digits) == text


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_only_finite_radii_are_printed(value):
    with pytest.raises(InputError, match="finite"):
        floor_text(value, 3)


def test_the_guarantee_names_confidence_norm_unit_and_k():
    text = guarantee(make_certificates(norm="l0", k=3, unit="pixel"))
    assert all(
        part in text
        for part in ("0.999", "l0", "changed pixels", "removes the certified label from the top 3")
    )
    assert "that keeps the image in [0, 1]" in text, "l0 changes a feature by up to the whole range"
    free = make_certificates("gaussian", "l1")
    assert guarantee(free).endswith("changes the certified prediction of the smoothed classifier.")
    assert "[0, 1] and" not in guarantee(free)
    assert "that keeps the image in [0, 1] and whose l1 norm" in guarantee(replace(free, box=True))
    assert "that yields an 8-bit image and whose" in guarantee(replace(free, on_grid=True))


def test_counted_outcomes_are_told_from_noise_samples():
    fixed = replace(make_certificates(), plan="fixed", n=1000)
    early = replace(fixed, plan="sequential", n=100_000, mean_samples=1020.5)
    listed = replace(fixed, plan="exhaustive", n=442, mean_samples=442.0)
    assert draws_text([fixed]) == "1,000"
    assert draws_text([early, early]) == "up to 100,000 (1,021 on average)"
    piloted = replace(early, plan="two-stage")
    assert draws_text([piloted]) == "up to 100,000 (1,021 on average, with a pilot)"
    assert draws_text([listed]) == "all 442"
    assert draws_text([listed, replace(listed, n=663)]) == "all 442 to 663"
    assert draws_text([fixed, listed]) == "1,000 or all 442"
    # an average is that of the runs that stop early
    assert draws_text([fixed, early]) == "1,000 or up to 100,000 (1,021 on average)"
