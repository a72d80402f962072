"""Published results: the rows that come with radii, files of your own, and both beside certificates."""

import json
from dataclasses import replace

import numpy as np
import pytest

from certificate_factory import make_certificates
from radii.errors import InputError, UnknownName
from radii.report.accuracy_table import footnotes, marked_names, tabulate
from radii.report.export import json_text, table_json, table_markdown
from radii.report.html.page import entries
from radii.report.plots import accuracy_by_k, accuracy_by_noise
from radii.report.published import NAMES, check_same_data, load_published, of_question
from radii.report.round_radii import round_radii
from radii.votes import ImageIdentity

CIFAR = load_published("cifar10")
ROW = """
data = "cifar10 test"
[[row]]
name = "theirs"
norm = "linf"
sigma = 0.25
accuracy = { "2/255" = 0.5, "0" = 0.75 }
source = "a paper"
architecture = "ResNet-110"
extra_data = "none"
"""


def write(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


def test_the_rows_that_come_with_radii():
    assert NAMES == ["cifar10"] and len(CIFAR) >= 10
    for row in CIFAR:
        shares = list(row.accuracy.values())
        assert list(row.accuracy) == sorted(row.accuracy) and shares == sorted(shares, reverse=True)
        assert row.source and row.data == "cifar10 test"
    assert len({(row.name, row.norm, row.k) for row in CIFAR}) == len(CIFAR)
    teng, project = (row for row in of_question(CIFAR, "l1", 1) if row.noise == "laplace")
    assert teng.sigma is None and teng.accuracy[1.0] == 0.39
    assert (project.sigma, project.n) == (0.5, 1000) and project.note.endswith(
        "logs; 1,000 noise samples per image"
    )
    assert not of_question(CIFAR, "l1", 2)
    assert {row.k for row in CIFAR if "Jia" in row.source} == {1, 3, 5}


def test_rows_cannot_be_changed():
    with pytest.raises(TypeError):
        CIFAR[0].accuracy[0.5] = 1.0


def test_a_file_of_your_own(tmp_path):
    (row,) = load_published(write(tmp_path, ROW))
    assert (row.name, row.norm, row.k, row.sigma, row.n) == ("theirs", "linf", 1, 0.25, None)
    assert row.accuracy == {0.0: 0.75, 2 / 255: 0.5} and row.note == "a paper"
    (row,) = load_published(write(tmp_path, ROW.replace("sigma", "n = 1000\nimages = 500\nsigma")))
    assert row.note == "a paper; 1,000 noise samples per image; 500 images"


def test_published_l0_radii_say_what_they_count(tmp_path):
    text = ROW.replace("linf", "l0").replace("2/255", "2")
    with pytest.raises(InputError, match=r"row 1 of own\.toml must say its unit"):
        load_published(write(tmp_path, text))
    rows = load_published(write(tmp_path, text.replace("sigma", 'unit = "pixel"\nsigma')))
    pixels, features = (make_certificates("laplace", "l0", unit=unit) for unit in ("pixel", "feature"))
    assert tabulate({"own": pixels}, published=rows).names == ("own", "theirs")
    assert tabulate({"own": features}, published=rows).names == ("own",)
    assert (
        accuracy_by_noise({"own": pixels}, rows).legends
        and not accuracy_by_noise({"own": features}, rows).legends
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('norm = "linf"', 'norm = "l3"', "norm in row 1"),
        ('norm = "linf"', "", "must say its norm"),
        ("sigma = 0.25", 'sigma = "good"', 'a number above 0, or "best"'),
        ("sigma = 0.25", "sigma = true", 'a number above 0, or "best"'),
        ("sigma = 0.25", "sigma = inf", 'a number above 0, or "best"'),
        ('name = "theirs"', "name = 3", "name in row 1 of own.toml must be text"),
        ('source = "a paper"', 'source = ""', "source in row 1 of own.toml must be text"),
        ('name = "theirs"', r'name = "th\neirs"', "name in row 1 of own.toml must be text in one line"),
        ('name = "theirs"', r'name = "theirs\u200b"', "name in row 1 of own.toml must be text in one line"),
        (
            "sigma",
            'noise = "laplac"\nsigma',
            "unknown noise in row 1 of own.toml 'laplac'; did you mean 'laplace'",
        ),
        ("sigma", 'unit = "pixel"\nsigma', "unknown unit in row 1"),
        ("sigma", "year = 19.5\nsigma", "year in row 1 of own.toml must be a whole number"),
        ("sigma", "alpha = 1\nsigma", "alpha in row 1 of own.toml must be a number from 0 to below 1"),
        ("sigma", "bibkey = 3\nsigma", "bibkey in row 1 of own.toml must be text"),
        ("sigma", "n = true\nsigma", "n in row 1 of own.toml must be a whole number"),
        ("[[row]]", "date = 3\n[[row]]", "unknown field in own.toml 'date'; did you mean 'data'"),
        ("0.75", "nan", "must give shares by radius"),
        ("0.75", "true", "must give shares by radius"),
        ('"0"', '"1/0"', "must give shares by radius"),
        ('"0"', '"-1"', "must give shares by radius"),
        ("0.75", "0.25", "is 0.25 at 0 and 0.5 at 0.00784314; each radius comes once, and a larger one"),
        ('"0" = 0.75', '"4/510" = 0.5', "each radius comes once"),
        ("sigma", "colour = 3\nsigma", "unknown field in row 1"),
        ("sigma", "k = 0\nsigma", "k in row 1 of own.toml must be a whole number"),
        ("0.75", "75", "must give shares by radius"),
        ('"0"', '"near"', "must give shares by radius"),
        ('"0"', '"1e999999999"', "must give shares by radius"),
        ("sigma = 0.25", "sigma = 1" + "0" * 400, 'a number above 0, or "best"'),
        ("sigma = 0.25", "sigma = " + "[" * 3000, "holds no published results"),
        ('{ "2/255" = 0.5, "0" = 0.75 }', "0.5", "must give shares by radius"),
        ("[[row]]", "", "holds no published results"),
        ('data = "cifar10 test"', "", "holds no published results"),
        ("[[row]]", "[[row", "holds no published results"),
    ],
)
def test_wrong_files_are_rejected(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        load_published(write(tmp_path, ROW.replace(old, new, 1)))


def test_missing_files_and_names(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'cifar10'"):
        load_published("cifar1")
    with pytest.raises(InputError, match="there is no file"):
        load_published(tmp_path / "none.toml")


def test_the_rows_state_their_conditions_and_name_works_of_the_bibliography():
    known = entries()
    for row in CIFAR:
        assert row.architecture and row.extra_data, row.name
        assert row.bibkey in known or (row.bibkey, row.year) == ("", None), row.name
        # the year of a key is that of its work
        assert row.bibkey.endswith(str(row.year or "")), row.name
    assert {row.architecture for row in CIFAR if "MLProject" in row.name} == {"ResNet-110"}
    best = {(row.name, row.extra_data): row for row in of_question(CIFAR, "l2", 1)}
    more = best["SmoothAdv with more data", "ImageNet, unlabelled images"]
    assert [round(more.accuracy[radius], 2) for radius in (0.25, 0.5, 0.75, 1.5)] == [0.82, 0.65, 0.52, 0.3]
    assert best["easy images .25, Sun et al. 2025", "none"].accuracy[0.5] == 0.593
    assert best["easy images .5, Sun et al. 2025", "none"].accuracy[1.5] == 0.29
    assert sum(row.sigma == 1 for row in best.values()) >= 5
    assert "floor(2 λ 255)" in next(row.note for row in CIFAR if row.noise == "splitting")


def test_missing_columns_are_named_all_at_once(tmp_path):
    text = ROW.replace('architecture = "ResNet-110"\n', "").replace('extra_data = "none"\n', "")
    with pytest.raises(
        InputError, match=r"row 1 of own\.toml must say its architecture, extra_data, as on a leader"
    ):
        load_published(write(tmp_path, text))
    with pytest.raises(InputError, match=r"must say its source$"):
        load_published(write(tmp_path, ROW.replace('source = "a paper"\n', "")))


def test_own_runs_never_share_a_bold_cell_with_rows_about_other_images():
    own = make_certificates("laplace", "l1")
    other = replace(own, status=np.full(120, "abstained"), radius=np.zeros(120))
    table = tabulate({"own": own, "worse": other}, published=CIFAR)
    assert table.best[0].any() and not table.best[1, 0]
    assert not table.best[np.array(table.kinds) == "published"].any()


def test_tables_show_the_conditions_beside_published_rows():
    own = make_certificates("laplace", "l1")
    table = tabulate({"Laplace": own}, published=CIFAR)
    header, _, first, *others = table_markdown(table).splitlines()
    assert header.endswith("| extra data | network | images | n | α | year |")
    assert first.endswith("| – | – | 120 | 100,000 | 0.001 | – |")
    assert any(line.endswith("| none | WRN-40-2 | 10,000 | – | 0 | 2021 |") for line in others)
    assert "network" not in table_markdown(tabulate({"Laplace": own}))
    setting = table_json(table)["settings"]["splitting noise, Levine & Feizi 2021"]
    assert (setting["network"], setting["year"]) == ("WRN-40-2", 2021)


def test_rows_about_other_images_are_rejected():
    check_same_data(CIFAR, ImageIdentity("cifar10", "test", part="every 20th of 10000"))
    check_same_data(CIFAR, None)
    for other in (("mnist5k", "test"), ("cifar10", "train"), ("cifar100", "test")):
        with pytest.raises(InputError, match=r"is about cifar10 test, not about .*leave it out"):
            check_same_data(CIFAR, ImageIdentity(*other, part="all"))


def test_tables_show_published_rows_at_their_radii():
    table = tabulate({"Laplace": make_certificates("laplace", "l1")}, published=CIFAR)
    assert table.names[0] == "Laplace" and table.kinds == ("run", *["published"] * 5)
    assert table.notes[0] == "" and all(table.notes[1:])
    assert {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0} <= set(table.radii)
    splitting = table.names.index("splitting noise, Levine & Feizi 2021")
    shares = dict(zip(table.radii, table.shares[splitting], strict=True))
    assert shares[2.0] == 0.513 and np.isnan(shares[0.0])
    assert not table.best.any(), "published rows are about other images, and one run has nothing beside it"
    assert marked_names(table)[splitting] == "splitting noise, Levine & Feizi 2021 [4]"
    assert footnotes(table)[3].startswith("[4] Levine & Feizi")
    read = json.loads(json_text(table_json(table)))
    assert read["accuracy"]["splitting noise, Levine & Feizi 2021"][0] is None
    assert read["notes"]["splitting noise, Levine & Feizi 2021"].startswith("Levine & Feizi")
    assert (
        read["kinds"]["splitting noise, Levine & Feizi 2021"] == "published"
        and "Laplace" not in read["kinds"]
    )
    text = table_markdown(table)
    assert "| – |" in text and "\n[4] Levine & Feizi" in text


def test_few_published_radii_leave_room_for_round_ones():
    table = tabulate({"Laplace": make_certificates("laplace", "linf")}, published=CIFAR)
    assert 2 / 255 in table.radii and len(table.radii) > 3
    assert "CAT-RS .25, by conversion" in table.names


def test_tables_reach_beyond_what_was_published():
    own = make_certificates("gaussian", "l2", sigma=4.0)
    table = tabulate({"Gaussian": own}, published=CIFAR)
    stated = {radius for row in of_question(CIFAR, "l2", 1) for radius in row.accuracy}
    assert stated <= set(table.radii) and table.radii[-1] > 2.5 == max(stated)
    assert set(table.radii) - stated == {radius for radius in round_radii([own]) if radius > 2.5}


def test_a_row_must_not_take_the_name_of_another():
    with pytest.raises(InputError, match="two rows of one table are called"):
        tabulate({CIFAR[0].name: make_certificates("laplace", "l1")}, published=CIFAR)


def test_the_best_sigma_of_each_radius_is_marked_as_such():
    runs = {f"Laplace {sigma}": make_certificates("laplace", "l1", sigma=sigma) for sigma in (0.25, 1.0)}
    # the sharper model is right more often, the noisier one reaches farther
    runs["Laplace 1.0"] = replace(
        runs["Laplace 1.0"], status=np.where(np.arange(120) % 2, "certified", "abstained")
    )
    table = tabulate({**runs, "Uniform": make_certificates("uniform", "l1")}, [0.0, 0.3, 2.0])
    assert table.names == ("Laplace 0.25", "Laplace 1.0", "Uniform", "Laplace, best σ")
    assert (table.shares[3] == table.shares[:2].max(axis=0)).all()
    assert table.shares[0, 0] > table.shares[1, 0] and table.shares[1, 2] > table.shares[0, 2]
    assert table.kinds == ("run", "run", "run", "best") and table.notes[:3] == ("", "", "")
    assert table.notes[3].startswith("the best of σ = 0.25, 1 at each radius, chosen after looking")
    assert table_markdown(table).count("no certificate covers the choice") == 1
    again = tabulate({"one": runs["Laplace 0.25"], "two": runs["Laplace 0.25"]})
    assert again.names == ("one", "two")


def test_figures_show_published_points_within_the_axes():
    one = {"Laplace": make_certificates("laplace", "l1")}
    (axes,) = accuracy_by_noise(one, CIFAR).axes
    drawn = {line.get_label(): line for line in axes.lines if line.get_label() in {row.name for row in CIFAR}}
    assert set(drawn) == {row.name for row in of_question(CIFAR, "l1", 1)}
    for row in of_question(CIFAR, "l1", 1):
        x, y = drawn[row.name].get_data()
        last = axes.get_xlim()[1]
        assert dict(zip(x, y, strict=True)) == {r: a for r, a in row.accuracy.items() if r <= last}
        assert drawn[row.name].get_linestyle() == "None"
    key = axes.figure.legends[0]
    assert {text.get_text() for text in key.get_texts()} == set(drawn), "a key of their own"
    levels = accuracy_by_noise({"Laplace": make_certificates("laplace", "linf")}, CIFAR).axes[0]
    assert any(
        line.get_xdata()[0] == pytest.approx(2) for line in levels.lines if "CAT-RS" in line.get_label()
    )
    plain = accuracy_by_noise(one)
    assert len(plain.axes[0].lines) == 1 and not plain.legends


def covered(axes, box):
    """Published points that lie under a box in pixels."""
    rows = [line for line in axes.lines if line.get_linestyle() == "None"]
    at = np.concatenate([axes.transData.transform(np.column_stack(row.get_data())) for row in rows])
    return [place for place in at if box.contains(*place)]


@pytest.mark.parametrize("noises", [("laplace",), ("laplace", "gaussian", "uniform")])
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_neither_names_nor_keys_cover_published_points(norm, noises):
    figure = accuracy_by_noise({noise: make_certificates(noise, norm) for noise in noises}, CIFAR)
    figure.canvas.draw()
    (axes,), (key,) = figure.axes, figure.legends
    names = [text for text in axes.texts if text.get_text() in noises] or [axes.get_legend()]
    for artist in (key, *names):
        assert not covered(axes, artist.get_window_extent())
    assert not key.get_window_extent().overlaps(axes.get_tightbbox()), "below the axes and their label"
    used, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert used.x0 >= 0 and used.y0 >= 0 and used.x1 <= width and used.y1 <= height


def test_beside_published_points_a_single_curve_is_named():
    axes = accuracy_by_noise({"mine": make_certificates("laplace", "l2")}, CIFAR).axes[0]
    assert [text.get_text() for text in axes.texts] == ["mine"]


def test_top_k_figures_show_what_was_published_for_their_k_and_noise():
    ranks = [make_certificates("gaussian", k=k) for k in (1, 2, 3)]
    figure = accuracy_by_k(ranks, CIFAR)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    theirs = "Gaussian .25, Jia et al. 2020"
    assert set(lines) == {"k = 1", "k = 2", "k = 3", f"k = 1, {theirs}", f"k = 3, {theirs}"}
    assert lines[f"k = 3, {theirs}"].get_ydata().tolist() == [0.81, 0.596]
    assert lines[f"k = 3, {theirs}"].get_color() == lines["k = 3"].get_color()
    assert len(accuracy_by_k([make_certificates("laplace", k=k) for k in (1, 3)], CIFAR).axes[0].lines) == 2
