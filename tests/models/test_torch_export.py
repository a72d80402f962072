"""Programs of torch.export: polled as the model they were made of, and never unpickled nor evaluated."""

import hashlib
import io
import json
import pickle
import re
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import radii
from given_models import digits, plain
from program_factory import AUTO, MODEL, changed, export, of_model
from radii.errors import InputError
from radii.models import digest, make_model
from radii.models.adapters import export_archive
from radii.models.adapters.export_archive import harmless_archive


class Patches(nn.Module):
    """A tiny vision transformer, whose sizes are sums and products of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 16, 2, 2)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.block(self.embed(images).flatten(2).transpose(1, 2)).mean(1))


class Twice(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1), images.flatten(1)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    return export(plain, tmp_path_factory.mktemp("exported") / "plain.pt2")


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return Patches() if name == "patches" else make_model(name, (1, 8, 8), 10)


@pytest.mark.parametrize("name", ["small-cnn", "wrn-10-1", "patches"])
def test_a_program_is_the_model_that_it_was_made_of(tmp_path, name: str) -> None:
    model = network(name).eval()
    loaded = radii.load_model(export(model, tmp_path / "model.pt2"))
    images = torch.rand(9, 1, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), model(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            loaded(images), torch.export.load(tmp_path / "model.pt2").module()(images), rtol=1e-5, atol=1e-6
        )


def test_votes_of_a_program(file: str) -> None:
    images, labels = digits(20)
    how = {"plan": radii.fixed(100, 10), "seed": 4}
    votes, usual = (
        radii.Smoothed(model, radii.Gaussian(0.25), batch=64).vote(images, labels, **how)
        for model in (radii.load_model(file), plain)
    )
    np.testing.assert_array_equal(votes.counts, usual.counts)
    assert votes.model == hashlib.sha256(Path(file).read_bytes()).hexdigest() != usual.model
    assert digest(radii.load_model(file, mean=0.5, std=0.5)) not in (votes.model, usual.model)


def test_programs_run_in_bfloat16(file: str) -> None:
    images, labels = digits(20)
    smoothed = radii.Smoothed(radii.load_model(file), radii.Gaussian(0.25), "bfloat16", batch=64)
    votes = smoothed.vote(images, labels, plan=radii.fixed(50))
    assert (votes.counts.argmax(1) == labels).mean() > 0.7


def test_a_program_in_training_mode_is_rejected(tmp_path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    program = torch.export.export(model, (torch.rand(3, 1, 8, 8),), dynamic_shapes=({0: AUTO},))
    torch.export.save(program, tmp_path / "model.pt2")
    smoothed = radii.Smoothed(radii.load_model(tmp_path / "model.pt2"), radii.Gaussian(0.5), batch=64)
    with pytest.raises(
        InputError, match="the same logits in every batch, but they changed beside other images"
    ):
        smoothed.vote(digits(2)[0], plan=radii.fixed(10))


# mistakes -----------------------------------------------------------------------------------------


def test_a_fixed_batch(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"takes 3 images at a time: export it with a dynamic batch, torch\.export"
    ):
        radii.load_model(export(plain, tmp_path / "fixed.pt2", batch=None))
    with pytest.raises(InputError, match="takes at most 64 images at a time"):
        radii.load_model(export(plain, tmp_path / "few.pt2", batch=torch.export.Dim("batch", max=64)))


def test_other_shapes(file: str) -> None:
    with pytest.raises(
        InputError, match=r"takes images of shape \(1, 8, 8\); got \(8, 8, 1\): declare its layout"
    ):
        radii.load_model(file, layout="nhwc")(torch.zeros(9, 1, 8, 8))


def test_two_answers(tmp_path) -> None:
    with pytest.raises(InputError, match="must take one batch of images, and give one tensor of logits"):
        radii.load_model(export(Twice(), tmp_path / "twice.pt2"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04", r"is not a program that torch\.export\.save"),
        (b"\x00nonsense" * 99, r"is not a program that torch\.export\.save"),
        (b"", "is an empty file, not a program that torch"),
        (b"nonsense", "is text, not a program that torch"),
        (b"<html>404</html>", "is a web page, not a program that torch"),
    ],
)
def test_what_is_no_archive(tmp_path, content: bytes, words: str) -> None:
    (tmp_path / "bad.pt2").write_bytes(content)
    with pytest.raises(InputError, match=rf"bad\.pt2 {words}"):
        radii.load_model(tmp_path / "bad.pt2")


def test_half_an_archive(tmp_path, file: str) -> None:
    whole = Path(file).read_bytes()
    (tmp_path / "half.pt2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is not a program"):
        radii.load_model(tmp_path / "half.pt2")


# trust --------------------------------------------------------------------------------------------


class Evil:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def saved(thing: object) -> bytes:
    """As torch.save writes it."""
    content = io.BytesIO()
    torch.save(thing, content)
    return content.getvalue()


def load(content: bytes, tmp_path: Path) -> object:
    (tmp_path / "changed.pt2").write_bytes(content)
    return radii.load_model(tmp_path / "changed.pt2")


def test_example_inputs_are_never_unpickled(file: str, tmp_path, monkeypatch) -> None:
    """torch itself runs them: that is what this test is about."""
    trace = tmp_path / "trace"
    content = changed(file, **{"data/sample_inputs/model.pt": saved(((Evil(trace),), {}))})
    (tmp_path / "evil.pt2").write_bytes(content)
    assert load(content, tmp_path)(torch.zeros(9, 1, 8, 8)).shape == (9, 10) and not trace.exists()
    monkeypatch.setattr("torch._export.serde.serialize.log.disabled", True)
    with suppress(AssertionError):
        torch.export.load(tmp_path / "evil.pt2")
    assert trace.exists()


def pickled(name: str):
    """An entry of a configuration that says that a file is a pickle."""

    def edit(content: bytes) -> bytes:
        document = json.loads(content)
        entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        document["config"] = {"layer.weight": entry}
        return json.dumps(document).encode()

    return edit


@pytest.mark.parametrize("folder", ["weights", "constants"])
@pytest.mark.parametrize(
    "name", ["weight_0", "tensor_0", "custom_obj_0", "opaque_obj_0", "../models/model.json"]
)
def test_pickled_weights_and_constants_are_rejected(file: str, tmp_path, folder: str, name: str) -> None:
    trace = tmp_path / "trace"
    config = f"data/{folder}/model_{folder}_config.json"
    edits = {config: pickled(name), f"data/{folder}/{name}": pickle.dumps(Evil(trace))}
    with pytest.raises(InputError, match="holds pickled objects, which could run any program"):
        load(changed(file, **edits), tmp_path)
    plainly = of_model(lambda document: [one.update(use_pickle=False) for one in document["config"].values()])
    if not re.fullmatch("(weight|tensor)_0", name):
        edits[config] = lambda content: plainly(pickled(name)(content))
        with pytest.raises(InputError, match="holds pickled objects"):
            load(changed(file, **edits), tmp_path)
    assert not trace.exists()


def first_node(**fields):
    return of_model(lambda document: document["graph_module"]["graph"]["nodes"][0].update(fields))


def nested(**fields):
    """A graph within an argument, as control flow has them."""
    return first_node(inputs=[{"name": "f", "arg": {"as_graph": {"nodes": [fields]}}, "kind": 1}])


def with_size(text: str):
    def change(document) -> None:
        for value in document["graph_module"]["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = text

    return of_model(change)


def renamed(old: str, new: str):
    return lambda content: content.replace(f'"{old}"'.encode(), json.dumps(new).encode())


def signature(**fields):
    return of_model(
        lambda document: document["graph_module"]["module_call_graph"][0]["signature"].update(fields)
    )


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            first_node(target="torch.os.system"),
            "calls 'torch.os.system', which is not among the operators of networks",
        ),
        (first_node(target="torch.load"), "not among the operators of networks"),
        (first_node(target="_operator.call"), "not among the operators of networks"),
        (first_node(target="_operator.attrgetter"), "not among the operators of networks"),
        (first_node(target="torch.ops.aten.from_file.default"), "not among the operators of networks"),
        (first_node(target="torch.ops.aten.__class__.mro"), "not among the operators of networks"),
        (first_node(target="torch.ops.load_library"), "not among the operators of networks"),
        (first_node(target="#executorch:evil"), "is not a program that torch.export.save"),
        (nested(target="torch.os.abort"), "not among the operators of networks"),
        (nested(as_operator="torch.load"), "not among the operators of networks"),
        (with_size("__import__('os').system('true')"), 'holds "__import__'),
        (with_size("exec(chr(49))"), r"holds 'exec\(chr\(49\)\)' where a name must be"),
        (with_size("9**9**9**9"), "where a name must be"),
        (with_size("Symbol('s34', cls=exit)"), "where a name must be"),
        # of all ways to cut it into numbers, 2^59 would be tried
        (with_size("1" * 60 + "!"), "where a name must be"),
        (with_size("1" * 19), "where a name must be"),
        (renamed("images", "images=print(1)"), r"holds 'images=print\(1\)' where a name must be"),
        (renamed("layer.weight", "__class__.forward"), "holds '__class__.forward' where a name must be"),
        (renamed("layer.weight", "layer.__dict__"), "where a name must be"),
        (signature(in_spec='[1, {"type": "torch.Size"}]'), "must take one batch of images"),
        (signature(out_spec="[2]"), "must take one batch of images"),
    ],
)
def test_what_torch_would_evaluate_is_rejected(file: str, tmp_path, edit, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(changed(file, **{MODEL: edit}), tmp_path)


def test_guards_and_notes_of_origin_are_left_out(file: str, tmp_path) -> None:
    def change(document) -> None:
        document["guards_code"] = ["__import__('os').abort()"]
        document["graph_module"]["graph"]["nodes"][0]["metadata"] = {"source_fn_stack": "x,torch.os.abort"}

    model = load(changed(file, **{MODEL: of_model(change)}), tmp_path)
    assert model(torch.zeros(9, 1, 8, 8)).shape == (9, 10)  # type: ignore[operator]


def test_libraries_and_other_files_are_left_out(file: str) -> None:
    evil = {"data/aotinductor/model/a.so": b"code", "extra/x": b"x", "data/weights/model.pt": b"pickle"}
    with ZipFile(io.BytesIO(harmless_archive(changed(file, **evil), "x.pt2"))) as clean:
        names = {name.partition("/")[2] for name in clean.namelist()}
    assert not names & set(evil) and {"data/weights/weight_0", MODEL} <= names


def test_a_file_that_comes_twice_is_rejected(file: str, tmp_path) -> None:
    content = io.BytesIO(Path(file).read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), ZipFile(content, "a", ZIP_STORED) as zipped:
        zipped.writestr(next(name for name in zipped.namelist() if name.endswith(MODEL)), b"{}")
    with pytest.raises(InputError, match="is not a program"):
        load(content.getvalue(), tmp_path)


def test_files_that_share_their_bytes_are_rejected(file: str, monkeypatch) -> None:
    """A small archive could unpack to any size otherwise."""
    monkeypatch.setattr(export_archive.ZipFile, "infolist", lambda self: list(self.NameToInfo.values()) * 9)
    with pytest.raises(InputError, match="is not a program"):
        harmless_archive(Path(file).read_bytes(), "x.pt2")


def test_damaged_programs_are_valid_or_rejected(file: str, tmp_path) -> None:
    """Letters of the graph are changed, with the sums of the archive right again."""
    rng, refused = np.random.default_rng(0), 0

    def damage(content: bytes) -> bytes:
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(32, 127)
        return bytes(damaged)

    for _ in range(60):
        try:
            load(changed(file, **{MODEL: damage}), tmp_path)
        except InputError:
            refused += 1
    assert 10 < refused < 60


def test_an_unknown_version_is_one_sentence_without_a_log(file: str, tmp_path, capfd) -> None:
    """Torch logs such an error with its traceback, and raises another that says nothing."""

    def unversioned(content: bytes) -> bytes:
        return re.sub(rb'"major": *\d+', b'"major": null', content)

    with pytest.raises(InputError, match=r"SchemaVersion.* does not match"):
        load(changed(file, **{MODEL: unversioned}), tmp_path)
    assert capfd.readouterr() == ("", "")
