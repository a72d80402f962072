"""What docs/others.md shows is run, on files that are made here as the other codes make them."""

import re
import shlex

import numpy as np
import pytest
from scipy.io import savemat

import pages
import radii
from commands import fine
from vote_factory import make_votes

PAGE = pages.read("docs/others.md")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
LOG = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1]
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the commands of the page print, in a folder with the files that they read."""
    folder = tmp_path_factory.mktemp("others")
    votes = make_votes("gaussian", 0.25, images=30, n=100_000)
    # as on the page: the labels of its images are those of the votes
    votes.labels.flags.writeable = True
    votes.labels[:2] = 3, 8
    votes.save(folder / "votes.parquet")
    (folder / "cohen").mkdir()
    (folder / "cohen/sigma_0.25").write_text(LOG)
    rs4a = folder / "rs4a/cifar_laplace_0.5"
    rs4a.mkdir(parents=True)
    laplace = radii.certify(make_votes(images=30, n=100_000), "l1", labels="predicted", method="binary")
    np.save(rs4a / "preds.npy", np.eye(10)[laplace.label])
    np.save(rs4a / "prob_lb.npy", laplace.lower.astype(np.float32).astype(float))
    np.save(rs4a / "labels.npy", laplace.true_label.astype(float))
    (folder / "macer").mkdir()
    savemat(folder / "macer/440.mat", {"hard": np.array([0.5, -1.0]), "soft": np.array([0.6, -1.0])})
    (folder / "labels.txt").write_text("3\n8\n")
    rows = np.column_stack([votes.labels, votes.counts]).tolist()
    lines = [["label", *votes.classes], *rows]
    (folder / "counts.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = {line: fine(*shlex.split(line)[1:]) for line in COMMANDS}
        for snippet in SNIPPETS:
            exec(snippet, {})
    return folder, said


def test_every_command_of_the_page_succeeds(printed):
    folder, said = printed
    assert len(said) == 9
    first = said[COMMANDS[0]]
    assert "The log rounds radii to 3 digits: each was lowered by half a unit of its last digit" in first
    assert "Certificates of 2 images: cohen/sigma_0.25.json" in first
    assert "Cohen (imported)" in said[COMMANDS[1]]
    assert "2 common images" in said[COMMANDS[3]]
    assert "Certificates of 2 images: macer/440.mat.json" in said[COMMANDS[4]]
    assert "Laplace (imported)" in said[COMMANDS[6]]
    assert (folder / "counts.parquet").is_file()


def test_the_page_names_its_rounding(printed):
    folder, _ = printed
    log = radii.import_log(
        folder / "cohen/sigma_0.25", noise=radii.Gaussian(0.25), shape=(3, 32, 32), n=100_000
    )
    low = float(re.search(r"0\.502\nbecomes ([\d.]+)\.", PAGE)[1])
    assert log.radius.tolist() == [low, 0]


def test_the_report_marks_the_imported_run(printed):
    folder, _ = printed
    page = (folder / "report/index.html").read_text()
    assert "Cohen (imported)" in page
    assert "Of imported runs, it holds if their logs are what they were stated to be." in page
    assert "Not checked here: what its log cannot show is listed with the certificates." in page
    assert "plain accuracy counts these as wrong (1)" in page
