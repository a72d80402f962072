"""Models of the same weights and other answers: they share no run, whichever process has them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from job_factory import PLANS, OtherInWorkers, job, load, load_gelu
from radii.engine import Job, LocalExecutor, Parts, Shard, Workers, gather, run
from radii.engine.parts import FORMAT, MANIFEST, RunManifest
from radii.errors import InputError, RadiiWarning
from radii.models import digest
from radii.storage.folders import LocalFolder

BLOCK = 1300


def relu() -> LocalExecutor:
    return LocalExecutor(job())


def gelu() -> LocalExecutor:
    return LocalExecutor(Job(load_gelu, PLANS["fixed"], 3))


def parts_in(path: Path) -> Parts:
    return Parts(LocalFolder(path))


def edit(path: Path, factor: float) -> None:
    """Multiply the canary of a manifest."""
    manifest = json.loads(path.read_bytes())
    canary = manifest["votes"]["canary"]
    manifest["votes"]["canary"] = [[factor * number for number in row] for row in canary]
    del manifest["format"], manifest["digest"]
    manifest = json.loads(RunManifest(**manifest).encode())
    path.write_text(json.dumps(manifest, sort_keys=True) + "\n")


def test_a_run_is_not_resumed_by_another_model_of_the_same_weights(tmp_path: Path) -> None:
    assert digest(load()[0].model) == digest(load_gelu()[0].model)
    run(relu(), parts_in(tmp_path), shard=Shard(1, 2), block=BLOCK)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        InputError, match=r"is of another run, with other answers .* of the same weights or name"
    ):
        run(gelu(), parts_in(tmp_path), block=BLOCK)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_parts_of_two_models_of_the_same_weights_are_not_merged(tmp_path: Path) -> None:
    for name, executor in (("relu", relu()), ("gelu", gelu())):
        run(executor, parts_in(tmp_path / name), shard=Shard(1 + (name == "gelu"), 2), block=BLOCK)
    with pytest.raises(InputError, match=r"gelu is of another run than .*relu, with other answers"):
        gather([tmp_path / "relu", tmp_path / "gelu"])
    part = next((tmp_path / "gelu").glob("part-*"))
    (tmp_path / "relu" / part.name).write_bytes(part.read_bytes())
    with pytest.raises(InputError, match=f"{part.name} does not belong to this run, it has other answers"):
        run(relu(), parts_in(tmp_path / "relu"), block=BLOCK)


def test_no_part_of_a_worker_with_another_model_is_stored(tmp_path: Path) -> None:
    jobs = Job(OtherInWorkers(), PLANS["fixed"], 3, threads=1)
    with pytest.raises(InputError, match=r"another process that samples for .* has other answers"):
        run(Workers(lambda _: jobs, 1), parts_in(tmp_path), block=BLOCK)
    assert not list(tmp_path.glob("part-*"))


def test_a_canary_that_was_rounded_otherwise_is_of_the_same_run(tmp_path: Path) -> None:
    class Other(LocalExecutor):
        """While it samples, another process of the run writes its manifest."""

        def sample(self, units, report):
            for unit, content in super().sample(units, report):
                edit(tmp_path / MANIFEST, 1.0001)
                yield unit, content

    run(Other(job()), parts_in(tmp_path), shard=Shard(1, 2), block=BLOCK)
    with pytest.warns(RadiiWarning, match="3 of 6 parts were sampled before"):
        votes = run(relu(), parts_in(tmp_path), block=BLOCK)
    assert votes is not None and votes.encode() == run(relu(), parts_in(tmp_path / "whole")).encode()
    edit(tmp_path / MANIFEST, 1.1)
    with pytest.raises(InputError, match="with other answers"):
        run(relu(), parts_in(tmp_path), block=BLOCK)


def test_a_run_of_an_older_version_is_read_and_not_resumed(tmp_path: Path) -> None:
    votes = run(relu(), parts_in(tmp_path), block=BLOCK)
    manifest = json.loads((tmp_path / MANIFEST).read_bytes())
    del manifest["votes"]["canary"], manifest["digest"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": FORMAT - 1}))
    assert gather([tmp_path]).encode() == votes.encode()
    with pytest.raises(InputError, match="was started by an older version of radii"):
        run(relu(), parts_in(tmp_path), block=BLOCK)


@pytest.mark.parametrize("canary", [[[1.0]], [[1.0] * 9] * 4, "none"])
def test_a_manifest_with_an_impossible_canary(canary: object, tmp_path: Path) -> None:
    manifest = replace(relu().manifest(), block=BLOCK)
    content = replace(manifest, votes=manifest.votes | {"canary": canary}).encode()
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=r"law\.json describes an impossible run: .*canary"):
        parts_in(tmp_path).stored()
