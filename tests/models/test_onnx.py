"""ONNX files: polled as the model that they were exported from; what cannot be polled is said."""

import copy
import hashlib
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

import radii
from given_models import digits, plain
from onnx_factory import linear
from radii.data import load_data
from radii.errors import InputError, MissingExtra, RadiiWarning
from radii.models import make_model
from radii.models.adapters.outputs import class_names
from radii.models.adapters.preprocess import unwrap
from radii.sampling import autotune

IMAGES, LABELS = digits(20)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    return linear(tmp_path_factory.mktemp("onnx") / "linear.onnx")


def test_votes_of_a_file(file: str) -> None:
    model = radii.load_model(file, layout="flat")
    how = {"plan": radii.fixed(100, 10), "seed": 4}
    votes, usual = (
        radii.Smoothed(one, radii.Gaussian(0.25), batch=64).vote(IMAGES, LABELS, **how)
        for one in (model, plain)
    )
    # another library may round two nearly equal logits in the other direction
    assert (votes.counts != usual.counts).sum() <= 4
    torch.testing.assert_close(model(torch.from_numpy(IMAGES)), plain(torch.from_numpy(IMAGES)))


def test_the_digest_is_that_of_the_file(file: str) -> None:
    from radii.models import digest

    content = Path(file).read_bytes()
    assert digest(radii.load_model(file)) == hashlib.sha256(content).hexdigest()
    assert len(digest(radii.load_model(file, layout="flat"))) == 64
    assert digest(radii.load_model(file, layout="flat")) != digest(radii.load_model(file))


def test_what_torch_exports(tmp_path) -> None:
    """As the sentences about files that were exported in another way say."""
    torch.manual_seed(0)
    model, images, path = (
        make_model("small-cnn", (1, 8, 8), 10).eval(),
        torch.rand(9, 1, 8, 8),
        tmp_path / "m",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exporting = {"dynamo": True, "external_data": False, "verbose": False}
        torch.onnx.export(model, (images,), f"{path}.onnx", dynamic_shapes=({0: "batch"},), **exporting)
    with torch.inference_mode():
        expected = model(images[:4])
    torch.testing.assert_close(radii.load_model(f"{path}.onnx")(images[:4]), expected, rtol=1e-4, atol=1e-5)


def test_files_travel_to_other_processes(file: str) -> None:
    model = radii.load_model(file, layout="flat")
    images = torch.from_numpy(IMAGES)
    for one in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(one(images), model(images))


@pytest.mark.parametrize("width", [3, 12])
def test_a_file_with_another_number_of_classes(file: str, width: int, monkeypatch) -> None:
    """As graphs can be whose outputs depend on the values of the images."""
    model = radii.load_model(file, layout="flat")
    inner = unwrap(model)
    session, calls = inner._session, []

    def run(*given) -> list[np.ndarray]:
        calls.append(given)
        (logits,) = session.run(*given)
        return [logits if len(calls) <= 5 else np.concatenate([logits, logits], 1)[:, :width]]

    monkeypatch.setattr(inner, "_session", SimpleNamespace(run=run))
    with pytest.raises(InputError, match=f"as many logits .* as at first, 10; got {width}"):
        radii.Smoothed(model, radii.Gaussian(0.25), batch=64).vote(IMAGES, plan=radii.fixed(50))


class Calibration(CalibrationDataReader):
    """Images from which a static scale is found."""

    def __init__(self) -> None:
        self.left = [{"images": IMAGES.reshape(20, 64)}]

    def get_next(self) -> dict | None:
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("rows", [8, 64, 512])
def test_dynamic_quantization_is_rejected(file: str, tmp_path, rows: int) -> None:
    """Its scale comes from the whole batch; a static one is as good as any weight."""
    quantize_dynamic(file, tmp_path / "dynamic.onnx")
    model = radii.load_model(tmp_path / "dynamic.onnx", layout="flat")
    for noise in (radii.Gaussian(0.5), radii.Laplace(0.25), radii.Pareto(0.5, 3)):
        with pytest.raises(InputError, match=r"beside other images in the batch: .*quantize statically"):
            radii.Smoothed(model, noise, batch=rows).vote(IMAGES, plan=radii.fixed(10))
    quantize_static(file, tmp_path / "static.onnx", Calibration())
    model = radii.load_model(tmp_path / "static.onnx", layout="flat")
    votes = radii.Smoothed(model, radii.Gaussian(0.5), batch=rows).vote(IMAGES, plan=radii.fixed(1000))
    assert votes.counts.sum() == 20_000


def test_a_trial_finds_the_micro_batch(file: str, monkeypatch) -> None:
    monkeypatch.setattr(autotune, "SECONDS", 0.01)
    model = radii.load_model(file, layout="flat")
    tried = []

    def measure(ask, images, device):
        tried.append(tuple(ask(images).shape))
        return {16: 100.0, 32: 190.0}.get(len(images), 191.0)

    monkeypatch.setattr(autotune, "measure", measure)
    assert autotune.fastest_settings(model, lambda _: model, (1, 8, 8), "auto", False) == ("float32", 32)
    assert tried == [(16, 10), (32, 10), (64, 10)]
    assert (
        autotune.fastest_settings(model, lambda _: pytest.fail("not remembered"), (1, 8, 8), "auto", False)[1]
        == 32
    )


# names of classes ---------------------------------------------------------------------------------


def test_names_in_the_metadata_are_matched(tmp_path) -> None:
    """The digits of the file are called as if they were counted from the last one on."""
    path = linear(tmp_path / "named.onnx", names='["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]')
    model = radii.load_model(path, layout="flat")
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert class_names(one) == tuple("9876543210")
    images = load_data("digits").first(10)
    how = {"plan": radii.fixed(50, 5), "seed": 4}
    votes, usual = (
        radii.Smoothed(one, radii.Gaussian(0.25), batch=64).vote(images, **how) for one in (model, plain)
    )
    assert (votes.counts[:, ::-1] != usual.counts).sum() <= 4 and votes.classes == tuple("0123456789")


def test_names_that_are_not_read_are_noted(tmp_path) -> None:
    with pytest.warns(
        RadiiWarning, match=r"words.onnx gives its classes names that radii does not read: labels are posi"
    ):
        model = radii.load_model(linear(tmp_path / "words.onnx", words=True))
    assert class_names(model) == ()
    names = '["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]'
    assert class_names(radii.load_model(linear(tmp_path / "both.onnx", words=True, names=names)))[1] == "b"


@pytest.mark.parametrize("names", ["cat, dog", '{"0": "cat"}', "[1, 2]"])
def test_metadata_that_are_no_names(tmp_path, names: str) -> None:
    with pytest.raises(InputError, match=r"class_names of .*bad.onnx must be a list of names in JSON"):
        radii.load_model(linear(tmp_path / "bad.onnx", names=names))


# mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"shape": (3, 64), "logits": (3, 10)},
            r"takes 3 images at a time, .* dynamic batch, torch\.onnx\.export",
        ),
        ({"shape": (1, 64), "logits": (1, 10)}, "takes 1 images at a time"),
        (
            {"kind": TensorProto.DOUBLE},
            r"must take one batch of images, tensor\(float\); it takes images: tensor\(d",
        ),
        ({"twice": True}, "must give one table of logits .* it gives logits: .*, probabilities: "),
        (
            {"outside": True},
            "has weights in another file, which the digest would not cover: put them into one",
        ),
    ],
)
def test_files_that_cannot_be_sampled(tmp_path, given: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        radii.load_model(linear(tmp_path / "linear.onnx", **given))


@pytest.mark.parametrize("name", ["images", "logits", "batch", "class_names", "cat", "Gemm"])
def test_names_that_are_not_utf8(tmp_path, name: str, capsys) -> None:
    path = Path(linear(tmp_path / "linear.onnx", names='["cat"]'))
    path.write_bytes(path.read_bytes().replace(name.encode(), b"\xff" * len(name)))
    with pytest.raises(InputError, match=r"has a name that is not UTF-8|is not an ONNX model"):
        radii.load_model(str(path))
    # onnxruntime printed its errors, and the words of the file in them
    assert not any(capsys.readouterr())


def test_weights_in_other_files_are_not_read_wherever_one_is(tmp_path, monkeypatch) -> None:
    linear(tmp_path / "linear.onnx", outside=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="weights in another file"):
        radii.load_model("linear.onnx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\x0a nonsense" * 99, "is not an ONNX model that onnxruntime can run"),
        (b"", "is an empty file, not an ONNX model"),
        (b"<html>404</html>", "is a web page, not an ONNX model: export the model again"),
        (b"PK\x03\x04 x/data.pkl", "is a model or weights that torch.save wrote, not an ONNX model"),
    ],
)
def test_what_is_no_model(tmp_path, content: bytes, words: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(InputError, match=rf"bad\.onnx {words}"):
        radii.load_model(tmp_path / "bad.onnx")


def test_other_shapes(file: str) -> None:
    with pytest.raises(
        InputError, match=r"takes images of shape \(64,\); got \(1, 8, 8\): declare its layout"
    ):
        radii.load_model(file)(torch.from_numpy(IMAGES))


def test_without_onnxruntime(file: str, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(
        MissingExtra, match=r"an ONNX model needs onnxruntime: run pip install 'radii\[onnx\]'"
    ):
        radii.load_model(file)
