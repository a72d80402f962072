"""Class maps and binary models: which outputs stand for which class, and that votes know it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import image_factory as factory
import radii
from commands import call, fine
from radii.attacks import Effort, attack
from radii.data import load_data
from radii.data.dataset import make_data
from radii.engine import vote as engine_vote
from radii.errors import InputError, RadiiWarning, UnknownName
from radii.models import digest
from radii.models.adapters.class_map import read_class_map
from radii.models.adapters.outputs import BINARY, class_names
from radii.sampling.model_call import logits_of
from radii.votes import merge
from test_class_matching import ANIMALS, NOISE, PIXELS, Brightest, Y, data, fitted, poll, right

RNG = np.random.default_rng(5)
PARTS = ("cat", "dog", "eel")
"""Classes number 2, 3 and 4 of twelve."""
ROWS = np.isin(Y, (2, 3, 4))


def part(classes=PARTS, labels=None):
    """Images of three of the twelve classes."""
    return make_data("part", "test", PIXELS[ROWS], Y[ROWS] - 2 if labels is None else labels, tuple(classes))


# maps ---------------------------------------------------------------------------------------------

FORMS = {
    "numbers by name": ({"cat": 2, "dog": 3, "eel": 4}, ""),
    "names by name, in another order": ({"eel": "eel", "cat": "cat", "dog": "dog"}, ""),
    "numbers in order": ([2, 3, 4], ""),
    "an array": (np.array([2, 3, 4]), ""),
    "names in order": (["cat", "dog", "eel"], ""),
    "lists": ({"cat": [2], "dog": ["dog"], "eel": [4, "fox"]}, ""),
    "JSON by name": ('{"eel": 4, "cat": "cat", "dog": [3, 7]}', ".json"),
    "JSON in order": ('[2, ["dog"], 4]', ".json"),
    "lines by name": ('dog,3\n\n"eel", eel, 5\ncat,2,\n', ".csv"),
    "lines in order": ("\ufeff2\ndog\n4\n", ".txt"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["module", "function", "estimator"])
@pytest.mark.filterwarnings("ignore:the last digits:radii.errors.RadiiWarning")
def test_part_of_the_outputs_for_part_of_the_classes(form: str, kind: str, tmp_path) -> None:
    given, ending = FORMS[form]
    if ending:
        (tmp_path / f"map{ending}").write_text(given, encoding="utf-8")
        given = tmp_path / f"map{ending}"
    whole = Brightest(range(12), ANIMALS)

    def function(images: torch.Tensor) -> torch.Tensor:
        return whole(images)

    function.class_names = ANIMALS
    spec = {"module": whole, "function": function, "estimator": fitted(ANIMALS)}[kind]
    votes = poll(radii.load_model(spec, class_map=given), part())
    assert votes.classes == PARTS and votes.counts.shape == (60, 3) and right(votes) > 0.95


def test_the_largest_of_a_class_wins_and_other_outputs_do_not_count() -> None:
    logits = torch.from_numpy(RNG.normal(size=(50, 6)).astype(np.float32))
    logits[:, 5] = 100
    logits[7, 5] = torch.nan
    model = radii.load_model(lambda _: logits, class_map=[[0, 3], [], 1, [4, 2]])
    expected = torch.stack(
        [logits[:, [0, 3]].amax(1), torch.full((50,), -torch.inf), logits[:, 1], logits[:, [2, 4]].amax(1)], 1
    )
    torch.testing.assert_close(model(None), expected, rtol=0, atol=0)
    logits[3, 4] = torch.nan
    assert model(None)[3].isnan().tolist() == [False, False, False, True]
    whole = torch.arange(12).reshape(2, 6)
    assert radii.load_model(lambda _: whole, class_map=[5, 0, []])(None).tolist() == [
        [5, 0, -np.inf],
        [11, 6, -np.inf],
    ]


def test_slopes_go_to_the_outputs_of_the_map() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 9.0]], requires_grad=True)
    radii.load_model(lambda _: logits, class_map=[[0, 1], 2])(None)[:, 0].sum().backward()
    assert logits.grad.tolist() == [[0, 1, 0, 0]]


def test_a_class_without_outputs_gets_no_votes() -> None:
    model = radii.load_model(Brightest(range(12)), class_map={"cat": 2, "dog": 3, "eel": 4, "unicorn": []})
    votes = poll(model, part((*PARTS, "unicorn")))
    assert right(votes) == 1 and not votes.counts[:, 3].any()


def test_numbers_as_names_come_by_size_with_labels_alone() -> None:
    """Labels without a data set are positions: 0 for class 5, 1 for class 10, whatever the order of the file."""
    model = radii.load_model(Brightest(range(12)), class_map={"10": 3, "5": 2, "100": 4})
    assert class_names(model) == ("5", "10", "100")
    with pytest.warns(
        RadiiWarning, match="labels are taken as 0 for '5', 1 for '10', 2 for '100'; if they mean"
    ):
        votes = poll(model, part().images(), part().labels)
    assert right(votes) == 1 and votes.classes == ("5", "10", "100")


def test_maps_must_have_the_classes_of_the_data() -> None:
    model = radii.load_model(Brightest(range(12)), class_map={"cat": 2, "dog": 3, "elk": 4})
    with pytest.raises(InputError, match="only the model has 'elk' and only part test, all has 'eel'"):
        poll(model, part())
    with pytest.raises(
        InputError, match=r"the model gives 2 logits, but part test, all has 3 classes: .*class_map="
    ):
        poll(radii.load_model(Brightest(range(12)), class_map=[2, 3]), part())
    with pytest.raises(
        InputError, match=r"the model gives 12 logits, but part test, all has 3 classes: .*--class-map"
    ):
        poll(Brightest(range(12)), part())


# votes know their map -----------------------------------------------------------------------------


def test_other_maps_make_other_classifiers() -> None:
    model = Brightest(range(12))
    maps = ([2, 3, 4], [2, 4, 3], [[2, 5], 3, 4], [[2], [3, 5], 4], [2, 3, 4, 5], {"a": 2, "b": 3})
    found = [digest(radii.load_model(model, class_map=one)) for one in maps]
    assert len({digest(model), *found}) == len(maps) + 1 and all(len(one) == 64 for one in found)
    by_name = {"dog": 3, "eel": [4], "cat": 2}
    votes = [poll(radii.load_model(model, class_map=one), part()) for one in (maps[0], by_name)]
    assert votes[0].encode() == votes[1].encode(), "the same map, said otherwise"
    nameless = digest(radii.load_model(lambda images: images, class_map=[1, 0]))
    assert re.fullmatch(r'unknown:test_class_map\..* \{"class_map": "[0-9a-f]{64}"\}', nameless)
    behind = radii.load_model(model, class_map=maps[0], input_range=(-1, 1))
    assert len({digest(behind), digest(radii.load_model(model, input_range=(-1, 1))), found[0]}) == 3


def test_votes_with_other_maps_are_never_put_together(tmp_path) -> None:
    def smoothed(one) -> radii.Smoothed:
        return radii.Smoothed(radii.load_model(Brightest(range(12)), class_map=one), NOISE, batch=64)

    plan = radii.fixed(100, 10)
    first = smoothed([2, 3, 4]).vote(part(), plan=plan, draws=(0, 50))
    with pytest.raises(InputError, match="votes with different model cannot be added"):
        merge([first, smoothed([2, 3, [4, 5]]).vote(part(), plan=plan, draws=(50, 100))])
    merge([first, smoothed({"dog": 3, "cat": 2, "eel": 4}).vote(part(), plan=plan, draws=(50, 100))])
    engine_vote(smoothed([2, 3, 4]), part(), plan=plan, folder=tmp_path, shard=(1, 2), block=1000)
    for other in ([2, 3, [4, 5]], [3, 2, 4]):
        with pytest.raises(InputError, match="is of another run, with model"):
            engine_vote(smoothed(other), part(), plan=plan, folder=tmp_path, block=1000)


def test_attacks_are_on_the_classes_of_the_map() -> None:
    smoothed = radii.Smoothed(
        radii.load_model(Brightest(range(12)), class_map={"eel": [4, 5], "dog": 3, "cat": 2}),
        radii.Gaussian(0.25),
        batch=64,
    )
    shown = part().every(20)
    certificates = radii.certify(smoothed.vote(shown, plan=radii.fixed(400)), "l2")
    found = attack(smoothed, shown.images(), certificates, effort=Effort(5, 8), n=400)
    assert len(found.rows) == 3 and not found.within_radius.any() and np.isfinite(found.lengths).all()


# mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, r'class_map must give the outputs of each class, for example \{"cat": \[281, 282\]'),
        ([0], "class_map must give outputs to at least two classes"),
        ({}, "class_map must give outputs to at least two classes"),
        ([0, []], "class_map must give outputs to at least two classes"),
        ([0, [1, 0]], "must give each output to one class; output 0 comes twice"),
        ([[1, 1], 0], "must give each output to one class; output 1 comes twice"),
        ([0, -1], "must give numbers of outputs from 0 to 999999; got -1"),
        ([0, 10**30], "must give numbers of outputs from 0 to 999999; got 10000"),
        ([0, "9" * 90], "must give numbers of outputs from 0 to 999999; got '9999"),
        ([0, 1.5], "must give numbers or names of outputs, .*; got 1.5"),
        ([0, True], "must give numbers or names of outputs, .*; got True"),
        ([0, None], "must give numbers or names of outputs, .*; got None"),
        ([0, [[1]]], r"must give numbers or names of outputs, .*; got \[1\]"),
        (
            ["cat", "dgo"],
            "gives the output 'dgo', which the model does not have; its outputs are called 'cat', 'dog'",
        ),
        (
            ["cat", "crane"],
            r"the output 'crane', but the model has 2 of that name, 2 and 3: give their numbers",
        ),
        ({"1": 0, "1.0": 1}, "must name each class once; some of '1', '1.0' come twice"),
    ],
    ids=str,
)
def test_maps_that_cannot_be(given, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_class_map(given, ("cat", "dog", "crane", "crane", "eel"))


def test_names_of_outputs_that_have_none_and_outputs_that_are_not_there() -> None:
    with pytest.raises(
        InputError, match="'cat', which the model does not have; its outputs have no names: give"
    ):
        read_class_map(["cat", 1], ())
    # text is the number of an output, unless an output has that name
    assert read_class_map(["7", 1], ()).columns == ((7,), (1,))
    for entries in (["7", 2], ["7.0", "2"]):
        assert read_class_map(entries, ("1", "7")).columns == ((1,), (2,))
    model = radii.load_model(Brightest(range(12)), class_map=[0, 12])
    with pytest.raises(
        InputError, match="up to number 12, but the model has 12 outputs, 0 to 11: correct the class map"
    ):
        poll(model, part().images())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.json", None, "there is no file .*none.json with a class map"),
        ("map.json", "{", "must be a class map, JSON if it is called .json, else"),
        ("map.json", '{"a": 1, "a": 2}', "a name comes twice"),
        ("map.json", '"cat"', "must give the outputs of each class"),
        ("map.csv", "cat,1\ncat,2\n", "a class comes twice"),
        ("map.csv", "cat,1\n2\n", "some lines have one value, some more"),
        ("map.csv", '"cat,1\n', "must be a class map"),
        ("map.csv", "", "must give outputs to at least two classes"),
        ("map.csv", "cat\x00,1", "must be a class map|gives the output|at least two"),
        ("map.csv", b"\xff\xfe,1", "must be a class map"),
    ],
)
def test_files_that_are_no_maps(name: str, content, words: str, tmp_path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as said:
        radii.load_model(Brightest(range(12)), class_map=str(tmp_path / name))
    assert name in str(said.value) and "\n" not in str(said.value)


# binary models ------------------------------------------------------------------------------------


def logit(images: torch.Tensor) -> torch.Tensor:
    """Above 0 where the first pixel is brighter than the second."""
    return 4 * (images.flatten(1)[:, :1] - images.flatten(1)[:, 1:2])


ONE_NUMBER = {
    "logit": logit,
    "probability": lambda images: logit(images).sigmoid(),
    "a logit in one dimension": lambda images: logit(images)[:, 0],
}
TWO = make_data("two", "test", PIXELS[Y < 2], 1 - Y[Y < 2], ("second", "first"))


@pytest.mark.parametrize("form", ONE_NUMBER)
def test_one_number_becomes_two_classes(form: str) -> None:
    model = radii.load_model(ONE_NUMBER[form], binary="probability" if form == "probability" else "logit")
    votes = poll(model, TWO)
    usual = poll(lambda images: torch.cat([0 * logit(images), logit(images)], 1), TWO)
    assert right(votes) == 1 and (votes.counts != usual.counts).sum() <= 2
    found = radii.Smoothed(model, NOISE).predict(TWO, seed=0)
    assert (found == votes.labels).all()


def test_one_number_in_numbers() -> None:
    z = torch.tensor([[-2.0], [0.0], [3.0], [torch.nan], [-torch.inf]])
    given = radii.load_model(lambda _: z, binary="logit")(None)
    torch.testing.assert_close(given[:, 1:], z, equal_nan=True)
    assert not given[:, 0].any()
    p = torch.tensor([0.25, 0.5, 1.0, 0.0])
    assert radii.load_model(lambda _: p, binary="probability")(None).tolist() == [
        [0.75, 0.25],
        [0.5, 0.5],
        [0, 1],
        [1, 0],
    ]
    with pytest.raises(
        InputError, match=r"probabilities must stay in \[0, 1\]; it gives -2 to nan|gives nan to nan"
    ):
        radii.load_model(lambda _: z, binary="probability")(None)
    with pytest.raises(
        InputError, match="binary is for models with one output; this one has 12: leave it out"
    ):
        radii.load_model(Brightest(range(12)), binary="logit")(torch.from_numpy(PIXELS[:2]).float())
    with pytest.raises(UnknownName, match="unknown kind of binary output 'logits'; did you mean 'logit'"):
        radii.load_model(logit, binary="logits")
    with pytest.raises(UnknownName, match="unknown kind of binary output ''"):
        radii.load_model(logit, binary="")


def test_what_the_number_is_belongs_to_the_classifier() -> None:
    class One(nn.Linear):
        pass

    model = One(2, 1).eval()
    found = {digest(radii.load_model(model, binary=kind)) for kind in (None, *BINARY)}
    assert len(found) == 3
    assert (
        digest(radii.load_model(logit, binary="logit")) == 'unknown:test_class_map.logit {"binary": "logit"}'
    )


def test_names_for_the_two_classes_of_a_binary_model() -> None:
    model = radii.load_model(logit, binary="logit", class_map={"first": 1, "second": 0})
    assert class_names(model) == ("first", "second") and right(poll(model, TWO)) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_binary_modules_in_another_precision(precision: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    model = radii.load_model(module, binary="logit", mean=0.5, std=0.5)
    votes = radii.Smoothed(model, radii.Gaussian(0.5), precision, batch=64).vote(
        data().images(), plan=radii.fixed(100)
    )
    assert votes.counts.shape == (48, 2) and (votes.counts > 0).any(0).all()
    assert logits_of(model, torch.from_numpy(data().images())).dtype == torch.float32


# the commands -------------------------------------------------------------------------------------

ZOO = """
import torch
from torch import nn


class Twelve(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return 10 * self.scale * images.flatten(1)


twelve = Twelve().eval()


def one(images):
    return images.flatten(1)[:, :1] - images.flatten(1)[:, 1:2]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with three class folders, and with a module of a model of twelve classes and of a binary one."""
    monkeypatch.chdir(tmp_path)
    names = np.array(PARTS)[Y[ROWS] - 2]
    factory.write_folder(tmp_path / "photos", {"": (PIXELS[ROWS][:, 0], names)})
    factory.write_folder(tmp_path / "two", {"": (PIXELS[Y < 2][:, 0], np.array(["yes", "no"])[Y[Y < 2]])})
    (tmp_path / "map_zoo.py").write_text(ZOO)
    (tmp_path / "map.json").write_text(json.dumps({"eel": [4, 5], "cat": 2, "dog": 3}))
    return tmp_path


GIVEN = ("--noise", "gaussian", "--sigma", 0.25)


def test_the_commands_with_a_map(here: Path) -> None:
    line = ("vote", "map_zoo:twelve", "--data", "photos", *GIVEN, "--n", 200, "--shard", "1/2")
    ended = call(*line)
    assert ended.status == 2 and "the model gives 12 logits, but photos test" in ended.err
    assert "class_map= or --class-map FILE" in ended.err
    fine(*line, "--class-map", "map.json")
    (here / "other.csv").write_text("cat,2\ndog,3\neel,4\n")
    ended = call(*line[:-2], "--class-map", "other.csv")
    assert ended.status == 2 and "is of another run, with model" in ended.err
    ended = call(*line[:-2], "--class-map", "map.json")
    assert ended.status == 0 and "parts were sampled before" in ended.err
    votes = radii.load_votes("twelve.votes.parquet")
    assert votes.classes == PARTS and right(votes) == 1
    line = (
        "attack",
        "twelve.votes.parquet",
        "--run",
        "map_zoo:twelve",
        "--stride",
        6,
        "--steps",
        5,
        "--n",
        400,
    )
    said = fine(*line, "--class-map", "map.json")
    assert "2 images attacked" in said and "none within its radius" in said
    ended = call(*line)
    assert ended.status == 2 and "holds another model than the one that gave these votes" in ended.err


def test_the_commands_with_a_binary_model(here: Path) -> None:
    line = ("vote", "map_zoo:one", "--data", "two", *GIVEN, "--n", 100)
    ended = call(*line)
    assert (
        ended.status == 2 and "if it is a binary model, declare its output, binary= or --binary" in ended.err
    )
    assert ended.err.count("\n") == 1 and not list(here.glob("*.parquet"))
    fine(*line, "--binary", "logit")
    votes = radii.load_votes("one.votes.parquet")
    assert (
        votes.classes == ("no", "yes") and right(votes) == 1 and votes.model.endswith('{"binary": "logit"}')
    )
    ended = call(*line, "--binary", "odds")
    assert ended.status == 2 and "unknown kind of binary output 'odds'" in ended.err
    ended = call("vote", ".", "--binary", "logit")
    assert ended.status == 2 and "--binary is for models not trained by radii train" in ended.err


def test_a_service_with_a_map(here: Path, monkeypatch) -> None:
    """Its classes are those of the data, in their order."""
    found = []
    monkeypatch.setattr("radii.serving.run", lambda service, *_: found.append(service))
    line = ("serve", "map_zoo:twelve", "--data", "photos", *GIVEN, "--port", 0, "--n", 200)
    fine(*line, "--class-map", "map.json")
    (service,) = found
    assert service.classes == PARTS
    rows = np.flatnonzero(ROWS)[::10]
    images = {number: PIXELS[row] / np.float32(255) for number, row in enumerate(rows)}
    assert [one.label for one in service.answers(images).values()] == (Y[rows] - 2).tolist()
    assert call(*line).status == 2


def test_a_run_folder_with_a_map(here: Path, monkeypatch) -> None:
    """Of ten digits three are told apart; the others do not count."""
    fine("train", "--data", "digits", "--sigma", 0.25, "--epochs", 3, "--out", "run")
    digits = load_data("digits", "test")
    rows = np.flatnonzero(np.isin(digits.labels, (1, 4, 7)))
    names = np.array([{1: "one", 4: "four", 7: "seven"}[int(digits.labels[row])] for row in rows])
    factory.write_folder(here / "some", {"": (digits.pictures()[rows][:, 0], names)})
    line = ("vote", "run", "--data", "some", "--split", "all", "--n", 100, "--out", "some.parquet")
    ended = call(*line)
    assert (
        ended.status == 2
        and "'four', 'one', 'seven' are not: give images of its classes, or say" in ended.err
    )
    (here / "digits.json").write_text('{"one": "1", "four": "4", "seven": "7"}')
    fine(*line, "--class-map", "digits.json")
    votes = radii.load_votes("some.parquet")
    assert votes.classes == ("four", "one", "seven") and right(votes) > 0.8
    said = fine(
        "attack", "some.parquet", "--run", "run", "--class-map", "digits.json", "--stride", 30, "--steps", 2
    )
    assert "images attacked" in said
    found = []
    monkeypatch.setattr("radii.serving.run", lambda service, *_: found.append(service))
    for name, classes in (("digits.json", ("one", "four", "seven")), ("list.txt", ())):
        (here / "list.txt").write_text("1\n4\n7\n")
        fine("serve", "run", "--class-map", name, "--port", 0, "--n", 200)
        answers = found[-1].answers({row: digits.images([row])[0] for row in rows[:20]})
        wanted = [(1, 4, 7).index(label) for label in digits.labels[rows[:20]].tolist()]
        assert found[-1].classes == classes
        assert np.mean([one.label for one in answers.values()] == np.array(wanted)) > 0.8
    fine("serve", "run", "--port", 0, "--n", 200)
    assert found[-1].classes == digits.classes
