"""radii vote with models of others: what docs/models.md shows is run, and every mistake ends in one sentence."""

import contextlib
import io
import re
import shlex
import threading
from http.server import HTTPServer
from pathlib import Path

import numpy as np
import pytest

import radii
from commands import call, fine, tree
from given_models import plain
from radii.data import load_data

DOCS = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
FILES = dict(re.findall(r"```python file=(\S+)\n(.*?)```", DOCS, re.DOTALL))
SNIPPETS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", DOCS, re.DOTALL)
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
DIGITS = (
    "--data",
    "digits",
    "--noise",
    "gaussian",
    "--sigma",
    0.25,
    "--n",
    50,
    "--n0",
    5,
    "--limit",
    12,
)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with the files of the page, whose modules are forgotten afterwards."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# the page -----------------------------------------------------------------------------------------


def test_the_page_shows_what_it_should() -> None:
    assert set(FILES) == {"zoo.py", "export.py", "serve.py"} and len(SNIPPETS) == 3 and len(COMMANDS) == 6


@pytest.mark.parametrize(("code", "printed"), SNIPPETS)
def test_snippets_run(code: str, printed: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    assert said.getvalue() == printed


def test_the_commands_of_the_page(here: Path) -> None:
    said = fine(*shlex.split(COMMANDS[0])[1:])
    votes = "model.votes.parquet"
    assert f"Votes on 20 images, 1,000 noise samples per image: {votes}\nNext: radii certify {votes}" in said
    assert "Gaussian" in fine(*shlex.split(COMMANDS[1])[1:])
    votes = radii.load_votes("model.votes.parquet")
    assert (
        votes.model.startswith('unknown:zoo.model {"input_range": [-1.0, 1.0]') and not (here / "x").exists()
    )
    assert (
        radii.certify(votes, "l2").accuracy([0])[0] > 0.8
        and str(votes.data) == "digits test, first 20 of 355"
    )


def test_the_ensemble_of_the_page(here: Path) -> None:
    said = [fine(*shlex.split(line)[1:]) for line in COMMANDS[2:]]
    assert "Laplace, mirrored ensemble" in said[-1]


def test_files_are_exported_as_the_page_says(here: Path) -> None:
    code = FILES["export.py"].replace("dynamo=True,", "dynamo=True, verbose=False,")
    space: dict = {}
    with contextlib.redirect_stdout(io.StringIO()), pytest.warns():
        exec(code, space)
    found = []
    for file in ("network.pt2", "network.onnx"):
        fine("vote", file, *DIGITS, "--batch-size", 64, "--out", f"{file}.parquet")
        found.append(radii.load_votes(f"{file}.parquet"))
    usual = radii.Smoothed(space["network"], radii.Gaussian(0.25), batch=64).vote(
        load_data("digits").first(12), plan=radii.fixed(50, 5)
    )
    assert all((one.counts != usual.counts).sum() <= 4 for one in found)


def test_the_server_of_the_page(here: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(here)
    space: dict = {"__name__": "serve"}
    exec(FILES["serve.py"], space)
    monkeypatch.setattr(space["Handler"], "log_message", lambda *_: None)
    with HTTPServer(("127.0.0.1", 0), space["Handler"]) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        declared = ("--input-range", "-1,1", "--layout", "flat", "--batch-size", 64)
        fine("vote", url, *DIGITS, *declared)
        server.shutdown()
    fine("vote", "zoo:model", *DIGITS, *declared, "--out", "same.parquet")
    votes, usual = (radii.load_votes(name) for name in ("127.0.0.1.votes.parquet", "same.parquet"))
    np.testing.assert_array_equal(votes.counts, usual.counts)
    assert votes.model.startswith(f"unknown:{url} ")


# the command --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
def test_votes_of_the_command_are_those_of_the_function(tmp_path, monkeypatch, workers) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[1]}:{Path(radii.__file__).parents[1]}")
    monkeypatch.chdir(tmp_path)
    fine("vote", "given_models:plain", *DIGITS, *workers, "--part-size", 300)
    votes = radii.load_votes("plain.votes.parquet")
    usual = radii.Smoothed(plain, radii.Gaussian(0.25)).vote(
        load_data("digits").first(12), plan=radii.fixed(50, 5)
    )
    assert votes.encode() == usual.encode() and [path.name for path in tmp_path.iterdir()] == [
        "plain.votes.parquet"
    ]


def test_plans_that_stop_early(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--data", "digits", "--noise", "laplace", "--sigma", 0.25, "--radii", 0.1, "--n-max", 200)
    fine("vote", "given_models:centred", *asked, "--input-range", "-1,1", "--limit", 10)
    votes = radii.load_votes("centred.votes.parquet")
    assert votes.noise == radii.Laplace(0.25) and votes.certified.max() == 1


def test_the_same_command_in_another_scale_is_another_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ("vote", "given_models:plain", *DIGITS, "--shard", "1/2")
    fine(*line)
    before = tree(tmp_path)
    ended = call(*line, "--mean", 0.1, "--std", 1)
    assert ended.status == 2 and "other" in ended.err and tree(tmp_path) == before


def test_a_mismatch_of_scale_is_explained(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bytes_zoo.py").write_text(
        "from given_models import NearestMean\nfrom radii.models.adapters import Inputs\n"
        "model = NearestMean(Inputs((0, 255))).eval()\n"
    )
    line = ("vote", "bytes_zoo:model", "--data", "digits", "--noise", "gaussian")
    ended = call(*line)
    assert ended.status == 2 and "classified correctly, but 56 with --input-range 0,255" in ended.err
    assert ended.err.count("\n") == 1 and not list(tmp_path.glob("*.parquet"))
    fine(*line, "--input-range", "0,255", "--limit", 3, "--n", 50)


@pytest.mark.parametrize(
    ("name", "takes"), [("centred", ("--input-range", "-1,1")), ("like_hugging_face", ())]
)
def test_modules_of_others_are_attacked(name, takes, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--data", "digits", "--noise", "gaussian", "--sigma", 0.25, "--limit", 12)
    fine("vote", f"given_models:{name}", *asked, *takes, "--n", 300)
    votes = f"{name}.votes.parquet"
    line = ("attack", votes, "--steps", 10, "--eot-samples", 8, "--n", 400, "--out", "attacks", "--run")
    said = fine(*line, f"given_models:{name}", *takes)
    (file,) = Path("attacks").glob("*.csv")
    certified, found = np.loadtxt(file, delimiter=",", skiprows=1).T[2:]
    assert "none within its radius" in said and np.isfinite(found).mean() > 0.8 and (found > certified).all()
    ended = call(*line, f"given_models:{name}", "--input-range", "0,255")
    assert ended.status == 2 and "holds another model than the one that gave these votes" in ended.err


def test_what_has_no_gradients_cannot_be_attacked(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    fine("vote", "given_models:function", *DIGITS)
    ended = call("attack", "function.votes.parquet", "--run", "given_models:function")
    assert ended.status == 2 and "follows gradients, which only a torch module has" in ended.err
    ended = call("attack", "function.votes.parquet")
    assert (
        ended.status == 2
        and "lies in no run folder: name the model that gave these votes with --run" in ended.err
    )


FULL = "vote given_models:plain --data digits --noise gaussian"
MISTAKES = {
    "vote given_models:plain": "given_models:plain is a model, not a run folder: add --data and --noise",
    "vote given_models:plain --data digits": "add --noise",
    "vote given_models:plain --noise gaussian": "add --data",
    "vote . --noise gaussian": "--noise is for models not trained by radii train; . is a run folder",
    "vote . --sigma 1": "--sigma is for models not trained by radii train",
    "vote . --layout flat": "--layout is for models",
    "vote . --input-range 0,1": "--input-range is for models",
    "vote zoo --data digits": "there is not a run folder zoo; a model is PACKAGE.MODULE:ATTRIBUTE, FILE.pt2",
    f"{FULL} --classifier .": "given_models:plain is a model",
    f"{FULL} --data digts": "unknown data set 'digts'; did you mean 'digits'?",
    f"{FULL} --noise gausian": "unknown noise 'gausian'; did you mean 'gaussian'?",
    f"{FULL} --sigma 0": "sigma must be",
    f"{FULL} --input-range 1": "input_range is the least and the largest value of a pixel",
    f"{FULL} --input-range 1,x": "--input-range is numbers, for example 0.5,0.4,0.3; got '1,x'",
    f"{FULL} --mean 0.5": "mean and std come together",
    f"{FULL} --mean 1,2,3 --std 1,1,1": "have 3 numbers, but images have 1 channels",
    f"{FULL} --layout hwc": "unknown layout 'hwc'",
    f"{FULL} --n 3": "cannot certify anything",
    "vote given_models:nothing --data digits --noise gaussian": "there is no 'nothing' in the Python module",
    "vote no_zoo:model --data digits --noise gaussian": "there is no Python module no_zoo",
    "vote given_models:broken --data digits --noise gaussian": "ends in LookupError: the weights have moved",
    "vote given_models:in_training --data digits --noise gaussian": "is in training mode (BatchNorm2d 0)",
    "vote given_models:lucky --data digits --noise gaussian": "changed when the same batch was queried again",
    "vote given_models:not_finite --data digits --noise gaussian": "NaN or infinite logits on a noise sample",
    "vote given_models:nine_classes --data digits --noise gaussian": "gives 9 logits, but digits test",
    "vote given_models:one_number --data digits --noise gaussian": "must return logits (batch, classes)",
    "vote given_models:one_logit --data digits --noise gaussian": "of at least two classes; got (64, 1): if it is",
    "vote given_models:thresholded --data digits --noise gaussian": "as real numbers; got torch.bool",
    "vote given_models:meta --data digits --noise gaussian": "1.weight is on the meta device, which holds no",
    "vote given_models:lazy --data digits --noise gaussian": "1.weight of a lazy layer has no shape yet: call",
    "vote given_models:convolution --data digits --noise gaussian --layout nhwc": "if it takes another layout",
    "vote weights.pth --data digits --noise gaussian": "weights.pth is a pickle",
    "vote none.onnx --data digits --noise gaussian": "there is no file none.onnx",
    "vote none.pt2 --data digits --noise gaussian": "there is no file none.pt2",
    "vote http://127.0.0.1:1/ --data digits --noise gaussian": "gave no answer in 1 tries",
    "vote ftp://127.0.0.1/ --data digits --noise gaussian": "an endpoint is http://HOST:PORT/PATH",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("radii.models.adapters.http.TRIES", 1)
    ended = call(*line.split())
    assert ended.status == 2 and ended.err.startswith("radii: ") and ended.err.count("\n") == 1
    assert MISTAKES[line] in ended.err and "done in" not in ended.out
    assert not tree(tmp_path)
