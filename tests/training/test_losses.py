"""Training methods: each against a slow formula, for every noise, and each of them learns."""

import math
from types import SimpleNamespace

import pytest
import torch
from scipy import stats

from radii.data import load_data
from radii.errors import InputError
from radii.models import make_model
from radii.models.devices import TensorSource, limit_threads
from radii.noises import NOISES, ProductNoise, example_name, make_noise
from radii.training import train
from radii.training.loop import Loop
from radii.training.losses import LOSSES, QUANTILES, NoiseSampler, attack, check_options, options_of
from radii.training.recipe import Recipe

INDEPENDENT = [example_name(kind) for kind in NOISES.values() if issubclass(kind, ProductNoise)]
TRAINED = [
    (loss, noise)
    for loss in LOSSES
    for noise in INDEPENDENT
    if loss != "denoising" and (loss != "macer" or noise in QUANTILES)
]

CPU = torch.device("cpu")
LAWS = {
    "gaussian": stats.norm,
    "laplace": stats.laplace,
    "uniform": stats.uniform(-1, 2),
}
SETTINGS = {
    "noise-augmentation": {"m": 3, "smoothing": 0.1},
    "stability": {"weight": 2.0, "smoothing": 0.1},
    "consistency": {"m": 3, "weight": 4.0, "entropy": 0.5},
    "smoothadv": {"m": 2, "epsilon": 0.4, "steps": 3},
    "macer": {"m": 4, "weight": 3.0, "margin": 2.0},
    "ordinary": {"smoothing": 0.1},
    "denoising": {"fidelity": 3.0, "weight": 0.7},
}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    weights = torch.randn(6, 4, dtype=torch.float64) * 3
    images, labels = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 1])
    return (lambda inputs: torch.tanh(inputs.flatten(1).double() @ weights) * 2), images, labels


def drawing(noise, seed=3):
    return NoiseSampler(make_noise(noise, 0.5), TensorSource(seed, CPU))


def predictions(model, images, noise):
    """Soft predictions as lists: of each copy, of each image, of each class."""
    return [[model((image + one)[None]).softmax(1)[0] for image, one in zip(images, part, strict=True)]
            for part in noise]  # fmt: skip


def mean_of(parts, image):
    return sum(part[image] for part in parts) / len(parts)


def smoothed_cross_entropy(prediction, label, smoothing):
    classes = len(prediction)
    target = [smoothing / classes + (1 - smoothing) * (c == label) for c in range(classes)]
    return -sum(t * math.log(p) for t, p in zip(target, prediction.tolist(), strict=True))


def augmented(model, images, labels, noise, smoothing=0.0):
    parts = predictions(model, images, noise)
    terms = [
        smoothed_cross_entropy(part[i], labels[i], smoothing) for part in parts for i in range(len(labels))
    ]
    return sum(terms) / len(terms)


def slow_noise_augmentation(model, images, labels, noise, law, *, m, smoothing):
    return augmented(model, images, labels, noise, smoothing)


def slow_stability(model, images, labels, noise, law, *, weight, smoothing):
    clean = predictions(model, images, torch.zeros_like(noise))[0]
    moved = predictions(model, images, noise)[0]
    first = sum(smoothed_cross_entropy(p, y, smoothing) for p, y in zip(clean, labels, strict=True))
    drift = -sum(float((p * q.log()).sum()) for p, q in zip(clean, moved, strict=True))
    return (first + weight * drift) / len(labels)


def slow_consistency(model, images, labels, noise, law, *, m, weight, entropy):
    parts = predictions(model, images, noise)
    total = 0.0
    for image in range(len(labels)):
        mean = mean_of(parts, image)
        divergence = sum(float((mean * (mean / part[image]).log()).sum()) for part in parts) / m
        total += weight * divergence - entropy * float((mean * mean.log()).sum())
    return augmented(model, images, labels, noise) + total / len(labels)


def slow_smoothadv(model, images, labels, noise, law, *, m, epsilon, steps):
    moved = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        move = torch.zeros_like(image)
        for _ in range(steps):
            move.requires_grad_()
            mean = sum(model((image + move + part[i])[None]).softmax(1)[0, label] for part in noise) / m
            (slope,) = torch.autograd.grad(-mean.log(), move)
            move = move.detach() + 2 * epsilon / steps * slope / slope.norm()
            move = move * min(1.0, epsilon / float(move.norm()))
            move = (image + move).clamp(0, 1) - image
        moved.append(image + move)
    return augmented(model, torch.stack(moved), labels, noise)


def slow_macer(model, images, labels, noise, law, *, m, weight, margin):
    parts, hot = predictions(model, images, noise), predictions(lambda x: 16 * model(x), images, noise)
    total = 0.0
    for image, label in enumerate(labels):
        total -= math.log(mean_of(parts, image)[label])
        values, classes = mean_of(hot, image).sort(descending=True)
        gap = float(LAWS[law.name].ppf(values[0].item()) - LAWS[law.name].ppf(values[1].item()))
        if classes[0] == label and math.isfinite(gap):
            total += weight * law.scale / 2 * max(0.0, margin - gap)
    return total / len(labels)


def slow_ordinary(model, images, labels, noise, law, *, smoothing):
    return augmented(model, images, labels, torch.zeros_like(noise), smoothing)


SLOW = {
    "noise-augmentation": slow_noise_augmentation,
    "stability": slow_stability,
    "consistency": slow_consistency,
    "smoothadv": slow_smoothadv,
    "macer": slow_macer,
    "ordinary": slow_ordinary,
}


@pytest.mark.parametrize("loss,noise", TRAINED)
def test_loss_is_its_formula(batch, loss, noise):
    model, images, labels = batch
    options = SETTINGS[loss]
    value, logits = LOSSES[loss](model, images, labels, drawing(noise), **options)
    m = options.get("m", 1)
    law = make_noise(noise, 0.5)
    drawn = law.draw(TensorSource(3, CPU), (m * 5, 1, 2, 3)).unflatten(0, (m, 5))
    expected = SLOW[loss](model, images, labels, drawn, law, **options)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert logits.shape == (5, 4)


@pytest.mark.parametrize("noise", ["gaussian", "uniform"])
def test_denoising_is_its_formula(batch, noise):
    model, images, labels = batch
    parts = SimpleNamespace(denoiser=lambda inputs: inputs * 0.8 + 0.1, classifier=model)
    # labels are not looked at
    value, logits = LOSSES["denoising"](
        parts, images, labels.flip(0), drawing(noise), **SETTINGS["denoising"]
    )
    drawn = make_noise(noise, 0.5).draw(TensorSource(3, CPU), (5, 1, 2, 3))
    left = drift = 0.0
    for image, one in zip(images, drawn, strict=True):
        restored = (image + one) * 0.8 + 0.1
        left += float((restored - image).square().mean()) / 5
        drift -= float(model(restored[None]).log_softmax(1)[0, model(image[None]).argmax()])
    assert float(value) == pytest.approx(3.0 * left + 0.7 * drift / 5, rel=1e-5)
    assert logits.shape == (5, 4)


@pytest.mark.parametrize("noise", QUANTILES)
def test_quantiles(noise):
    p = torch.tensor([0.01, 0.3, 0.5, 0.9, 0.999], dtype=torch.float64)
    assert torch.allclose(QUANTILES[noise](p), torch.tensor(LAWS[noise].ppf(p.numpy())), atol=1e-9)


def test_attack_stays_in_the_ball_and_hurts(batch):
    model, images, labels = batch
    noise = drawing("gaussian")(torch.zeros(40, 1, 2, 3)).double()

    def objective(at):
        logits = model(at.repeat(8, 1, 1, 1) + noise).unflatten(0, (8, 5))
        return -logits.softmax(2).mean(0).gather(1, labels[:, None]).log().mean()

    moved = attack(model, images, labels, noise, (8, 5, 0.3))
    assert (moved - images).flatten(1).norm(dim=1).max() <= 0.3 + 1e-9
    assert moved.min() >= 0 and moved.max() <= 1
    assert objective(moved) > objective(images) + 0.1


def test_attack_leaves_statistics_alone():
    model = make_model("small-cnn", (1, 8, 8), 10).train()
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6)
    LOSSES["smoothadv"](model, images, labels, drawing("uniform"), steps=4)
    assert model.training and model.features[1].num_batches_tracked == 1
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("noise", QUANTILES)
def test_macer_has_finite_slopes_where_predictions_are_sure(noise):
    logits = torch.tensor([[60.0, 0, 0], [0, 60, 0], [2, 1.99, 0]], requires_grad=True)
    value, _ = LOSSES["macer"](
        lambda inputs: logits.repeat(4, 1),
        torch.zeros(3, 1, 1, 1),
        torch.tensor([0, 1, 0]),
        drawing(noise),
        m=4,
    )
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(logits.grad).all() and logits.grad[2].abs().max() > 0


@pytest.mark.parametrize("loss,noise", TRAINED)
def test_each_method_learns_digits(loss, noise):
    options = {"m": 4} if loss == "macer" else {}
    recipe = Recipe("digits", "small-cnn", noise, 0.25, loss, epochs=5, batch=50, options=options)
    loop = Loop(recipe, load_data("digits", "train").first(600), CPU)
    with limit_threads(loop.model):
        for _ in range(recipe.epochs):
            loop.epoch(lambda images: None)
        model, test = loop.finish(), load_data("digits", "test")
    images = torch.from_numpy(test.images())
    with torch.no_grad():
        guess = model(images + drawing(noise)(torch.zeros_like(images)) / 2).argmax(1)
    assert (guess.numpy() == test.labels).mean() > 0.3  # chance gives 0.1


# options ------------------------------------------------------------------------------------------


def test_options_have_usual_values():
    assert options_of("consistency") == {"m": 2, "weight": 10.0, "entropy": 0.5}
    assert set(SETTINGS) == set(LOSSES) == {*SLOW, "denoising"}
    for loss, settings in SETTINGS.items():
        assert set(settings) == set(options_of(loss))
        check_options(loss, settings)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("consistency", {"wieght": 1}, r"unknown option of consistency 'wieght'; did you mean 'weight'\?"),
        (
            "noise-augmentation",
            {"m": 0},
            "m of noise-augmentation must be a whole number of at least 1; got 0",
        ),
        ("macer", {"m": 2.5}, "must be a whole number"),
        ("smoothadv", {"epsilon": -1}, "epsilon of smoothadv must be a number of at least 0; got -1"),
        ("smoothadv", {"epsilon": float("nan")}, "must be a number"),
        ("smoothadv", {"steps": True}, "must be a whole number"),
        ("stability", {"smoothing": 1}, "smoothing of stability must be below 1"),
        ("stability", [1], "options of a loss are names with values"),
    ],
)
def test_wrong_options(loss, options, message):
    with pytest.raises(InputError, match=message):
        Recipe("digits", "small-cnn", loss=loss, options=options)


@pytest.mark.parametrize(
    ("loss", "noise", "message"),
    [
        ("macer", "splitting", "unknown noise with a quantile for macer 'splitting'"),
        ("smoothadv", "splitting", "smoothadv needs noise that is added to images, which splitting is not"),
        (
            "stability",
            "ablation:kept=9",
            "stability queries the model on images without noise, but ablation changes",
        ),
        (
            "ordinary",
            "ablation:kept=9",
            "ordinary queries the model on images without noise, but ablation changes",
        ),
    ],
)
def test_a_noise_that_a_method_cannot_do_with_is_told_before_anything_is_written(
    loss, noise, message, tmp_path
):
    with pytest.raises(InputError, match=message):
        train(Recipe("digits", "small-cnn", noise, loss=loss), load_data("digits", "train"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
