"""Operators of programs from files: those of networks, within their memory, whatever the file says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import radii
from commands import call
from operator_fuzz import crashes
from program_factory import MODEL, changed, export, of_model
from radii.errors import InputError
from radii.models import Denoised, make_model
from radii.models.adapters.operators import (
    LARGEST,
    MOST_ELEMENTS,
    OPERATORS,
    check_arguments,
    check_operator,
    overloads,
)

CONSTANTS = "data/constants/model_constants_config.json"
WEIGHTS = "data/weights/model_weights_config.json"

# no operator leaves its memory ---------------------------------------------------------------------


@pytest.mark.parametrize("calls", [20, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_operator_leaves_its_memory(calls: int) -> None:
    assert not crashes(sorted(OPERATORS), "0", calls)


def test_the_fuzz_finds_operators_that_do() -> None:
    """Without the check of arguments; that of statistics makes batch normalisation safe."""
    names = ["_convert_indices_from_csr_to_coo", "native_batch_norm"]
    found = crashes(names, "0", 300, checked=False)
    assert [line.split(".")[1] for line in found] == names
    assert all("(seed 0, call " in line for line in found)
    assert not crashes(["native_batch_norm"], "0", 300)


def test_no_operator_takes_a_file_or_makes_memory_without_numbers() -> None:
    schemas = [one for one in torch._C._jit_get_all_schemas() if one.name.startswith("aten::")]
    files = {one.name for one in schemas if any("file" in argument.name for argument in one.arguments)}
    assert {"aten::from_file"} <= files
    bad = {name.removeprefix("aten::") for name in files} | {
        "empty",
        "new_empty",
        "empty_like",
        "empty_strided",
    }
    bad |= {"set_", "resize_", "segment_reduce", "_sparse_coo_tensor_unsafe", "sparse_coo_tensor", "_values"}
    assert not OPERATORS & bad


def test_operators_that_write_keep_sizes_and_storage() -> None:
    writing = {name for name in OPERATORS if name.endswith("_") and not name.endswith("__")}
    assert not any(word in name for name in writing for word in ("index", "scatter", "resize", "squeeze"))
    for name in (name for name in OPERATORS - writing if "batch_norm" not in name):
        for overload in overloads(name):
            schema = getattr(getattr(torch.ops.aten, name), overload)._schema
            written = [one.name for one in schema.arguments if one.alias_info and one.alias_info.is_write]
            # RReLU writes its noise, as dropout writes its mask
            assert written in ([], ["noise"]), name


# honest networks -----------------------------------------------------------------------------------


class Ways(nn.Module):
    """Layers in a row, and another way around them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        out = self.layers(images)
        out += images
        return F.relu(out, inplace=True)


class Squeeze(nn.Module):
    """Channels weighted by what is in them."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weights(images)


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8)
        self.wide, self.narrow, self.scale = nn.Linear(8, 32), nn.Linear(32, 8), nn.Parameter(torch.ones(8))

    def forward(self, images: Tensor) -> Tensor:
        out = self.norm(self.depthwise(images).permute(0, 2, 3, 1))
        return images + (self.scale * self.narrow(F.gelu(self.wide(out)))).permute(0, 3, 1, 2)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.first = nn.Conv2d(1, 16, 2, 2), nn.Parameter(torch.rand(1, 1, 16))
        self.places, self.head = nn.Embedding(17, 16), nn.Linear(16, 10)
        self.attention, self.qkv = nn.MultiheadAttention(16, 4, batch_first=True), nn.Linear(16, 48)
        self.register_buffer("order", torch.arange(17).expand(1, -1))

    def forward(self, images: Tensor) -> Tensor:
        words = self.patches(images).flatten(2).transpose(1, 2)
        words = torch.cat([self.first.expand(words.shape[0], -1, -1), words], 1) + self.places(self.order)
        words = words + self.attention(words, words, words, need_weights=False)[0]
        q, k, v = self.qkv(words).reshape(words.shape[0], 17, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mask = torch.full((17, 17), -torch.inf).triu(1)
        mixed = torch.einsum("bhij,bhjc->bhic", (q @ k.mT + mask).softmax(-1), v)
        mixed = mixed + F.scaled_dot_product_attention(q, k, v)
        return self.head(mixed.transpose(1, 2).flatten(2)[:, 0])


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv2d(1, 8, 3, 2, 1), nn.GroupNorm(2, 8)
        self.up, self.last = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        low = F.silu(self.norm(self.down(images)))
        smooth = F.interpolate(low, size=images.shape[-2:], mode="bilinear", align_corners=False)
        near = F.interpolate(low, scale_factor=2, mode="nearest")
        return (
            images
            + self.last(F.pad(torch.cat([self.up(low) + smooth, near], 1), (1, 1, 1, 1), "reflect"))[
                ..., 1:9, 1:9
            ]
        )


def head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    residual = Ways(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    return {
        "wrn": make_model("wrn-10-1", (1, 8, 8), 10),
        "denoised": Denoised(
            make_model("denoiser-3-8", (1, 8, 8), 10), make_model("small-cnn", (1, 8, 8), 10)
        ),
        "resnet": head(nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1), residual),
        "convnext": head(ConvNeXt()),
        "transformer": Transformer(),
        "unet": nn.Sequential(UNet(), make_model("small-cnn", (1, 8, 8), 10)),
        "mobilenet": head(nn.BatchNorm2d(8), nn.Hardswish(inplace=True), Squeeze(), nn.Dropout(0.1)),
        "groupnorm": head(nn.GroupNorm(2, 8), nn.Mish(), nn.InstanceNorm2d(8), nn.AvgPool2d(2), nn.ELU()),
    }


@pytest.mark.parametrize("decomposed", [False, True], ids=["exported", "decomposed"])
@pytest.mark.parametrize("name", list(networks()))
def test_networks_need_no_trust(name: str, decomposed: bool, tmp_path: Path) -> None:
    model, images = networks()[name].eval(), torch.rand(9, 1, 8, 8)
    loaded = radii.load_model(export(model, tmp_path / "model.pt2", decomposed=decomposed))
    with torch.inference_mode():
        for few in (images, images[:1]):
            torch.testing.assert_close(loaded(few), model(few), rtol=1e-4, atol=1e-5)


# hostile programs ----------------------------------------------------------------------------------


class Hostile(nn.Module):
    """A constant that the attack needs, and a place for its result among the logits."""

    def __init__(self, attack, **constants: Tensor) -> None:
        super().__init__()
        self.attack = attack
        for name, constant in constants.items():
            self.register_buffer(name, constant)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10] + self.attack(self, images)


ROWS = torch.tensor([0, 200_000, 2])
HOSTILE = {
    "writes outside": Hostile(
        lambda self, _: torch._convert_indices_from_csr_to_coo(self.rows, self.columns).sum(),
        rows=ROWS,
        columns=torch.zeros(48, dtype=torch.int64),
    ),
    "reads outside": Hostile(
        lambda self, _: torch.segment_reduce(self.table, "sum", offsets=self.offsets, unsafe=True),
        table=torch.rand(10, 10),
        offsets=torch.tensor([5000, 5010]),
    ),
}
RUN = "import sys, torch, radii; radii.load_model(sys.argv[1], trust=True)(torch.rand(4, 1, 8, 8))"


@pytest.mark.parametrize("attack", list(HOSTILE))
def test_programs_that_leave_their_memory_are_rejected(attack: str, tmp_path: Path) -> None:
    path = export(HOSTILE[attack], tmp_path / "evil.pt2")
    with pytest.raises(InputError, match=r"evil\.pt2 calls .*, which is not among .*--trust-model"):
        radii.load_model(path)
    ended = call("vote", path, "--data", "digits", "--noise", "gaussian", "--limit", "2", "--n", "20")
    assert ended.status == 2 and "--trust-model" in " ".join(ended.err.split())


def test_a_trusted_program_runs_as_it_is(tmp_path: Path) -> None:
    path = export(HOSTILE["writes outside"], tmp_path / "evil.pt2")
    assert subprocess.run([sys.executable, "-c", RUN, path], stderr=subprocess.DEVNULL).returncode < 0


def test_trust_lets_other_operators_vote(tmp_path: Path) -> None:
    counted = Hostile(
        lambda self, images: torch.bincount(self.numbers, minlength=10), numbers=torch.tensor([3, 3])
    )
    path, out = export(counted, tmp_path / "model.pt2"), str(tmp_path / "votes.parquet")
    line = (
        "vote",
        path,
        "--data",
        "digits",
        "--noise",
        "gaussian",
        "--limit",
        "2",
        "--n",
        "20",
        "--out",
        out,
    )
    assert call(*line).status == 2
    assert call(*line, "--trust-model").status == 0
    votes = radii.load_votes(out)
    assert votes.counts[:, 3].all() and len(votes.model) == 64


@pytest.mark.parametrize(
    "spec", ["model.onnx", "given_models:plain", "http://localhost/model", nn.Flatten()], ids=str
)
def test_trust_is_for_programs_alone(spec) -> None:
    with pytest.raises(InputError, match=r"only FILE\.pt2 needs trust"):
        radii.load_model(spec, trust=True)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (lambda self, images: torch.zeros(2**20, 2**20).sum(), r"makes a tensor of 1\.1e\+12 elements"),
        (lambda self, images: torch.zeros(1).expand(2**40).sum(), "with the number 1099511627776"),
        (lambda self, images: (self.a[:, None] + self.a).sum(), r"makes a tensor of 1\.0e\+10 elements"),
        (
            lambda self, images: torch.zeros(images.shape[0] * 2**30).sum(),
            "with the number 4294967296",
        ),
        (lambda self, images: F.pad(images, (2**30, 0)).sum(), "makes a tensor of"),
        (lambda self, images: F.interpolate(images, size=(2**15, 2**15)).sum(), "makes a tensor of"),
        (lambda self, images: torch.zeros(2**21).split(2**20)[0].sum(), "splits a dimension of 2097152"),
        (lambda self, images: torch.ones(3).to_sparse().to_dense().sum(), "not among the operators"),
    ],
)
def test_programs_that_ask_for_too_much_are_rejected(attack, words: str, tmp_path: Path) -> None:
    path = export(Hostile(attack, a=torch.zeros(10**5)), tmp_path / "evil.pt2")
    with pytest.raises(InputError, match=rf"evil\.pt2 .*{words}"):
        radii.load_model(path)(torch.zeros(4, 1, 8, 8))


def test_the_limit_grows_with_the_batch(tmp_path: Path) -> None:
    wide = Hostile(lambda self, images: F.interpolate(images, size=(2**13, 2**13))[:, 0, 0, :10])
    model = radii.load_model(export(wide, tmp_path / "wide.pt2"))
    assert MOST_ELEMENTS == 2**26 and model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


KINDS = {int: "as_int", list: "as_ints", bool: "as_bool", dict: "as_device"}


def node(file: str, target: str, **arguments: object) -> bytes:
    """The file of `images + 1` with another operator and other arguments."""

    def change(document) -> None:
        (one,) = (one for one in document["graph_module"]["graph"]["nodes"] if "aten.add." in one["target"])
        one["target"] = f"torch.ops.aten.{target}"
        one["inputs"] = one["inputs"][:1] + [
            {"name": name, "arg": {KINDS[type(value)]: value}, "kind": 2} for name, value in arguments.items()
        ]

    return changed(file, **{MODEL: of_model(change)})


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("softmax.int", {"dim": 1, "dtype": -1}, "with a number as dtype"),
        ("zeros_like.default", {"layout": 2}, "with a number as layout"),
        ("roll.default", {"shifts": [LARGEST + 1]}, "with the number 2147483648"),
        ("zeros_like.default", {"device": {"type": "meta", "index": None}}, "not dense and in memory"),
        ("as_strided.default", {"size": [9], "stride": [9]}, "not among the operators"),
        ("add.out", {"other": 1}, "not among the operators"),
        ("add.none", {"other": 1}, "not among the operators"),
        ("select.int", {"dim": 9, "index": 0}, "fails on images of shape"),
        ("select.int", {"nonsense": 9}, "is damaged"),
    ],
)  # fmt: skip
def test_arguments_that_torch_does_not_check_are_rejected(
    target: str, arguments, words: str, tmp_path: Path
) -> None:
    class Shifted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images + 1).flatten(1)

    content = node(export(Shifted(), tmp_path / "model.pt2"), target, **arguments)
    (tmp_path / "evil.pt2").write_bytes(content)
    with pytest.raises(InputError, match=words):
        radii.load_model(tmp_path / "evil.pt2")(torch.zeros(4, 1, 8, 8))


@pytest.mark.parametrize(
    "name", ["_operator.mul", "_operator.getitem", "torch.sym_max", "torch.ops.aten.relu.default"]
)
def test_functions_of_sizes_may_be_called(name: str) -> None:
    check_operator(name)


# numbers in the archive ----------------------------------------------------------------------------


def entries(edit):
    """An edit of the sizes of all weights or constants."""

    def change(document) -> None:
        for entry in document["config"].values():
            edit(entry["tensor_meta"])

    return of_model(change)


@pytest.mark.parametrize("config", [CONSTANTS, WEIGHTS], ids=["constants", "weights"])
def test_tensors_of_the_archive_stay_within_their_bytes(config: str, tmp_path: Path) -> None:
    """Sizes, strides and offsets are drawn at random; what is accepted lies within the numbers of its file."""

    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.arange(12.0).view(3, 4))
            self.constant = torch.arange(12.0).view(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :10] + self.weight.sum() + self.constant.sum()

    file = export(Weighted(), tmp_path / "model.pt2")
    rng, accepted, rejected = np.random.default_rng(0), 0, 0
    numbers = [0, 1, 1, 2, 3, 4, 11, 12, 13, 48, -1, 2**26, 2**31, 2**40, 2**61, 2**62, 2**63 - 1, -(2**63)]

    def hostile(meta) -> None:
        length = int(rng.integers(4))
        meta["sizes"], meta["strides"] = (
            [{"as_int": int(rng.choice(numbers[: int(rng.choice([5, 12, 18]))]))} for _ in range(length)]
            for _ in range(2)
        )
        meta["storage_offset"] = {"as_int": int(rng.choice(numbers[:5] if rng.random() < 0.7 else numbers))}

    for _ in range(150):
        (tmp_path / "evil.pt2").write_bytes(changed(file, **{config: entries(hostile)}))
        try:
            logits = radii.load_model(tmp_path / "evil.pt2")(torch.zeros(2, 1, 8, 8))
        except InputError:
            rejected += 1
        else:
            # sums of the numbers 0 to 11, or the mark of an impossible shape
            assert bool(logits.isfinite().all()) and bool((logits == logits.round()).all())
            accepted += 1
    assert accepted > 10 and rejected > 50


def test_a_file_without_bytes_holds_no_tensor(tmp_path: Path) -> None:
    """torch would make zeros of any size."""
    file = export(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), tmp_path / "model.pt2")
    huge = entries(lambda meta: meta.update(sizes=[{"as_int": 2**40}], strides=[{"as_int": 1}]))
    content = changed(file, **{WEIGHTS: huge, "data/weights/weight_0": b"", "data/weights/weight_1": b""})
    (tmp_path / "evil.pt2").write_bytes(content)
    with pytest.raises(InputError, match="does not fit into its 0 bytes"):
        radii.load_model(tmp_path / "evil.pt2")


def test_attention_needs_a_key_for_each_value() -> None:
    """With fewer keys than values, torch reads behind the keys: found by 2000 calls of the fuzz."""
    attention = torch.ops.aten.scaled_dot_product_attention.default
    query, key, value = torch.rand(2, 2, 5, 8), torch.rand(2, 2, 1, 8), torch.rand(2, 2, 5, 8)
    check_arguments(attention, (query, value, value), {})
    with pytest.raises(InputError, match="for values"):
        check_arguments(attention, (query, key, value), {})
