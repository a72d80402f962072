"""Names of votes files in a command line: given as NAME=votes.parquet, or found from their noise."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import radii
from radii.certificates.imported import Stated, read_run
from radii.cli.options import load_named, split_name
from radii.errors import InputError
from vote_factory import make_votes

STORED = Path(__file__).parents[2] / "results" / "mnist5k"
LAPLACE, GAUSSIAN = STORED / "laplace-0.5.parquet", STORED / "gaussian-0.5.parquet"


def test_a_name_is_what_stands_before_the_equals_sign():
    assert split_name(Path(f"our model={LAPLACE}")) == ("our model", LAPLACE)
    assert split_name(LAPLACE) == ("", LAPLACE)
    # of a folder or a file, an equals sign is no name
    assert split_name(Path("runs/lr=0.1/votes.parquet")) == ("", Path("runs/lr=0.1/votes.parquet"))


def test_files_are_called_as_they_are_named(tmp_path):
    found = load_named([Path(f"<b>ours={LAPLACE}"), GAUSSIAN])
    assert list(found) == ["<b>ours", "Gaussian"]
    assert found["<b>ours"].noise.name == "laplace"
    other = tmp_path / "a=b.parquet"
    shutil.copy(LAPLACE, other)
    assert list(load_named([other])) == ["Laplace"], "a file of this name is there"
    # a given name may be the one that another file would get
    assert list(load_named([Path(f"Gaussian={LAPLACE}"), GAUSSIAN])) == ["Gaussian", "Gaussian 0.5"]


def test_names_must_differ_and_files_too():
    with pytest.raises(InputError, match="must differ; got A, A"):
        load_named([Path(f"A={LAPLACE}"), Path(f"A={GAUSSIAN}")])
    with pytest.raises(InputError, match="given twice"):
        load_named([Path(f"A={LAPLACE}"), LAPLACE])


def saved(folder, **noises):
    """Files of votes by their paths without suffix, each of a noise and a level."""
    paths = []
    for number, (name, (noise, level)) in enumerate(noises.items()):
        path = folder / f"{name.replace('__', '/')}.parquet"
        replace(make_votes(noise, level, images=2), seed=number).save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize(
    "noises,names",
    [
        ({"a__votes": ("gaussian", 0.5), "b__votes": ("laplace", 0.5)}, ["Gaussian", "Laplace"]),
        ({"a__votes": ("gaussian", 0.5), "b__votes": ("gaussian", 1)}, ["Gaussian 0.5", "Gaussian 1"]),
        ({"a__votes": ("gaussian", 0.5), "b__votes": ("gaussian", 0.5)}, ["a", "b"]),
        ({"new__votes": ("gaussian", 0.5), "accepted": ("gaussian", 0.5)}, ["new", "accepted"]),
        ({"a__v": ("gaussian", 0.5), "b__v": ("gaussian", 0.5)}, ["a", "b"]),
        (
            {"a__1__votes": ("gaussian", 0.5), "b__1__votes": ("gaussian", 0.5)},
            ["a/1/votes.parquet", "b/1/votes.parquet"],
        ),
        (
            {"a": ("gaussian", 0.5), "b": ("gaussian", 0.5), "c": ("laplace", 1)},
            ["Gaussian 0.5 a", "Gaussian 0.5 b", "Laplace 1 c"],
        ),
    ],
)
def test_runs_are_named_by_noise_level_and_file(tmp_path, noises, names):
    paths = saved(tmp_path, **noises)
    assert list(load_named(paths)) == names
    # a name that one gets in the command leaves those of the others, or makes them shorter
    renamed = list(load_named([Path(f"mine={paths[0]}"), *paths[1:]]))
    assert renamed[0] == "mine" and len(set(renamed)) == len(paths)


def test_names_are_those_of_the_command_from_any_folder(tmp_path, monkeypatch):
    saved(tmp_path, a__votes=("gaussian", 0.5), b__votes=("gaussian", 0.5))
    (tmp_path / "best.parquet").symlink_to(tmp_path / "b/votes.parquet")
    monkeypatch.chdir(tmp_path / "a")
    assert list(load_named([Path("votes.parquet"), Path("../b/votes.parquet")])) == ["a", "b"]
    assert list(load_named([Path("votes.parquet"), Path("../best.parquet")])) == ["a", "best"]


def test_imported_runs_are_marked_under_every_name(tmp_path):
    paths = []
    for name in ("one", "two"):
        log = tmp_path / name
        log.write_text(f"idx\tlabel\tpredict\tradius\tcorrect\n{len(paths)}\t3\t3\t0.5\t1\n")
        run = read_run(log, Stated(radii.Gaussian(0.25), (3, 32, 32), 100_000, 1e-3, "l2", "feature"))
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_bytes(run.encode())
    assert list(load_named(paths)) == ["one (imported)", "two (imported)"]
    assert list(load_named(paths[:1])) == ["Gaussian (imported)"]
    assert list(load_named([Path(f"A={paths[0]}"), paths[1]])) == ["A (imported)", "Gaussian (imported)"]
