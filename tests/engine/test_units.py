"""Work split into units: every draw of every image once, for any block."""

import pytest

import radii
from radii.engine.units import BLOCK, MOST_UNITS, REPEATED, default_block, split_work
from radii.errors import InputError

SEQUENTIAL = radii.Sequential((0.6,), n_max=1000)


@pytest.mark.parametrize("images", [1, 7, 60])
@pytest.mark.parametrize("n,selection", [(1, 0), (50, 5), (1000, 100), (977, 0)])
@pytest.mark.parametrize("block", [1, 60, 999, 5000, 10**6])
def test_each_draw_of_each_image_is_in_one_unit(images: int, n: int, selection: int, block: int) -> None:
    units = split_work(radii.fixed(n, selection), images, block)
    assert [unit.number for unit in units] == list(range(len(units)))
    drawn: dict[int, list[tuple[int, int]]] = {image: [] for image in range(images)}
    for unit in units:
        for image in range(images)[unit.rows]:
            drawn[image].append(unit.draws)
        assert unit.size == (unit.stop - unit.first) * (unit.draws[1] - unit.draws[0] + selection)
        one_image = unit.stop - unit.first == 1
        assert unit.size <= max(block, (REPEATED + 1) * selection, 1) or (one_image and unit.draws == (0, n))
    for spans in drawn.values():
        assert radii.votes.join_ranges(spans) == ((0, n),)
    # what every unit of an image repeats is a small part of it
    copies = sum(unit.size for unit in units)
    assert copies <= images * (n + selection) * (1 + 1 / REPEATED) + images * selection


@pytest.mark.parametrize("images,block,each", [(10, 1, 1), (10, 600, 2), (10, 10**6, 3906)])
def test_plans_that_stop_early_are_split_by_images(images: int, block: int, each: int) -> None:
    units = split_work(SEQUENTIAL, images, block)
    assert [(unit.first, unit.stop) for unit in units] == [
        (first, min(first + each, images)) for first in range(0, images, each)
    ]
    assert all(unit.draws is None and unit.size == unit.stop - unit.first for unit in units)


@pytest.mark.parametrize("plan", [radii.fixed(100_000), radii.fixed(1000), SEQUENTIAL])
@pytest.mark.parametrize("images", [1, 500, 50_000])
def test_units_are_small_but_not_too_many(plan, images: int) -> None:
    units = split_work(plan, images, default_block(plan, images))
    # two for each where a unit has room for one image and a half
    assert len(units) <= 2 * MOST_UNITS + images // 1000
    if isinstance(plan, radii.Fixed) and len(units) > 1:
        assert max(unit.size for unit in units) <= max(BLOCK, images * plan.n // MOST_UNITS * 1.01)


def test_every_shard_has_several_units() -> None:
    for plan in (radii.fixed(100, 0), SEQUENTIAL):
        assert len(split_work(plan, 60, default_block(plan, 60, shards=7))) >= 28


def test_bad_blocks() -> None:
    with pytest.raises(InputError, match="a block of work must be at least one noise sample; got 0"):
        split_work(SEQUENTIAL, 10, 0)
    with pytest.raises(InputError, match="too many units: take larger ones"):
        split_work(radii.fixed(100_000), 10_000, 100)
