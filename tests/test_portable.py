"""Certificates do not depend on the processor: the same numbers under the libraries' own switches.

The switches make numpy, torch and the C library take the paths that they take on older processors, or on fewer threads.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy._core import _multiarray_umath as numpy_build

HERE = Path(__file__).parent
CLOSE = 1e-12

NEWER = [name for name in numpy_build.__cpu_dispatch__ if numpy_build.__cpu_features__[name]]
"""What this processor has beyond numpy's baseline, from old to new."""

AVX2 = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in NEWER if name != "X86_V3"),
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OMP_NUM_THREADS": "2",
}
BASELINE = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(NEWER),
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-FMA",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "2",
}
SETTINGS = {
    "as it is": {"OMP_NUM_THREADS": "2"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "avx2": AVX2,
    "baseline": BASELINE,
    "baseline, one thread": BASELINE | {"OMP_NUM_THREADS": "1"},
}

pytestmark = pytest.mark.portable


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """What another machine printed."""
    document: dict[str, Any] = json.loads((HERE / "portable.json").read_text())
    return document


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_numbers_are_those_of_any_other_processor(setting: str, expected: dict[str, Any]) -> None:
    line = [sys.executable, str(HERE / "portable.py")]
    ended = subprocess.run(line, env=os.environ | SETTINGS[setting], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    wrong = [where for where, one, other in pairs(found["same"], expected["same"]) if one != other]
    assert not wrong, f"other decisions: {wrong[:10]}"
    far = [where for where, one, other in pairs(found["near"], expected["near"]) if abs(one - other) > CLOSE]
    assert not far, f"radii or bounds differ by more than {CLOSE:g}: {far[:10]}"


def pairs(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The numbers and texts of two documents of one form, side by side."""
    if isinstance(one, dict | list):
        assert type(one) is type(other) and len(one) == len(other), f"{where} has another form"
        for key in one if isinstance(one, dict) else range(len(one)):
            yield from pairs(one[key], other[key], f"{where}/{key}")
    else:
        yield where, one, other
