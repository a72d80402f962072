"""The attacks beside those of foolbox, which knows nothing of radii: on the same smoothed model, as long, no wiser."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import radii
from radii.attacks import Effort, attack
from radii.data import load_data
from radii.training import train
from radii.training.recipe import make_recipe
from radii.training.run_folder import load_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

SIGMA, IMAGES, COPIES, STEPS = 0.25, 8, 48, 40
MINIMAL = {
    "l1": foolbox.attacks.L1FMNAttack,
    "l2": foolbox.attacks.L2FMNAttack,
    "linf": foolbox.attacks.LInfFMNAttack,
}
ORDER = {"l1": 1, "l2": 2, "linf": np.inf}


class Averaged(nn.Module):
    """The mean prediction over the same noisy copies of whatever image, which has gradients and draws nothing."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.noise = SIGMA * torch.randn(COPIES, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        chances = self.model((images[:, None] + self.noise).flatten(0, 1)).softmax(1)
        return chances.view(len(images), COPIES, -1).mean(1).clamp_min(1e-9).log()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> nn.Module:
    run = tmp_path_factory.mktemp("run") / "model"
    train(make_recipe("digits", noise="gaussian", sigma=SIGMA, epochs=4), load_data("digits", "train"), run)
    return load_run(run)[0]


@pytest.mark.parametrize("norm", MINIMAL)
def test_moves_of_others_are_no_shorter_and_never_within_the_radius(norm: str, trained: nn.Module) -> None:
    data = load_data("digits").first(IMAGES)
    smoothed = radii.Smoothed(trained, radii.Gaussian(SIGMA), batch=256)
    certificates = radii.certify(smoothed.vote(data, plan=radii.fixed(1000)), norm)
    ours = attack(smoothed, data.images(), certificates, effort=Effort(20, 32), n=2000)
    rows = ours.rows
    assert len(rows) >= 6 and np.isfinite(ours.lengths).all() and not ours.within_radius.any()

    images, labels = (torch.from_numpy(values[rows]) for values in (data.images(), data.labels))
    outside = foolbox.PyTorchModel(Averaged(trained), bounds=(0, 1), device="cpu")
    _, moved, _ = MINIMAL[norm](steps=STEPS)(outside, images, labels, epsilons=None)
    lengths = np.linalg.norm((moved - images).flatten(1).numpy(), ORDER[norm], axis=1)
    away = lengths > 0  # it takes images for lost that its own few copies show so
    assert away.sum() >= 5 and np.median(ours.lengths[away] / lengths[away]) < 1.25

    judged = smoothed.vote(moved.numpy(), labels.numpy(), plan=radii.fixed(2000, selection=0), seed=9)
    lost = judged.counts.argmax(1) != labels.numpy()
    assert lost.any() and (lengths[lost] > certificates.radius[rows][lost]).all()
