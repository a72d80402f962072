"""Figures: what is drawn is what was found, and every figure says what was measured."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from certificate_factory import make_certificates
from commands import fine
from radii.certificates.radius import certified_radius
from radii.errors import InputError
from radii.noises import NOISES, Gaussian, Laplace, Uniform
from radii.noises.norms import NORMS
from radii.report.html.examples import picture_uri
from radii.report.plots import (
    accuracy_by_k,
    accuracy_by_noise,
    image_strip,
    noise_colour,
    png_bytes,
    radius_by_probability,
    shades,
    svg_text,
)
from radii.report.plots.curves import axis_scale, step_path
from radii.report.plots.labels import DIRECT, Curve, draw_curves
from radii.report.plots.style import frame, readable

NOISE_NAMES = ("laplace", "gaussian", "uniform")


def compared(norm="l2", **settings):
    return {name.capitalize(): make_certificates(name, norm, **settings) for name in NOISE_NAMES}


def figures():
    """One of each kind."""
    shown = {norm: make_certificates(norm=norm) for norm in NORMS}
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    return {
        "by noise": accuracy_by_noise(compared()),
        "by k": accuracy_by_k([make_certificates("gaussian", k=k) for k in (1, 2, 3)]),
        "theory": radius_by_probability([Laplace(0.5)], "l1", (3, 8, 8), n=100_000, alpha=1e-3, points=5),
        "strip": image_strip(images, shown, [4, 5, 6]),
    }


def texts(figure):
    found = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]
    return [text.get_text().replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ") for text in found]


@pytest.mark.parametrize("kind", ["by noise", "by k", "theory", "strip"])
def test_every_figure_says_what_was_measured(kind):
    # a dot between two facts goes where a line ends there
    words = " ".join(texts(figures()[kind])).replace(" · ", " ")
    expected = ["n = 100,000", "α = 0.001", "σ = 0.5"]
    expected.append("no test images" if kind == "theory" else "120 images CIFAR-10 test, every 20th of 10000")
    assert all(part in words for part in expected), words


@pytest.mark.parametrize(("sigmas", "said"), [((0.5, 0.25), "0.25 or 0.5"), ((1, 0.25, 0.5), "0.25 to 1")])
def test_two_levels_are_told_and_of_more_the_ends(sigmas, said):
    named = {f"{sigma:g}": make_certificates(sigma=sigma) for sigma in sigmas}
    assert f"σ = {said} ·" in " ".join(texts(accuracy_by_noise(named)))


@pytest.mark.parametrize("kind", ["by noise", "by k", "theory", "strip"])
def test_no_text_leaves_its_figure(kind):
    figure = figures()[kind]
    used, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert used.x0 >= 0 and used.y0 >= 0 and used.x1 <= width and used.y1 <= height, used


@pytest.mark.parametrize("norm", NORMS)
def test_the_drawn_steps_are_the_certified_accuracy(norm):
    one = make_certificates("gaussian", norm, images=90)
    x, y = step_path(one)
    assert (np.diff(x) >= 0).all() and (np.diff(y) <= 0).all() and y[-1] == 0
    assert ((np.diff(x) == 0) | (np.diff(y) == 0)).all(), "a step goes along or down, never aslant"
    # One position to the left of an insertion is the corner whose height reaches up to it.
    if norm == "l0":
        at = np.arange(int(one.radius.max()) + 1)
    else:
        at = np.random.default_rng(2).uniform(0, one.radius.max(), 200)
    drawn = y[np.searchsorted(x, at * axis_scale(norm)) - 1]
    assert np.array_equal(drawn, one.accuracy(at))


def test_many_steps_are_merged_downwards_and_invisibly():
    one = make_certificates(images=20_000)
    x, y = step_path(one)
    assert len(x) <= 1200
    at = np.random.default_rng(2).uniform(0, one.radius.max(), 500)
    drawn, true = y[np.searchsorted(x, at) - 1], one.accuracy(at)
    assert (drawn <= true).all()
    assert (drawn >= one.accuracy(at + one.radius.max() / 300)).all()


def test_curves_keep_the_colour_of_their_noise():
    axes = accuracy_by_noise(compared("l1")).axes[0]
    assert [line.get_color() for line in axes.lines] == [noise_colour(name) for name in NOISE_NAMES]
    assert accuracy_by_k([make_certificates("uniform")]).axes[0].lines[0].get_color() == noise_colour(
        "uniform"
    )
    assert len({noise_colour(name) for name in NOISES}) == len(NOISES)


def oklab(colour: str) -> np.ndarray:
    """The colour in coordinates in which equal distances look equally large (Ottosson 2020)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    cones = [[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074], [0.0883, 0.28172, 0.62998]]
    mixed = [[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]]
    return np.array(mixed) @ np.cbrt(np.array(cones) @ linear)


def test_colours_of_noises_are_told_apart():
    found = [oklab(noise_colour(name)) for name in NOISES]
    apart = [np.linalg.norm(one - other) for one, other in itertools.combinations(found, 2)]
    assert min(apart) > 0.1


def test_one_noise_at_several_levels_is_drawn_in_shades():
    several = {f"{sigma}": make_certificates("laplace", sigma=sigma) for sigma in (0.25, 0.5, 1.0)}
    colours = [line.get_color() for line in accuracy_by_noise(several).axes[0].lines]
    assert colours == shades(noise_colour("laplace"), 3) and len(set(colours)) == 3


def test_a_comparison_within_one_noise_names_it():
    levels = {f"{sigma}": make_certificates("laplace", sigma=sigma) for sigma in (0.25, 0.5)}
    assert "Certified accuracy, ℓ₂, Laplace noise" in texts(accuracy_by_noise(levels))
    assert "Certified top-3 accuracy, ℓ₂" in texts(accuracy_by_noise(compared(k=3)))


@pytest.mark.parametrize("name", NOISE_NAMES)
def test_shades_grow_lighter_and_their_labels_stay_readable(name):
    brightness = [sum(to_rgb(colour)) for colour in shades(noise_colour(name), 5)]
    assert brightness == sorted(brightness)
    assert all(sum(to_rgb(readable(colour))) < 1.75 for colour in shades(noise_colour(name), 5))


@pytest.mark.parametrize("norm", NORMS)
def test_axes_end_where_the_last_curve_does_and_share_one_height(norm):
    named = compared(norm)
    axes = accuracy_by_noise(named).axes[0]
    last = (
        max(one.radius[one.correct].max() for one in named.values()) * axis_scale(norm) + (norm == "l0") / 2
    )
    assert axes.get_ylim() == (0, 1)
    assert last <= axes.get_xlim()[1] <= 1.05 * last


def test_an_l0_axis_counts_whole_units_even_where_nothing_is_certified():
    nothing = replace(make_certificates(norm="l0"), radius=np.zeros(120))
    figure = accuracy_by_noise({"Laplace": nothing})
    figure.canvas.draw()
    ticks = [tick for tick in figure.axes[0].get_xticks() if -0.5 <= tick <= 1.5]
    assert ticks == [0, 1]


def test_linf_is_drawn_in_grey_levels():
    figure = accuracy_by_noise(compared("linf"))
    figure.canvas.draw()
    assert any(text.endswith("/255") for text in texts(figure))


def test_more_places_are_certified_among_more_labels():
    lines = accuracy_by_k([make_certificates("laplace", k=k) for k in (3, 1, 2)]).axes[0].lines
    assert [line.get_label() for line in lines] == ["k = 1", "k = 2", "k = 3"]
    heights = [line.get_ydata()[0] for line in lines]
    assert heights == sorted(heights)


def test_top_k_figures_say_which_run_they_show():
    ranks = [make_certificates("laplace", sigma=0.25, k=k) for k in (1, 2)]
    assert "Certified top-k accuracy, ℓ₂, Laplace noise, σ = 0.25" in texts(accuracy_by_k(ranks))
    assert "Certified top-k accuracy, ℓ₂, Laplace 0.25 a/votes" in texts(
        accuracy_by_k(ranks, name="Laplace 0.25 a/votes")
    )
    figure = accuracy_by_k(ranks, name=f"Laplace 0.25 {'long/' * 20}votes")
    assert figure.get_tightbbox().x1 <= figure.get_size_inches()[0]
    assert any(text.startswith("Certified top-k") and text.endswith("long/votes") for text in texts(figure))


def test_top_k_curves_of_two_noises_are_not_one_figure():
    with pytest.raises(InputError, match="one noise"):
        accuracy_by_k([make_certificates("laplace"), make_certificates("gaussian", k=2)])


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_theory_curves_are_certified_radii(norm):
    noises = [Laplace(0.5), Gaussian(0.5), Uniform(0.5)]
    axes = radius_by_probability(noises, norm, (1, 4, 4), points=7).axes[0]
    for noise, line in zip(noises, axes.lines, strict=True):
        lower = np.asarray(line.get_xdata())
        assert lower[0] == 0.5 and lower[-1] == pytest.approx(0.9999)
        found = certified_radius(noise, norm, lower, shape=(1, 4, 4)) * axis_scale(norm)
        assert np.array_equal(line.get_ydata(), found)


def test_theory_marks_what_the_draws_can_show():
    few = radius_by_probability([Laplace(0.5)], "l1", (1, 4, 4), n=1000, alpha=1e-3, points=5)
    assert few.axes[0].lines[-1].get_xdata()[0] == pytest.approx(0.001 ** (1 / 1000))
    assert any("1,000 samples" in text for text in texts(few))


def test_theory_is_drawn_at_one_sigma():
    with pytest.raises(InputError, match="one sigma"):
        radius_by_probability([Laplace(0.5), Gaussian(0.25)], "l1", (1, 4, 4))


def overlapping(boxes):
    return any(one.overlaps(two) for place, one in enumerate(boxes) for two in boxes[:place])


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_labels_touch_no_other_label_and_name_the_nearest_curve(count):
    _, axes = frame("", "", "", "")
    x = np.linspace(0, 1, 50)
    curves = [Curve(f"k = {place}", "#0072b2", x, (1 - x) ** (3 * place + 1)) for place in range(count)]
    draw_curves(axes, curves)
    labels = [text for text in axes.texts if text.get_label() == DIRECT]
    assert len(labels) == count or (not labels and len(axes.get_legend().get_texts()) == count)
    boxes = [label.get_window_extent() for label in labels]
    assert not overlapping(boxes)
    for label, box in zip(labels, boxes, strict=True):
        centre = axes.transData.inverted().transform([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        gaps = [np.hypot(curve.x - centre[0], curve.y - centre[1]).min() for curve in curves]
        assert curves[int(np.argmin(gaps))].name == label.get_text()


def direct(axes):
    """The names at the ends of curves in a figure, and the boxes that they take, in pixels."""
    found = {
        text.get_text(): Text.get_window_extent(text) for text in axes.texts if text.get_label() == DIRECT
    }
    leaders = sum(text.get_label() == DIRECT and not text.get_text() for text in axes.texts)
    return {name: box for name, box in found.items() if name}, leaders


def touched(axes, box):
    """The curves that run through a box in pixels."""
    paths = [line.get_path().transformed(line.get_transform()) for line in axes.lines]
    return [path for path in paths if path.intersects_bbox(box, filled=False)]


@pytest.mark.parametrize(
    ("heights", "leaders"), [((0.2, 0.5, 0.9), 0), ((0.5, 0.53, 0.9), 1), ((0.94, 0.97), 1)]
)
def test_names_stand_at_the_ends_in_their_order_and_moved_ones_have_leaders(heights, leaders):
    figure, axes = frame("", "", "", "")
    axes.set(xlim=(0, 1.03), ylim=(0, 1))
    x = np.linspace(0, 1, 50)
    draw_curves(axes, [Curve(f"{height:g}", "#0072b2", x, height * x) for height in heights])
    names, found = direct(axes)
    assert list(names) == [f"{height:g}" for height in heights] and found == leaders
    boxes = list(names.values())
    assert not overlapping(boxes) and not any(touched(axes, box) for box in boxes)
    assert all(axes.bbox.x1 < box.x0 and box.x1 < figure.bbox.x1 for box in boxes)
    middles = [box.y0 + box.y1 for box in boxes]
    assert middles == sorted(middles)


def test_names_of_falling_curves_stand_at_the_feet_of_their_last_steps():
    _, axes = frame("", "", "", "")
    axes.set(xlim=(0, 1.02), ylim=(0, 1))
    curves = [
        Curve(f"{end:g}", "#0072b2", np.array([0, end, end]), np.array([0.9, 0.4, 0]))
        for end in (0.1, 0.6, 1)
    ]
    draw_curves(axes, curves)
    names, leaders = direct(axes)
    assert list(names) == ["0.1", "0.6", "1"] and not leaders
    for curve, box in zip(curves, names.values(), strict=True):
        foot = axes.transData.transform((curve.x[-1], 0))
        assert 0 < box.x0 - foot[0] < 20 and 0 < box.y0 - foot[1] < 5 and not touched(axes, box)


@pytest.mark.parametrize("ends", [(0.5, 0.55, 1), (0.5, 1, 1.001)])
def test_names_without_room_at_their_own_curve_are_in_a_key(ends):
    _, axes = frame("", "", "", "")
    axes.set(xlim=(0, 1.02), ylim=(0, 1))
    wide = axes.get_position().width
    draw_curves(
        axes,
        [Curve(f"end {end}", "#0072b2", np.array([0, end, end]), np.array([0.9, 0.4, 0])) for end in ends],
    )
    assert direct(axes) == ({}, 0) and len(axes.get_legend().get_texts()) == 3
    assert axes.get_position().width == wide


def test_curves_without_width_are_drawn():
    nothing = replace(make_certificates(), radius=np.zeros(120))
    axes = accuracy_by_noise({"first": nothing, "second": make_certificates("gaussian")}).axes[0]
    assert len(axes.lines) == 2
    axes = accuracy_by_noise({"first": nothing, "second": nothing}).axes[0]
    assert len(axes.get_legend().get_texts()) == 2


def test_long_names_are_in_a_key_rather_than_beside_narrow_axes():
    _, axes = frame("", "", "", "")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    x = np.linspace(0, 1, 50)
    draw_curves(
        axes, [Curve(f"a/long/path/to/votes of {height}", "#0072b2", x, height * x) for height in (0.2, 0.9)]
    )
    assert direct(axes) == ({}, 0) and len(axes.get_legend().get_texts()) == 2


def test_curves_that_coincide_get_a_key_instead():
    same = {name: make_certificates("laplace") for name in ("first", "second")}
    axes = accuracy_by_noise(same).axes[0]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"first", "second"}


def test_the_strip_shows_floored_radii_and_says_what_is_wrong():
    certificates = {norm: make_certificates(norm=norm, sigma=2.0) for norm in NORMS}
    one = certificates["l2"]
    wrong = int(np.flatnonzero(~one.correct & one.certified)[0])
    held = int(np.flatnonzero(one.correctly_certified)[0])
    silent = int(np.flatnonzero(~one.certified)[0])
    images = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    words = texts(image_strip(images, certificates, [wrong, held, silent]))
    assert f"{one.label[wrong]} (wrong)" in words and "abstained" in words
    assert f"{np.floor(one.radius[held] * 1000) / 1000:.3f}" in words


def test_files_are_reproducible_and_load_nothing():
    figure = accuracy_by_noise(compared())
    picture = svg_text(figure)
    assert picture == svg_text(figure)
    assert png_bytes(figure) == png_bytes(figure)
    assert png_bytes(figure).startswith(b"\x89PNG")
    assert "Laplace" in picture, "text stays text"
    assert 'href="http' not in picture and len(picture) < 60_000


# settings of a user ------------------------------------------------------------------------------

SETTINGS = """
text.usetex: True
font.family: Comic Sans MS, serif
font.size: 31
figure.dpi: 17
figure.facecolor: black
figure.autolayout: True
savefig.dpi: 23
savefig.bbox: tight
savefig.facecolor: red
savefig.transparent: True
savefig.format: pdf
axes.facecolor: green
axes.spines.bottom: False
axes.prop_cycle: cycler(color=['y'])
axes.formatter.use_locale: True
axes.unicode_minus: False
axes.xmargin: .3
legend.frameon: False
lines.linewidth: 9
lines.linestyle: --
path.sketch: 9, 9, 9
image.cmap: jet
image.origin: lower
svg.fonttype: path
svg.hashsalt: salt
text.color: magenta
xtick.direction: in
ytick.minor.visible: True
"""


def drawn():
    """All figures as they are written."""
    picture = picture_uri(np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
    return [picture, *(form(figure) for figure in figures().values() for form in (png_bytes, svg_text))]


def test_a_users_settings_change_no_figure_and_stay_as_they_are(tmp_path):
    before = dict(matplotlib.rcParams)
    usual = drawn()
    assert dict(matplotlib.rcParams) == before
    rc = tmp_path / "matplotlibrc"
    rc.write_text(SETTINGS, encoding="utf-8")
    with matplotlib.rc_context(fname=rc):
        theirs = dict(matplotlib.rcParams)
        assert theirs["text.usetex"] and theirs["image.origin"] == "lower"
        assert drawn() == usual
        assert dict(matplotlib.rcParams) == theirs


@pytest.mark.parametrize("backend", ["TkAgg", "QtAgg", "nonsense"])
def test_a_command_draws_the_same_under_any_settings(tmp_path, backend):
    """A file of settings in the current folder comes before that of the user."""
    (tmp_path / "matplotlibrc").write_text(
        f"{SETTINGS}\nbackend: TkAgg\ninteractive: True\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "radii", "noises", "--norm", "l1", "--plot", "rules.png"]
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {
        "MPLBACKEND": backend
    }
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        fine("noises", "--norm", "l1", "--plot", "usual.png")
    assert (tmp_path / "rules.png").read_bytes() == (tmp_path / "usual.png").read_bytes()


def test_settings_that_matplotlib_cannot_read_are_said(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe: True\n")
    command = [sys.executable, "-m", "radii", "noises", "--norm", "l1", "--plot", "rules.png"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(
        "radii: matplotlib cannot be loaded with its settings here"
    )


# attacked curves -------------------------------------------------------------------------------------


def dashed(figure):
    """Corners of the dashed curves, in the units of the axis."""
    return [line.get_data() for line in figure.axes[0].lines if line.get_linestyle() not in ("-", "None")]


@pytest.mark.parametrize("norm", NORMS)
def test_the_dashed_curve_begins_at_plain_accuracy_and_is_never_below_the_certified_one(norm):
    one = make_certificates("gaussian", norm, images=90)
    lengths = np.where(
        one.radius > 0, 1.3 * np.ceil(one.radius) if norm == "l0" else 1.3 * one.radius, np.inf
    )
    lengths = np.ceil(lengths) if norm == "l0" else lengths
    lengths[::3] = np.inf
    figure = accuracy_by_noise({"Gaussian": one}, attacks={"Gaussian": lengths})
    ((x, y),) = dashed(figure)
    assert y[0] == one.correct.mean() > one.accuracy([0])[0], "images that were never certified are not lost"
    assert x[-1] >= figure.axes[0].get_xlim()[1] or norm == "l0"
    at = np.arange(3) if norm == "l0" else np.random.default_rng(0).uniform(0, one.radius.max(), 50)
    drawn = y[np.searchsorted(x, at * axis_scale(norm), side="left") - 1]
    expected = [np.mean(one.correct & (lengths > radius)) for radius in at]
    np.testing.assert_allclose(drawn, expected)
    assert (drawn >= one.accuracy(at)).all()
    assert "dashed: majority vote under the attacks tried" in " ".join(texts(figure))


def test_each_k_has_its_own_dashed_curve_or_none():
    ranks = [make_certificates("laplace", k=k) for k in (1, 2, 3)]
    attacks = {1: np.full(120, np.inf), 3: np.full(120, 0.1)}
    curves = dashed(accuracy_by_k(ranks, attacks=attacks))
    assert [y[0] for _, y in curves] == [ranks[0].correct.mean(), ranks[2].correct.mean()]
    assert len(set(curves[0][1])) == 1 and curves[1][1][-1] == 0
    assert not dashed(accuracy_by_k(ranks)) and "dashed" not in " ".join(texts(accuracy_by_k(ranks)))


def test_names_keep_clear_of_dashed_curves():
    one = make_certificates("gaussian")
    named = {"first": one, "second": make_certificates("laplace", sigma=0.25)}
    axes = accuracy_by_noise(named, attacks={"second": np.full(120, np.inf)}).axes[0]
    names, _ = direct(axes)
    assert not any(touched(axes, box) for box in names.values())
