"""Architectures, the registry, and the digest that identifies weights."""

import pytest
import torch
from torch import nn

from radii.errors import InputError, UnknownName
from radii.models import MODELS, Denoised, Normalize, WideResNet, digest, make_model


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("small-cnn", (1, 28, 28), 10),
        ("small-cnn", (1, 8, 8), 3),
        ("small-cnn", (3, 9, 13), 10),
        ("wrn-10-1", (3, 32, 32), 10),
        ("wrn-10-2", (1, 28, 28), 7),
        ("wrn-10-2-half", (3, 32, 32), 10),
        ("wrn-10-3-half", (1, 9, 7), 3),
    ],
)
def test_models_turn_images_into_logits(name, shape, classes):
    model = make_model(name, shape, classes).eval()
    assert model(torch.rand(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 12)])
def test_denoisers_turn_images_into_images_and_begin_by_changing_nothing(shape):
    model = make_model("denoiser-4-8", shape, 10).eval()
    images = torch.randn(2, *shape)
    assert torch.equal(model(images), images)
    torch.nn.init.ones_(model.layers[-1].weight)
    moved = model(images)
    assert moved.shape == images.shape and (moved - images).abs().min() > 0
    # the four outputs at a position are those of a square of four pixels, of which the first is at the corner
    torch.nn.init.zeros_(model.layers[-1].weight)
    with torch.no_grad():
        model.layers[-1].bias.copy_(torch.arange(4.0).repeat(shape[0]))
    noise = (images - model(images)) / model.scale
    torch.testing.assert_close(
        noise[0, 0, :4, :4], torch.tensor([[0.0, 1], [2, 3]]).repeat(2, 2), atol=1e-4, rtol=0
    )


def test_half_networks_work_at_half_the_resolution():
    half, whole = (make_model(name, (3, 32, 32), 10) for name in ("wrn-10-2-half", "wrn-10-2"))
    images = torch.rand(2, 3, 32, 32)
    assert half.stem(images).shape == (2, 32, 16, 16) and whole.stem(images).shape == (2, 16, 32, 32)
    assert half.groups(half.stem(images)).shape == (2, 128, 4, 4)


def test_sizes_of_published_networks():
    """Zagoruyko and Komodakis 2016, table 4 (their 2.2 M, 36.5 M)."""
    for (depth, width), millions in {(40, 2): 2.2, (16, 4): 2.7, (28, 10): 36.5}.items():
        model = WideResNet(depth, width, (3, 32, 32), 10)
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
        convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        assert len(convolutions) + 3 == depth  # as they count: with the three shortcuts


def test_listed_models_exist():
    for name in MODELS:
        make_model(name, (3, 32, 32), 10)


@pytest.mark.parametrize(
    "name",
    [
        "small-cn",
        "resnet",
        "denoiser-8",
        "wrn-40",
        "wrn-40-2-1",
        "wrn-999994-1",
        "wrn-16-9999",
        "wrn-٤٠-2",
        3,
    ],
)
def test_unknown_models(name):
    with pytest.raises(UnknownName, match="unknown model"):
        make_model(name, (3, 32, 32), 10)


@pytest.mark.parametrize("name", ["denoiser-1-8", "denoiser-4-0"])
def test_impossible_denoisers(name):
    with pytest.raises(InputError, match="depth >= 2 and width >= 1"):
        make_model(name, (3, 32, 32), 10)


@pytest.mark.parametrize("name", ["wrn-17-2", "wrn-4-2", "wrn-16-0"])
def test_impossible_wide_resnets(name):
    with pytest.raises(InputError, match="depth 6 n"):
        make_model(name, (3, 32, 32), 10)


def test_flat_inputs_are_rejected():
    with pytest.raises(InputError, match="channels, height, width"):
        make_model("small-cnn", (784,), 10)


def test_normalisation_is_per_channel_and_travels_with_the_weights():
    layer = Normalize((0.5, 0.2), (0.5, 2.0))
    image = torch.tensor([1.0, 1.2]).view(1, 2, 1, 1)
    torch.testing.assert_close(layer(image).flatten(), torch.tensor([1.0, 0.5]))
    assert set(layer.state_dict()) == {"mean", "std"}


def test_digest_sees_every_weight_and_buffer():
    model = make_model("small-cnn", (1, 8, 8), 3)
    before = digest(model)
    assert len(before) == 64
    assert digest(model.to(memory_format=torch.channels_last)) == before
    for value in model.state_dict().values():
        kept = value.clone()
        value += 1
        assert digest(model) != before
        value.copy_(kept)
        assert digest(model) == before


def test_digest_sees_names_types_and_shapes():
    class Bag(nn.Module):
        def __init__(self, **buffers):
            super().__init__()
            for name, value in buffers.items():
                self.register_buffer(name, value)

    zeros = torch.zeros(4)
    bags = [Bag(a=zeros), Bag(b=zeros), Bag(a=zeros.view(2, 2)), Bag(a=zeros.int()), Bag(a=zeros.bfloat16())]
    assert len({digest(bag) for bag in bags}) == len(bags)


def test_callables_without_weights_say_so():
    def guess(images):
        return images

    assert digest(guess).startswith("unknown:")
    assert digest(guess).endswith("guess")
    behind = Denoised(make_model("denoiser-2-4", (1, 8, 8), 3), nn.Flatten())
    assert digest(behind) == digest(nn.Flatten())
    assert digest(nn.Flatten()) == "unknown:torch.nn.modules.flatten.Flatten"
