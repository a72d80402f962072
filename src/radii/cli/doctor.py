"""The command that looks whether all is well here."""

import json
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.console import console, fail, say, size_text
from radii.doctor import MODEL, Findings, examine


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for machines.")] = False,
) -> None:
    """Look whether all is well here.

    Says what is installed, and which command brings the rest; what processor, GPUs and memory there are, and how many
    images a second a small network takes in float32 and in bfloat16; where caches are; and whether known radii, bounds,
    noise and sums come out right. Takes a few seconds and no network. Whatever is wrong is said in a sentence, and the
    exit status is 1.
    """
    found = examine()
    if as_json:
        say(json.dumps(found.document(), indent=1))
    else:
        for table in (packages_table(found), machine_table(found), checks_table(found)):
            console.print(table)
    if found.problems:
        fail("; ".join(found.problems), 1)
    if not as_json:
        say("All is well.")


def packages_table(found: Findings) -> Table:
    """What is installed, and what brings the rest."""
    table = Table("package", "installed", "needed", "for", "", box=SIMPLE_HEAD)
    for one in found.packages:
        needed = f"from {one.least}" if one.least else ""
        remedy = "" if one.fits else one.remedy
        table.add_row(one.name, one.version or "absent", needed, one.extra or "everything", remedy)
    return table


def machine_table(found: Findings) -> Table:
    """Devices, their speed, and caches."""
    table = Table("here", "", box=SIMPLE_HEAD)
    free = f", {size_text(found.free_memory)} of memory free" if found.free_memory else ""
    table.add_row("system", f"{found.system}; {found.cores} cores for this process{free}")
    for one in found.devices:
        memory = f", {size_text(one.memory)}" if one.memory else ""
        table.add_row(
            one.name, f"{one.kind}{memory}; bfloat16 {'in hardware' if one.bfloat16 else 'emulated'}"
        )
        paces = ", ".join(f"{pace:,.0f} in {precision}" for precision, pace in one.paces.items())
        table.add_row("", f"{MODEL}, images a second: {paces or 'none'}")
    for cache in found.caches:
        state = "writable" if cache.writable else "not writable: nothing is kept"
        table.add_row(cache.what, f"{cache.path}, {state}" if cache.path else "kept nowhere")
    return table


def checks_table(found: Findings) -> Table:
    """What comes out right."""
    table = Table("self check", "", box=SIMPLE_HEAD)
    for what, wrong in found.checks.items():
        table.add_row(what, "wrong" if wrong else "right")
    return table
