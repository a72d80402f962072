"""Images written down in every form that radii reads, by other means than radii has."""

import gzip
import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from radii.data.loading import LOADERS

Half = tuple[np.ndarray, np.ndarray]
"""Images, uint8 `(n, height, width)` or `(n, height, width, 3)`, and labels `(n,)`."""
HALVES = {"": "", "train": "train", "test": "t10k"}


def png(image: np.ndarray, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, kind, lossless=True)
    return content.getvalue()


# of an upright image the one that a camera stores, by its EXIF orientation
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}


def taken(image: np.ndarray, orientation: int, kind: str = "PNG") -> bytes:
    """A picture whose camera was held in some way, and says so in its EXIF."""
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](image))
    Image.fromarray(stored).save(content, kind, exif=exif, lossless=True)
    return content.getvalue()


def write_folder(path: Path, halves: dict[str, Half]) -> Path:
    """`train/3/00012.png`, or `3/00012.png` for the half without a name."""
    for split, (images, labels) in halves.items():
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = path / split / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:05}.png").write_bytes(png(image))
    return path


def write_npz(path: Path, halves: dict[str, Half]) -> Path:
    named = {"": ("images", "labels"), "train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
    arrays = {named[split][which]: half[which] for split, half in halves.items() for which in (0, 1)}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def write_npy(path: Path, halves: dict[str, Half]) -> Path:
    images, labels = halves[""]
    np.save(path.with_suffix(".npy"), images)
    np.save(path.with_name(f"{path.stem}_labels.npy"), labels)
    return path.with_suffix(".npy")


def write_parquet(path: Path, halves: dict[str, Half]) -> Path:
    """Plain bytes in one file; in two files of a folder, each half cut in two, the pairs of Hugging Face."""
    if "" in halves:
        images, labels = halves[""]
        columns = {"image": [png(image) for image in images], "label": labels}
        pq.write_table(pa.table(columns), path.with_suffix(".parquet"))
        return path.with_suffix(".parquet")
    path.mkdir()
    for split, (images, labels) in halves.items():
        for number, rows in enumerate(np.array_split(np.arange(len(labels)), 2)):
            pairs = [{"bytes": png(images[row]), "path": f"{row}.png"} for row in rows]
            table = pa.table({"image": pairs, "label": labels[rows]})
            pq.write_table(table, path / f"{split}-0000{number}-of-00002.parquet")
    return path


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def write_idx(path: Path, halves: dict[str, Half]) -> Path:
    """The training half packed, the other not, with the dots that some copies have."""
    path.mkdir()
    for split, (images, labels) in halves.items():
        for what, array in (("images", images), ("labels", labels)):
            if split == "train":
                name = f"train-{what}-idx{array.ndim}-ubyte.gz"
                (path / name).write_bytes(gzip.compress(idx(array)))
            else:
                (path / f"t10k-{what}.idx{array.ndim}-ubyte").write_bytes(idx(array))
    return path


WHOLE = {"folder": write_folder, "npz": write_npz, "npy": write_npy, "parquet": write_parquet}
"""Forms that can go without splits."""
SPLIT = {"folder": write_folder, "npz": write_npz, "parquet": write_parquet, "idx": write_idx}
"""Forms that can tell splits apart."""


def empty_png(height: int, width: int) -> bytes:
    """A file of a hundred bytes that says it is a grey image of this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 50)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def write_records(tmp_path, monkeypatch, name, layout):
    """A folder in the layout, with ten records a file, of the first ten classes; the loader that expects so many."""
    files = {split: dict.fromkeys(names, 10) for split, names in layout.files.items()}
    monkeypatch.setitem(LOADERS, name, replace(layout, files=files).load)
    folder = tmp_path / layout.folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for file in (*files["train"], *files["test"]):
        records = rng.integers(0, 256, (10, layout.label_bytes + 3072), dtype=np.uint8)
        records[:, layout.label_bytes - 1] = np.arange(10)
        (folder / file).write_bytes(records.tobytes())
    (folder / layout.names).write_text("\n".join(f"class{label}" for label in range(layout.classes)) + "\n\n")
    return folder
