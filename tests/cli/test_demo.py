"""The demo: the whole job once, taken up where it stopped."""

from contextlib import contextmanager

import numpy as np
import pytest

import radii
import radii.cli.demo
from radii.cli import main
from radii.cli.demo import COMPARED, KS, Demo, run_demo
from radii.data import load_data
from radii.errors import InputError
from radii.sampling import Smoothed

TINY = Demo(data="digits", sigma=0.4, images=30, n=50, epochs=1)
OPTIONS = ("--data", "digits", "--sigma", "0.4", "--images", "30", "--n", "50", "--epochs", "1")


def quiet(jobs):
    """Notes the jobs that are done, and shows nothing."""

    @contextmanager
    def watch(words):
        jobs.append(words)
        yield lambda *_: None

    return watch


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A demo that was interrupted while it voted on the second model, and then called again."""
    folder, vote, jobs = tmp_path_factory.mktemp("demo"), Smoothed.vote, []

    def stop(self, *arguments, **settings):
        if self.noise.name == "gaussian":
            raise KeyboardInterrupt
        return vote(self, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Smoothed, "vote", stop)
        patch.setattr("sys.argv", ["radii", "demo", "--out", str(folder), *OPTIONS])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 130
    first = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found, page = run_demo(TINY, folder, quiet(jobs))
    return folder, first, jobs, found, page


def test_an_interrupted_demo_goes_on_with_what_was_finished(done):
    folder, first, jobs, _, _ = done
    assert {path.relative_to(folder).as_posix() for path in first if "tensorboard" not in path.parts} == {
        *(
            f"{noise}/{file}"
            for noise in ("laplace", "gaussian")
            for file in ("config.json", "metrics.csv", "model.safetensors")
        ),
        "laplace/votes.parquet",
    }
    assert jobs == ["vote gaussian", "train uniform", "vote uniform", "report"]
    assert all(path.read_bytes() == content for path, content in first.items())


def test_it_certifies_every_noise_norm_and_k(done):
    folder, _, _, found, page = done
    assert list(found) == ["Laplace", "Gaussian", "Uniform"]
    assert page == folder / "report" / "index.html"
    for name, certificates in found.items():
        assert set(certificates) == {(norm, k) for norm in radii.NORMS for k in KS}
        votes = radii.load_votes(folder / name.lower() / "votes.parquet")
        again = radii.certify(votes, "l0", k=2, unit="pixel")
        np.testing.assert_array_equal(certificates["l0", 2].radius, again.radius)
        assert votes.data == TINY.shown().identity and len(votes) == 30
    # the networks were trained here, so the model card knows how
    card = (page.parent / "model-card.md").read_text()
    assert card.count("model small-cnn, noise ") == 3 and "; trained on" not in card.replace(
        "; trained on d", ""
    )


def test_its_page_shows_all_of_it(done):
    *_, page = done
    text = page.read_text()
    assert all(name in text for name in ("Laplace", "Gaussian", "Uniform", "data:image/png"))
    figures = {path.name for path in (page.parent / "figures").iterdir()}
    assert {f"accuracy-{norm}.png" for norm in radii.NORMS} <= figures
    assert {f"topk-{norm}-{noise}.png" for norm in radii.NORMS for noise in COMPARED} <= figures
    assert "#0072b2" in text and "#d55e00" in text and "#009e73" in text, "each noise has its colour"


def test_called_again_it_draws_nothing_and_prints_the_same(done, monkeypatch, capsys):
    folder, _, _, found, page = done

    def refuse(*_, **__):
        raise AssertionError("this was done before")

    monkeypatch.setattr(Smoothed, "vote", refuse)
    monkeypatch.setattr(radii.cli.demo, "train", refuse)
    monkeypatch.setattr(radii.cli.demo, "write_report", lambda *_, **__: page)
    monkeypatch.setattr("sys.argv", ["radii", "demo", "--out", str(folder), *OPTIONS])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr().out
    assert end.value.code == 0 and str(page) in printed
    for name, certificates in found.items():
        row = next(line.split() for line in printed.splitlines() if line.split()[:1] == [name])
        assert row[2] == f"{certificates['l0', 1].accuracy([0])[0]:.1%}"


@pytest.mark.parametrize(
    "other,words",
    [
        (Demo(data="digits", sigma=0.5, images=30, n=50, epochs=1), "a model by another recipe"),
        (Demo(data="digits", sigma=0.4, images=30, n=60, epochs=1), "other votes"),
        (Demo(data="digits", sigma=0.4, images=31, n=50, epochs=1), "other votes"),
    ],
)
def test_it_does_not_mix_different_demos(done, other, words):
    with pytest.raises(InputError, match=f"{words}: choose another folder"):
        run_demo(other, done[0], quiet([]))


def test_votes_of_another_model_are_not_taken_over(done, tmp_path):
    folder = done[0]
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((folder / "laplace" / file).read_bytes())
    votes = radii.load_votes(folder / "laplace" / "votes.parquet")
    radii.Votes(**{**vars(votes), "model": "another"}).save(tmp_path / "votes.parquet")
    with pytest.raises(InputError, match="other votes"):
        radii.cli.demo.vote_once(TINY, tmp_path, TINY.shown(), quiet([]))


@pytest.mark.parametrize("images,step", [(30, 11), (100, 3), (355, 1), (5000, 1)])
def test_it_shows_as_many_images_as_asked_from_all_over(images, step):
    shown = Demo(data="digits", images=images).shown()
    assert len(shown) == min(images, len(load_data("digits")))
    assert shown.index.tolist() == list(range(0, step * len(shown), step))
