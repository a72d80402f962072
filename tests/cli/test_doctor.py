"""The doctor sees what is there, and finds what is wrong."""

import json
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest

from commands import call
from radii.certificates.radius import certified_radius
from radii.cli import doctor, selfcheck
from radii.cli.doctor import Package, packages
from radii.storage.atomic import is_writable


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Caches of the test alone, and one look at the speed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RADII_CACHE_DIR", "cache")
    monkeypatch.setattr("radii.sampling.autotune.SECONDS", 0.0)
    monkeypatch.setattr("radii.cli.doctor.MODEL", "small-cnn")


# what is installed ----------------------------------------------------------------------------------


def test_every_package_that_the_project_names_is_listed():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = {("", line) for line in project["dependencies"]}
    for extra, lines in project["optional-dependencies"].items():
        named |= {(extra, line) for line in lines if extra not in ("dev", "docs", "browser")}
    found = packages()
    assert (found[0].name, f">={found[0].least}") == ("python", project["requires-python"])
    assert {(one.extra, f"{one.name}>={one.least}") for one in found[1:]} == named
    assert all(one.fits for one in found)
    assert next(one.version for one in found if one.name == "numpy") == np.__version__


@pytest.mark.parametrize(
    "least,version,fits",
    [
        ("2.11", "2.9.1", False),
        ("2.11", "2.13.0rc1+cpu", True),
        ("2.13.0", "2.13.0+cpu", True),
        ("2.13.1", "2.13.0+cpu", False),
        ("1.0", "1.0rc1", True),
        ("3", "3.0", True),
        ("", "1", True),
        ("1", "", False),
        ("1", "x", False),
    ],
)
def test_versions_are_compared_by_their_numbers(least, version, fits):
    assert Package("x", least, "", version).fits is fits


def test_packages_that_are_absent_or_too_old(monkeypatch):
    installed = {"numpy": "1.20.3", "torch": "", "onnxruntime": "", "pandas": "1.5"}
    real = doctor._installed
    monkeypatch.setattr(doctor, "_devices", lambda: ([], "No module named 'torch'"))
    monkeypatch.setattr(doctor, "_installed", lambda name: installed.get(name, real(name)))
    ended = call("doctor")
    assert ended.status == 1
    said = ended.err.removeprefix("radii: ").rstrip("\n").split("; ")
    assert said == [
        "numpy is 1.20.3, and must be at least 1.26: run pip install radii",
        "torch is not installed, and must be at least 2.11: run pip install radii",
        "pandas is 1.5, and must be at least 2.2: run pip install 'radii[report]'",
    ]
    row = next(line.split() for line in ended.out.splitlines() if "onnxruntime" in line)
    assert row == [
        "onnxruntime",
        "absent",
        "from",
        "1.20",
        "onnx",
        "pip",
        "install",
        "'radii[onnx]'",
    ]


# whether numbers are right ----------------------------------------------------------------------------


def test_stored_radii_follow_from_their_closed_forms():
    with mpmath.workdps(30):
        one = {
            "gaussian": mpmath.mpf("0.25") * mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf("0.99") - 1),
            "laplace": -mpmath.mpf("0.5") / mpmath.sqrt(2) * mpmath.log(mpmath.mpf("0.02")),
            "uniform": mpmath.sqrt(3) * mpmath.mpf("0.4"),
        }
    for name, _, _, expected in selfcheck.CLOSED:
        assert expected == pytest.approx(float(one[name.partition(":")[0]]), rel=1e-15)
    assert len(selfcheck.CLOSED) == len(one)


def test_stored_bounds_are_clopper_and_pearson():
    for votes, others, expected in selfcheck.COUNTED:
        n, p = votes + others, mpmath.mpf(expected)
        with mpmath.workdps(30):
            tail = mpmath.fsum(mpmath.binomial(n, j) * p**j * (1 - p) ** (n - j) for j in range(votes, n + 1))
        assert float(tail) == pytest.approx(1e-3, rel=1e-9)


def test_stored_noise_is_that_of_the_streams():
    """The other route: Philox by hand, as docs of numpy define it, and the lattice from its quantiles."""
    image, draw = selfcheck.POSITION
    bits = np.random.Philox(key=np.array([5, 0], dtype=np.uint64))
    state = bits.state
    state["state"]["counter"][:] = 0, 0, draw, image
    for kind, fill in {
        "normal": "standard_normal",
        "exponential": "standard_exponential",
        "uniform": "random",
        "double": "random",
    }.items():
        bits.state = state
        dtype = np.float64 if kind == "double" else np.float32
        found = getattr(np.random.Generator(bits), fill)(4, dtype=dtype)
        np.testing.assert_allclose(found, selfcheck.DRAWN[kind], rtol=1e-7 if kind != "double" else 1e-15)
    scale = 0.5 / np.sqrt(2) * 255 * 16
    for number, step in zip(selfcheck.DRAWN["double"], selfcheck.LATTICE, strict=False):
        whole, sign = divmod(int(number * 2**53), 2)
        assert (1 - 2 * sign) * round(-np.log((whole + 0.5) / 2**52) * scale) == step


def test_all_is_right_here():
    assert {what: check() for what, check in selfcheck.CHECKS.items()} == dict.fromkeys(selfcheck.CHECKS, "")
    assert selfcheck.wrong_network("cpu") == ""


def too_large(noise, norm, lower, **how):
    return certified_radius(noise, norm, lower, **how) * (1 + 1e-5)


WRONG = {
    "radii from probabilities": (
        "radii.cli.selfcheck.certified_radius",
        too_large,
        "the l2 radius of gaussian:sigma=0.25 at p = 0.99 is 0.5815869685, not 0.58159278",
    ),
    "bounds from counts": (
        "radii.cli.selfcheck.bounds",
        lambda counts, label, **_: (np.array([0.9932]), None),
        "1000 of 1000 votes prove a probability of 0.9931160484, not 0.9932",
    ),
    "reproducible noise": (
        "radii.noises.streams.Stream.normal",
        lambda stream, shape: stream.uniform(shape),
        "draws other normal numbers from a seed than radii expects",
    ),
    "noise on the lattice": (
        "radii.noises.lattice.PARTS",
        8,
        "noise on the lattice differs from the stored noise",
    ),
    "networks on cpu": (
        "torch.nn.functional.conv2d",
        lambda images, kernels: images.new_zeros(4, 16, 16, 16),
        "torch multiplies integers wrongly on cpu",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(monkeypatch, what):
    target, value, words = WRONG[what]
    monkeypatch.setattr(doctor, "_device", lambda *_: doctor.Device("cpu", "", 0, True, {}))
    monkeypatch.setattr(target, value)
    ended = call("doctor")
    assert ended.status == 1 and ended.err.count("\n") == 1
    assert ended.err.startswith(f"radii: the self check of {what} failed: ") and words in ended.err
    assert "No problems found" not in ended.out
    rows = [line.split() for line in ended.out.splitlines() if line.rstrip().endswith((" right", " wrong"))]
    assert [" ".join(row[:-1]) for row in rows if row[-1] == "wrong"] == [what] and len(rows) == 5


def test_a_sum_that_rounds_is_found(monkeypatch):
    draw = selfcheck.draw_levels
    monkeypatch.setattr(selfcheck, "LATTICE", ())
    monkeypatch.setattr(selfcheck, "draw_levels", lambda *how: draw(*how) + np.float32(1e-4))
    assert selfcheck.wrong_lattice() == "a byte plus noise on the lattice was rounded"


def test_radii_that_are_far_too_small_are_found_too(monkeypatch):
    monkeypatch.setattr(
        selfcheck, "certified_radius", lambda *how, **more: certified_radius(*how, **more) * (1 - 1e-5)
    )
    assert "l2 radius of gaussian" in selfcheck.wrong_radii()


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def breaks():
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(doctor, "CHECKS", {"something": breaks})
    monkeypatch.setattr(doctor, "_devices", lambda: ([], ""))
    assert doctor.examine().problems == [
        "the self check of something failed: ZeroDivisionError: of all things"
    ]


# the machine --------------------------------------------------------------------------------------


def test_all_is_well(tmp_path):
    ended = call("doctor")
    assert (ended.status, ended.err) == (0, "") and ended.out.endswith("No problems found.\n")
    assert not list(tmp_path.iterdir()), "nothing is written, not even a folder"
    for words in ("cache, writable", "cores for this process", "in float32", "in bfloat16"):
        assert words in ended.out


def test_help_says_what_it_does():
    ended = call("doctor", "--help")
    assert ended.status == 0 and "Example: radii doctor --json > doctor.json" in ended.out


def test_machines_are_told_the_same():
    ended = call("doctor", "--json")
    found = json.loads(ended.out)
    assert (ended.status, ended.err, found["problems"]) == (0, "", [])
    assert found["devices"][0]["name"] == "cpu" and set(found["devices"][0]["paces"]) == {
        "float32",
        "bfloat16",
    }
    assert min(found["devices"][0]["paces"].values()) > 0 and found["cores"] >= 1
    assert found["free_memory"] <= found["devices"][0]["memory"]
    assert [one["what"] for one in found["caches"]] == ["trials of models", "data sets"]


def test_problems_are_told_to_machines_too(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"something": lambda: "it is off"})
    monkeypatch.setattr(doctor, "_devices", lambda: ([], "libcudart.so.13: cannot open\n shared object"))
    ended = call("doctor", "--json")
    found = json.loads(ended.out)
    assert ended.status == 1 and found["problems"] == [
        "torch cannot be imported (libcudart.so.13: cannot open\n shared object): install it anew",
        "the self check of something failed: it is off",
    ]
    assert (found["devices"], found["caches"]) == ([], [])


def test_without_torch_the_rest_is_still_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    ended = call("doctor")
    assert ended.status == 1 and ended.err.startswith("radii: torch cannot be imported (")
    assert "reproducible noise" in ended.out and "images per second" not in ended.out


def test_a_device_that_fails_is_said(monkeypatch):
    def broken(*_):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr("radii.sampling.autotune.measure", broken)
    monkeypatch.setattr("torch.nn.functional.conv2d", broken)
    ended = call("doctor")
    assert ended.status == 1 and "images per second: none" in ended.out
    assert ended.err == (
        "radii: the self check of networks on cpu failed: RuntimeError: no kernel image is available\n"
    )


def test_gpus_are_listed(monkeypatch):
    import torch

    about = SimpleNamespace(name="A Fast One", total_memory=80 * 10**9)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: about)
    monkeypatch.setattr(
        doctor, "_device", lambda device, kind, memory: doctor.Device(str(device), kind, memory, True, {})
    )
    found, words = doctor._devices()
    assert [one.name for one in found] == ["cpu", "cuda:0", "cuda:1"] and words == ""
    assert (found[2].kind, found[2].memory) == ("A Fast One", 80 * 10**9)
    assert "A Fast One, 80.0 GB; bfloat16 in hardware" in call("doctor").out


def test_folders_that_take_no_files(tmp_path):
    (tmp_path / "file").write_text("")
    assert is_writable(tmp_path / "new" / "deeper") and not is_writable(tmp_path / "file" / "new")
    assert not is_writable(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_caches_that_are_kept_nowhere(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RADII_CACHE_DIR", "file")
    monkeypatch.setitem(sys.modules, "pooch", None)
    ended = call("doctor")
    assert ended.status == 0 and "file, not writable: nothing is cached" in ended.out
    assert re.search(r"cache of data sets +none", ended.out)
