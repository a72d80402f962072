"""Names of votes files in a command line: given as NAME=votes.parquet, or found from their noise."""

import shutil
from pathlib import Path

import pytest

from radii.cli.options import load_named, split_name
from radii.errors import InputError

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
