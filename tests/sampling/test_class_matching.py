"""Classes by name: a model's logits come in the order of the data's class names, wherever both have names."""

import copy
import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Perceptron
from torch import nn

import image_factory as factory
import radii
from commands import call, fine, tree
from radii.attacks import Effort, attack
from radii.data import load_data
from radii.data.dataset import make_data
from radii.engine import vote as engine_vote
from radii.errors import InputError, RadiiWarning
from radii.models import Denoised, Denoiser, digest
from radii.models.adapters.outputs import class_names
from radii.training.recipe import make_recipe
from radii.training.run_folder import Config, load_run, save_config, save_model

# linear models round differently in batches of different sizes; any other notice is an error here

NOISE = radii.Gaussian(0.05)
TWELVE = tuple(str(number) for number in range(12))
RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(12), 20)
PIXELS = np.round(255 * (0.8 * np.eye(12)[Y] + 0.1 * RNG.random((240, 12)))).astype(np.uint8)
PIXELS = PIXELS.reshape(-1, 1, 4, 3)
FEATURES = (PIXELS / np.float32(255)).reshape(240, -1)
ANIMALS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay", "koi", "lynx")
GAPS = ("1", "2", "4", "8", "10", "11", "12", "20", "30", "31", "100", "200")


def data(classes=TWELVE, shown=slice(None, None, 5), named: bool = True):
    """Images whose brightest pixel is the number of their class, `classes` being the names."""
    return make_data("toy", "test", PIXELS[shown], Y[shown], tuple(classes), named=named)


def fitted(names, kind=LogisticRegression):
    """An estimator fitted on these names of the twelve classes."""
    return kind(max_iter=500).fit(FEATURES, np.array(names)[Y])


class Brightest(nn.Module):
    """The logits of twelve classes, whose names come in the order of the outputs: output p is pixel `pixels[p]`."""

    def __init__(self, pixels, names=()) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.pixels = torch.tensor(list(pixels))
        if names:
            self.class_names = tuple(names)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 10 * self.scale * images.flatten(1)[:, self.pixels]


BACK = range(11, -1, -1)


def backward(names=TWELVE) -> Brightest:
    """Twelve classes from the last to the first."""
    return Brightest(BACK, names[::-1])


def poll(model, images, labels=None, **how) -> radii.Votes:
    return radii.Smoothed(model, NOISE, batch=64).vote(images, labels, plan=radii.fixed(100, 10), **how)


def right(votes: radii.Votes) -> float:
    return float((votes.counts.argmax(1) == votes.labels).mean())


# estimators ---------------------------------------------------------------------------------------

KINDS = {
    "words": (TWELVE, TWELVE),
    "floats": ([float(name) for name in TWELVE], TWELVE),
    "integers": (range(12), TWELVE),
    "floats with gaps": ([float(name) for name in GAPS], GAPS),
    "integers with gaps": ([int(name) for name in GAPS], GAPS),
    "other text for the same numbers": ([f"{name}.0" for name in GAPS], GAPS),
    "animals": (ANIMALS, ANIMALS),
    "integers for animals": (range(12), ANIMALS),
}


@pytest.mark.parametrize("estimator", [LogisticRegression, Perceptron])
@pytest.mark.parametrize("kind", KINDS)
def test_estimators_know_data_by_name(kind: str, estimator) -> None:
    names, classes = KINDS[kind]
    model = radii.load_model(fitted(names, estimator))
    votes = poll(model, data(classes))
    assert right(votes) > 0.9 and votes.classes == tuple(classes)
    labels = radii.Smoothed(model, NOISE).predict(data(classes), seed=0)
    assert (labels == votes.labels).mean() > 0.9


@pytest.mark.parametrize("order", [range(12), BACK, [3, 7, 1, 0, 11, 2, 10, 5, 4, 6, 9, 8]])
def test_data_may_count_its_classes_in_any_order(order) -> None:
    """As class names of arrays and data sets of others do."""
    shuffled = data(np.array(ANIMALS)[list(order)])
    place = np.argsort(list(order))
    shuffled = make_data("toy", "test", PIXELS[::5], place[Y[::5]], shuffled.classes)
    votes = poll(radii.load_model(fitted(ANIMALS)), shuffled)
    assert right(votes) > 0.9 and votes.classes == shuffled.classes


@pytest.mark.parametrize("names", [TWELVE, [float(name) for name in TWELVE], range(12)], ids=str)
def test_labels_that_are_the_numbers_in_the_names(names) -> None:
    shown = data()
    votes = poll(radii.load_model(fitted(names)), shown.images(), shown.labels)
    assert right(votes) > 0.9 and votes.classes == TWELVE


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ANIMALS,
            "labels are taken as 0 for 'ant', 1 for 'bee', 2 for 'cat' and so on, 12 in all; if they mean",
        ),
        (
            [float(name) for name in GAPS],
            "labels are taken as 0 for '1.0', 1 for '2.0', 2 for '4.0' and so on",
        ),
    ],
)
def test_labels_that_are_positions_are_noted(names, words: str) -> None:
    shown, model = data(named=False), radii.load_model(fitted(names))
    with pytest.warns(RadiiWarning, match=words):
        votes = poll(model, shown.images(), shown.labels)
    assert right(votes) > 0.9 and votes.classes == tuple(map(str, names))
    poll(model, shown.images())


def test_labels_without_names_are_positions_among_names_and_numbers_among_numbers() -> None:
    with pytest.warns(RadiiWarning, match="labels are taken as 0 for 'ant'"):
        votes = poll(radii.load_model(fitted(ANIMALS)), data(named=False))
    assert right(votes) > 0.9 and votes.classes == ANIMALS
    assert right(poll(radii.load_model(fitted(TWELVE)), data(named=False))) > 0.9
    with pytest.raises(InputError, match="only the model has '12', '20', '30' and 3 more and only toy test"):
        poll(radii.load_model(fitted(sorted(GAPS))), data(named=False))


@pytest.mark.parametrize(
    ("names", "classes", "words"),
    [
        (ANIMALS, [*ANIMALS[:11], "yak"], "only the model has 'lynx' and only toy test, all has 'yak'"),
        (ANIMALS, TWELVE, "only the model has 'ant', 'bee', 'cat' and 9 more and only toy test"),
        (TWELVE, [*TWELVE[:11], "12"], "only the model has '11' and only toy test, all has '12'"),
        ([int(name) for name in GAPS], ANIMALS, "only the model has '1', '2', '4' and 9 more"),
    ],
)
def test_other_names_are_refused_before_any_noise(names, classes, words, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(radii.Gaussian, "draw", lambda *_: pytest.fail("noise was drawn"))
    smoothed = radii.Smoothed(radii.load_model(fitted(names)), NOISE)
    for ask in (
        lambda: smoothed.vote(data(classes), plan=radii.fixed(100)),
        lambda: smoothed.predict(data(classes)),
        lambda: smoothed.certify_predictions(data(classes), norm="l2"),
        lambda: smoothed.certify(data(classes), norm="l2"),
        lambda: engine_vote(smoothed, data(classes), plan=radii.fixed(100), folder=tmp_path),
    ):
        with pytest.raises(InputError, match=words) as said:
            ask()
        assert "class_map= or --class-map FILE" in str(said.value)


# modules and files --------------------------------------------------------------------------------


def hugging_face(names, pixels=BACK) -> nn.Module:
    """Answers, and names its classes, as image classifiers of transformers do."""

    class Like(Brightest):
        def __init__(self) -> None:
            super().__init__(pixels)
            self.config = SimpleNamespace(id2label=names)

        def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(loss=None, logits=super().forward(pixel_values))

    return Like()


@pytest.mark.parametrize("classes", [ANIMALS, GAPS, TWELVE], ids=lambda names: names[0])
def test_modules_that_name_their_classes(classes) -> None:
    labels = dict(enumerate(classes[::-1]))
    usual = poll(Brightest(range(12)), data(classes))
    assert right(usual) == 1
    for model in (
        backward(classes),
        hugging_face(labels),
        hugging_face({str(one): labels[one] for one in labels}),
    ):
        votes = poll(model, data(classes))
        np.testing.assert_array_equal(votes.counts, usual.counts)
        assert votes.classes == tuple(classes) and votes.model not in (usual.model, digest(model))
        behind = radii.load_model(model, input_range=(0, 255))
        assert class_names(behind) == tuple(classes[::-1]) and right(poll(behind, data(classes))) == 1


def test_what_says_no_names() -> None:
    for model in (
        Brightest(range(12)),
        hugging_face({place: f"LABEL_{place}" for place in range(12)}, range(12)),
        hugging_face({0: "ant", 2: "bee"}, range(12)),
        hugging_face(dict(enumerate(range(12))), range(12)),
    ):
        assert class_names(model) == () and right(poll(model, data(ANIMALS))) == 1
    assert class_names(lambda images: images) == class_names(None) == ()


def test_the_same_order_leaves_a_model_what_it_is() -> None:
    model = Brightest(range(12), TWELVE)
    votes = poll(model, data())
    assert votes.model == digest(model) and radii.Smoothed(model, NOISE).model is model


def test_names_for_another_number_of_logits() -> None:
    """Even where only some of the outputs would be taken: a stale list of names is no choice of outputs."""
    model, some = hugging_face(dict(enumerate(ANIMALS[:5])), range(12)), Y < 5
    images = make_data("toy", "test", PIXELS[some], 4 - Y[some], ANIMALS[4::-1])
    mapped = radii.load_model(model, class_map=list(ANIMALS[:3]))
    for ask in (
        lambda: poll(model, data().images()),
        lambda: poll(model, images),
        lambda: poll(mapped, data().images()),
    ):
        with pytest.raises(
            InputError, match="a name for each of its 12 logits, but it has 5 names: correct its"
        ):
            ask()
    assert right(poll(radii.load_model(model, class_map=[4, 3, 2, 1, 0]), images)) == 1


def test_two_outputs_of_one_name() -> None:
    with pytest.raises(InputError, match="must have the same classes, but some names come twice"):
        poll(Brightest(range(12), [*ANIMALS[:11], "ant"]), data([*ANIMALS[:11], "ant"]))


def test_a_classifier_behind_a_denoiser_has_its_names() -> None:
    model = Denoised(Denoiser(2, 1, (1, 4, 3)), backward(ANIMALS)).eval()
    assert class_names(model) == ANIMALS[::-1] and right(poll(model, data(ANIMALS))) > 0.9


def test_models_that_are_matched_travel_and_stay_the_same() -> None:
    smoothed = radii.Smoothed(backward(), NOISE, batch=64)
    votes = smoothed.vote(data(), plan=radii.fixed(100, 10))
    moved = pickle.loads(pickle.dumps(copy.deepcopy(radii.load_model(fitted(ANIMALS)))))
    assert right(poll(moved, data(ANIMALS))) > 0.9
    for precision in ("float32", "bfloat16"):
        again = radii.Smoothed(backward(), NOISE, precision, batch=64).vote(data(), plan=radii.fixed(100, 10))
        assert right(again) == 1 and again.model == votes.model


def test_a_voter_that_was_not_matched_is_refused() -> None:

    examples = data()
    smoothed = radii.Smoothed(backward(), NOISE)
    with pytest.raises(
        InputError, match="must have its classes in the order of toy test, all; they come in another"
    ):
        smoothed.ready(examples.shape).vote(examples, radii.fixed(100), 0)
    matched = smoothed.matched(examples)
    assert right(matched.ready(examples.shape).vote(examples, radii.fixed(100), 0)) == 1
    assert matched.matched(examples) is matched


def test_the_engine_matches_as_well(tmp_path) -> None:
    smoothed = radii.Smoothed(backward(ANIMALS), NOISE, batch=64)
    votes = engine_vote(smoothed, data(ANIMALS), plan=radii.fixed(100, 10), folder=tmp_path)
    assert votes.encode() == smoothed.vote(data(ANIMALS), plan=radii.fixed(100, 10)).encode()
    with pytest.raises(InputError, match="is of another run, with model"):
        engine_vote(
            radii.Smoothed(Brightest(range(12)), NOISE, batch=64),
            data(ANIMALS),
            plan=radii.fixed(100, 10),
            folder=tmp_path,
        )


def test_attacks_know_labels_by_their_names() -> None:
    """On an unmatched model every label would be out of its place before any move."""
    smoothed = radii.Smoothed(backward(ANIMALS), radii.Gaussian(0.25), batch=64)
    shown = data(ANIMALS, slice(None, None, 30))
    votes = smoothed.vote(shown, plan=radii.fixed(400))
    certificates = radii.certify(votes, "l2")
    found = attack(smoothed, shown.images(), certificates, effort=Effort(5, 8), n=400)
    assert certificates.classes == ANIMALS and len(found.rows) == 8
    assert not found.within_radius.any() and np.isfinite(found.lengths).all()


# run folders --------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder of three classes whose names are in another order than folders have them now."""
    torch.manual_seed(0)
    folder, config = (
        tmp_path / "run",
        Config(make_recipe("photos", (1, 8, 8), epochs=1), (1, 8, 8), ("1", "10", "2")),
    )
    folder.mkdir()
    from radii.models import make_model

    save_config(folder, config)
    save_model(folder, make_model("small-cnn", (1, 8, 8), 3), config)
    return folder


def test_run_folders_match_names_and_take_fewer_classes(run: Path) -> None:
    model, config = load_run(run)
    assert class_names(model) == ("1", "10", "2")
    pixels = RNG.integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    sorted_now = make_data("photos", "test", pixels, np.arange(6) % 3, ("1", "2", "10"))
    fits = config.match_classes(sorted_now)
    assert fits.classes == ("1", "10", "2") and fits.labels.tolist() == [0, 2, 1, 0, 2, 1]
    fewer = make_data("photos", "test", pixels, np.arange(6) % 2, ("2", "10.0"))
    assert config.match_classes(fewer).labels.tolist() == [2, 1, 2, 1, 2, 1]
    mine, theirs = poll(model, sorted_now), poll(model, fits)
    np.testing.assert_array_equal(mine.counts[:, [0, 2, 1]], theirs.counts)
    assert mine.classes == ("1", "2", "10") and theirs.classes == ("1", "10", "2")
    with pytest.raises(InputError, match=r"of the model, '1', '10', '2'; '3' are not: give images"):
        config.match_classes(make_data("photos", "test", pixels, np.arange(6) % 2, ("2", "3")))


# the command --------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A function that puts class folders and a module with a pickled estimator into the current folder."""
    monkeypatch.chdir(tmp_path)

    def make(classes, estimator) -> tuple:
        factory.write_folder(tmp_path / "photos", {"": (PIXELS[:, 0], np.array(classes)[Y])})
        (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(estimator))
        (tmp_path / "words_zoo.py").write_text(
            "import pickle\nfrom pathlib import Path\nmodel = pickle.loads(Path('zoo.pkl').read_bytes())\n"
        )
        return (
            "vote",
            "words_zoo:model",
            "--data",
            "photos",
            "--noise",
            "gaussian",
            "--sigma",
            0.05,
            "--n",
            100,
        )

    return make


@pytest.mark.parametrize("kind", ["words", "floats with gaps", "integers", "animals"])
def test_votes_of_class_folders_and_an_estimator(here, kind: str) -> None:
    names, classes = KINDS[kind]
    line = here(classes, fitted(names))
    ended = call(*line)
    # one notice at most: linear models round differently in batches of different sizes
    assert ended.status == 0 and ended.err.count("note: ") == ended.err.count("note: the last digits")
    votes = radii.load_votes("model.votes.parquet")
    assert votes.classes == tuple(classes) and len(votes) == 48
    assert radii.certify(votes, "l2").accuracy([0.01])[0] > 0.9
    fine("certify", "model.votes.parquet", "--norm", "l2")


@pytest.mark.parametrize("names", [TWELVE, ANIMALS])
def test_a_service_answers_with_the_right_names(here, names, monkeypatch) -> None:
    """Numbers as names come by size; labels of arrays, which have no names, get those of the model."""
    line, found = here(names, fitted(names)), []
    np.savez("arrays.npz", images=PIXELS[:, 0], labels=Y)
    monkeypatch.setattr("radii.serving.run", lambda service, *_: found.append(service))
    for images in ("photos", "arrays.npz"):
        place = line.index("photos")
        ended = call("serve", *line[1:place], images, *line[place + 1 : -1], 200, "--port", 0)
        assert ended.status == 0 and found[-1].classes == tuple(names)
        answers = found[-1].answers({row: FEATURES[row].reshape(1, 4, 3) for row in range(0, 240, 10)})
        assert np.mean([one.label == Y[row] for row, one in answers.items()]) > 0.9


def test_class_folders_with_other_names_are_refused(here) -> None:
    line = here(ANIMALS, fitted([*ANIMALS[:11], "yak"]))
    ended = call(*line)
    assert ended.status == 2 and ended.err.count("\n") == 1 and not list(Path().glob("*.parquet"))
    assert "only the model has 'yak' and only photos test sha256:" in ended.err and "has 'lynx'" in ended.err


def test_a_run_in_the_old_order_is_polled_and_reported_by_name(here, run: Path, tmp_path) -> None:
    here(TWELVE, fitted(TWELVE))
    images = RNG.integers(0, 256, (15, 8, 8), dtype=np.uint8)
    factory.write_folder(tmp_path / "three", {"": (images, np.array(["1", "2", "10"])[np.arange(15) % 3])})
    fine("vote", run, "--data", "three", "--split", "all", "--n", 50)
    votes = radii.load_votes(run / "votes.parquet")
    found = load_data("three", "all")
    assert found.classes == ("1", "2", "10") and votes.classes == ("1", "10", "2")
    assert [votes.classes[label] for label in votes.labels] == [
        found.classes[label] for label in found.labels
    ]
    fine("report", run / "votes.parquet", "--norm", "l2", "--k", 1, "--out", "page")
    shown = re.findall(r"test image (\d+), true label (\w+)", Path("page/index.html").read_text())
    assert {found.classes[found.labels[int(index)]] for index, _ in shown} & {"2", "10"}
    assert all(found.classes[found.labels[int(index)]] == name for index, name in shown)
    before = tree(tmp_path)
    ended = call("vote", run, "--data", "photos", "--out", "new.parquet")
    assert (
        ended.status == 2 and "the model was trained on (1, 8, 8)" in ended.err and tree(tmp_path) == before
    )
