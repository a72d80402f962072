"""Any model: modules, callables, names, estimators, what each takes, and how its votes know it."""

import copy
import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.svm import LinearSVC
from torch import nn

import given_models
import radii
from given_models import NearestMean, digits, function, like_hugging_face, plain
from radii.data import load_data
from radii.errors import InputError, UnknownName
from radii.models import digest, make_model
from radii.models.adapters.preprocess import (
    Inputs,
    Preprocess,
    check_input_shape,
    split_preprocessing,
    with_preprocessing,
)

IMAGES, LABELS = digits(30)
HOW = {"plan": radii.fixed(100, 10), "seed": 4}


def vote(model, **changes):
    return radii.Smoothed(model, radii.Gaussian(0.25), batch=64).vote(IMAGES, LABELS, **(HOW | changes))


USUAL = vote(plain)


# what a model is given as -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [plain, function, like_hugging_face, *(f"given_models:{name}" for name in ("plain", "make", "function"))],
    ids=["module", "callable", "hugging-face", "named-module", "named-factory", "named-callable"],
)
def test_modules_callables_and_names_give_the_votes_of_the_model_itself(spec) -> None:
    model = radii.load_model(spec)
    np.testing.assert_array_equal(vote(model).counts, USUAL.counts)
    assert (USUAL.counts.argmax(1) == LABELS).mean() > 0.8


def test_an_object_stays_what_it_is() -> None:
    assert radii.load_model(plain) is plain and radii.load_model(function) is function
    assert vote(radii.load_model("given_models:make")).model == digest(plain)


def test_attributes_of_attributes_and_classes_that_need_nothing() -> None:
    assert isinstance(radii.load_model("given_models:NearestMean"), NearestMean)
    assert isinstance(radii.load_model("given_models:plain.layer"), nn.Linear)


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_own_zoo.py").write_text("def model(images):\n    return images.flatten(1)\n")
    monkeypatch.chdir(tmp_path)
    assert radii.load_model("my_own_zoo:model")(torch.zeros(2, 1, 3, 1)).shape == (2, 3)


class Labels:
    """An estimator that predicts labels and nothing else."""

    def fit(self, features: np.ndarray, labels: np.ndarray) -> None:
        self.classes_ = np.unique(labels)

    def predict(self, features: np.ndarray) -> np.ndarray:
        return plain(torch.from_numpy(features)).argmax(1).numpy()


@pytest.mark.parametrize(
    ("estimator", "logits"),
    [
        (LogisticRegression(max_iter=300), lambda fitted, x: fitted.predict_proba(x)),
        (Perceptron(), lambda fitted, x: fitted.decision_function(x)),
        (LinearSVC(), lambda fitted, x: fitted.decision_function(x)),
        (Labels(), lambda fitted, x: fitted.predict(x)[:, None] == np.arange(10)),
    ],
)
def test_estimators_are_queried_with_flattened_images(estimator, logits) -> None:
    data = load_data("digits", "train")
    estimator.fit(data.images().reshape(len(data), -1), data.labels)
    model = radii.load_model(estimator)
    scores = model(torch.from_numpy(IMAGES))
    np.testing.assert_allclose(scores, logits(estimator, IMAGES.reshape(len(IMAGES), -1)), rtol=1e-6)
    votes = vote(model, plan=radii.fixed(20, 5))
    assert (votes.counts.argmax(1) == LABELS).mean() > 0.7 and votes.model.startswith("unknown:")


def test_decisions_between_two_classes_are_about_the_second() -> None:
    fitted = Perceptron().fit(IMAGES.reshape(len(IMAGES), -1), LABELS > 4)
    found = radii.load_model(fitted)(torch.from_numpy(IMAGES)).argmax(1)
    np.testing.assert_array_equal(found, fitted.predict(IMAGES.reshape(len(IMAGES), -1)))


# what a model takes -------------------------------------------------------------------------------

COLOURED = torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(1))
DECLARED = {
    "as it is": ({}, lambda x: x),
    "range": ({"input_range": (-1, 1)}, lambda x: 2 * x - 1),
    "bytes": ({"input_range": (0, 255)}, lambda x: 255 * x),
    "one mean": ({"mean": 0.5, "std": 0.25}, lambda x: (x - 0.5) / 0.25),
    "a mean a channel": (
        {"mean": (0.1, 0.2, 0.3), "std": [1, 2, 4]},
        lambda x: (x - np.float32([[[0.1]], [[0.2]], [[0.3]]])) / np.float32([[[1]], [[2]], [[4]]]),
    ),
    "mean in units of the range": (
        {"input_range": (0, 255), "mean": 128, "std": 64},
        lambda x: (255 * x - 128) / 64,
    ),
    "channels last": ({"layout": "nhwc"}, lambda x: x.transpose(0, 2, 3, 1)),
    "flat": ({"layout": "flat", "input_range": (-1, 1)}, lambda x: 2 * x.reshape(len(x), -1) - 1),
}


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("kind", ["module", "callable"])
def test_a_model_is_given_what_it_takes(name: str, kind: str) -> None:
    declared, expected = DECLARED[name]
    given = radii.load_model(nn.Identity().eval() if kind == "module" else lambda images: images, **declared)(
        COLOURED
    )
    np.testing.assert_allclose(given, expected(COLOURED.numpy()), rtol=1e-5, atol=1e-6)
    assert isinstance(given, torch.Tensor) and given.is_contiguous()


def test_noise_is_added_before_so_that_votes_and_radii_stay() -> None:
    """The same classifier in another scale gives the same votes under the same sigma."""
    scales = [{"input_range": (-1, 1)}, {"input_range": (0, 255), "mean": 100, "std": 50}]
    for declared in scales:
        model = NearestMean(Inputs(**declared)).eval()
        votes = vote(radii.load_model(model, **declared))
        assert (votes.counts != USUAL.counts).sum() <= 4 and votes.noise == radii.Gaussian(0.25)


def test_models_in_another_precision_are_another_classifier() -> None:
    model = radii.load_model(NearestMean(Inputs((-1, 1))).eval(), input_range=(-1, 1))
    votes = radii.Smoothed(model, radii.Gaussian(0.25), "bfloat16", batch=64).vote(IMAGES, LABELS, **HOW)
    assert votes.precision == "bfloat16" and (votes.counts.argmax(1) == LABELS).mean() > 0.8


def test_large_modules_behind_their_scale_are_sampled_as_they_are() -> None:
    torch.manual_seed(0)
    model = make_model("small-cnn", (1, 8, 8), 10).eval()
    declared = radii.load_model(model, mean=0.5, std=0.5)
    by_hand = nn.Sequential(Preprocess(Inputs(mean=(0.5,), std=(0.5,))), model).eval()
    np.testing.assert_array_equal(vote(declared).counts, vote(by_hand).counts)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"input_range": (1, -1)}, "input_range is the least and the largest"),
        ({"input_range": (0, 1, 2)}, "input_range is the least and the largest"),
        ({"input_range": "small"}, "input_range must be finite numbers"),
        ({"input_range": (0, float("nan"))}, "input_range must be finite numbers"),
        ({"mean": 0.5}, "mean and std come together"),
        ({"mean": (0.5, 0.5), "std": 0.5}, "mean and std come together"),
        ({"mean": 0.5, "std": 0}, "std must be above 0"),
        ({"layout": "nhcw"}, "unknown layout 'nhcw'; did you mean 'nhwc'"),
    ],
)
def test_declarations_that_cannot_be(declared: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        radii.load_model(plain, **declared)


def test_declarations_that_do_not_fit_the_images() -> None:
    with pytest.raises(InputError, match="have 3 numbers, but images have 1 channels"):
        vote(radii.load_model(plain, mean=(0.5, 0.5, 0.5), std=(1, 1, 1)))
    with pytest.raises(InputError, match=r"nhwc is of images \(channels, height, width\); got \(64,\)"):
        radii.load_model(plain, layout="nhwc")(torch.zeros(2, 64))


# what identifies a model --------------------------------------------------------------------------


def test_scale_and_layout_belong_to_the_digest() -> None:
    found = [digest(radii.load_model(plain, **declared)) for declared, _ in DECLARED.values()]
    assert len(set(found)) == len(DECLARED) and found[0] == digest(plain)
    assert all(len(one) == 64 for one in found)
    words = {"input_range": [-1.0, 1.0], "mean": None, "std": None, "layout": "nchw"}
    expected = hashlib.sha256(f"{digest(plain)}\0{json.dumps(words)}".encode()).hexdigest()
    assert found[1] == expected


def test_what_has_no_weights_is_named_with_its_scale() -> None:
    assert digest(radii.load_model(function)) == "unknown:given_models.function"
    found = digest(radii.load_model(function, input_range=(-1, 1)))
    assert found.startswith('unknown:given_models.function {"input_range": [-1.0, 1.0]')


def test_a_submodule_called_identity_changes_nothing() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.identity, self.layer = nn.Identity(), nn.Linear(2, 2)

    assert len(digest(Residual())) == 64


def test_copies_and_what_travels_are_the_same_model() -> None:
    for model in (plain, function):
        wrapped = with_preprocessing(model, Inputs((-1, 1)))
        for one in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
            assert digest(one) == digest(wrapped)
            torch.testing.assert_close(one(torch.ones(1, 1, 8, 8)), wrapped(torch.ones(1, 1, 8, 8)))
        assert split_preprocessing(wrapped) == (model, Inputs((-1, 1)))


# mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("given_models:nothing", "there is no 'nothing' in the Python module given_models"),
        ("given_model:plain", "there is no Python module given_model"),
        ("given_models.zoo:plain", "importing given_models.zoo ends in|no Python module given_models.zoo"),
        ("given_models:number", "a model is a torch module, a callable .* got int"),
        ("given_models:broken", "calling given_models:broken ends in LookupError: the weights have moved"),
        ("given_models", "a model is PACKAGE.MODULE:ATTRIBUTE, FILE.pt2"),
        ("weights.pt", "weights.pt is a pickle, which could run any program, and is not read: export"),
        ("weights.pth", "export the model as .pt2 or .onnx"),
        ("none.onnx", "there is no file none.onnx"),
        ("none.pt2", "there is no file none.pt2"),
        (3, "got int"),
        (LogisticRegression(), "must be fitted"),
    ],
    ids=str,
)
def test_what_is_no_model(spec, words: str) -> None:
    with pytest.raises(InputError, match=words):
        radii.load_model(spec)


def test_a_module_that_fails_while_it_is_imported(tmp_path, monkeypatch) -> None:
    (tmp_path / "fails_at_once.py").write_text("1 / 0\n")
    (tmp_path / "needs_what_is_not_there.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="importing fails_at_once ends in ZeroDivisionError"):
        radii.load_model("fails_at_once:model")
    with pytest.raises(InputError, match="needs no_such_package_at_all, which is not installed"):
        radii.load_model("needs_what_is_not_there:model")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("in_training", r"the model is in training mode \(BatchNorm2d 0\), where .*: call model\.eval\(\)"),
        ("lucky", "the same logits in every batch, but they changed when the same batch was queried again"),
        ("not_finite", "NaN or infinite logits on a noise sample of image"),
        (
            "one_number",
            r"must return logits \(batch, classes\) of at least two classes; got \(10,\): if .* binary",
        ),
        (
            "one_logit",
            r"must return logits \(batch, classes\) of at least two classes; got \(10, 1\): if .* binary",
        ),
        ("thresholded", r"must return logits as real numbers; got torch\.bool: return the scores"),
        ("on_meta", "must return logits as numbers, but they are on the meta device"),
        ("meta", r"must have all of its weights, but 1\.weight is on the meta device"),
        ("lazy", r"must have all of its weights, but 1\.weight of a lazy layer has no shape yet"),
        ("nine_classes", "the model gives 9 logits"),
    ],
)
def test_models_that_are_no_classifiers(name: str, words: str) -> None:
    data = load_data("digits").first(10)
    with pytest.raises(InputError, match=words):
        radii.Smoothed(radii.load_model(f"given_models:{name}"), radii.Gaussian(0.25), batch=64).vote(
            data, **HOW
        )


@pytest.mark.parametrize("name", ["one_logit", "one_number", "thresholded", "on_meta", "meta", "lazy"])
@pytest.mark.parametrize("certified", [False, True])
def test_nothing_is_sampled_of_models_that_are_no_classifiers(
    name: str, certified: bool, monkeypatch
) -> None:
    monkeypatch.setattr("radii.sampling.sampler.count_votes", lambda *_: pytest.fail("the model was sampled"))
    with pytest.raises(InputError, match="the model must"):
        smoothed = radii.Smoothed(getattr(given_models, name), radii.Gaussian(0.25))
        smoothed.certify_predictions(IMAGES, norm="l2") if certified else smoothed.predict(IMAGES)


def test_probabilities_vote_as_their_logits_do() -> None:
    np.testing.assert_array_equal(vote(radii.load_model("given_models:probabilities")).counts, USUAL.counts)


def test_an_estimator_of_other_images() -> None:
    fitted = LogisticRegression().fit(np.random.default_rng(0).random((20, 9)), np.arange(20) % 2)
    with pytest.raises(InputError, match="LogisticRegression does not take 64 features"):
        radii.load_model(fitted)(torch.from_numpy(IMAGES))


def test_names_of_layouts_are_names() -> None:
    with pytest.raises(UnknownName):
        Inputs(layout=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(64,), (1, 8, 8, 1), (3, 8, 8)])
def test_images_of_a_shape_that_a_file_does_not_take(shape) -> None:
    check_input_shape("net.onnx", (1, "height", None), (1, 8, 9))
    with pytest.raises(InputError, match=r"net.onnx takes images of shape \(1, 'height', None\); got"):
        check_input_shape("net.onnx", (1, "height", None), shape)
