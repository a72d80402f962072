"""Ensembles and mirror averages: values, identity in votes, and soundness as base classifiers."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import radii
from radii.errors import InputError
from radii.models import Denoised, Ensemble, Mirrored, digest, make_model
from radii.models.adapters.outputs import class_names
from radii.sampling.class_matching import renamed

SHAPE, CLASSES = (1, 4, 6), 3
OF = ["probabilities", "logits"]


class Linear(nn.Module):
    """Logits that weigh each pixel, so that a mirror image gets others."""

    def __init__(self, seed: int, classes: int = CLASSES) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(3 * torch.randn(24, classes, generator=made))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight


def members(count: int = 3) -> list[nn.Module]:
    return [Linear(seed).eval() for seed in range(count)]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(16, *SHAPE, generator=torch.Generator().manual_seed(9))


def mean(of: str, logits: list[torch.Tensor]) -> torch.Tensor:
    """The mean by definition, in float64."""
    several = torch.stack([each.double() for each in logits])
    return several.mean(0) if of == "logits" else several.softmax(2).mean(0).log()


# values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", OF)
def test_an_ensemble_averages_its_members(of: str, images: torch.Tensor) -> None:
    several = members()
    found = Ensemble(several, of)(images)
    torch.testing.assert_close(
        found.double(), mean(of, [each(images) for each in several]), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("of", OF)
def test_a_mirror_average_is_that_of_both_images(of: str, images: torch.Tensor) -> None:
    model = members(1)[0]
    found = Mirrored(model, of)(images)
    both = [model(images), model(images.flip(3))]
    torch.testing.assert_close(found.double(), mean(of, both), rtol=1e-5, atol=1e-5)
    assert torch.equal(Mirrored(model, of)(images.flip(3)), found)
    assert not torch.allclose(both[0], both[1])


def test_both_compose_into_one_mean(images: torch.Tensor) -> None:
    several = members()
    every = [model(each) for model in several for each in (images, images.flip(3))]
    for model in (Mirrored(Ensemble(several)), Ensemble([Mirrored(each) for each in several])):
        torch.testing.assert_close(model(images).double(), mean("probabilities", every), rtol=1e-5, atol=1e-5)


def test_probabilities_and_logits_may_vote_for_other_classes() -> None:
    class Fixed(nn.Module):
        def __init__(self, *logits: float) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.tensor([logits]))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.logits.expand(len(images), -1)

    # one member is sure of class 1, two lean to class 0
    several = [Fixed(0.0, 9.0), Fixed(2.0, 0.0), Fixed(2.0, 0.0)]
    image = torch.zeros(1, *SHAPE)
    assert Ensemble(several, "logits")(image).argmax().item() == 1
    assert Ensemble(several, "probabilities")(image).argmax().item() == 0


def test_tiny_probabilities_and_excluded_classes_stay_distinct(images: torch.Tensor) -> None:
    class Far(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, -300.0, -301.0, -torch.inf]]).expand(len(images), -1)

    logits = Ensemble([Far(), Far()])(images)
    np.testing.assert_allclose(logits[0, :3].numpy(), [0, -300, -301], atol=1e-4)
    assert logits[0, 3] == -torch.inf


# identity ---------------------------------------------------------------------------------------


def test_the_digest_lists_all_members_in_order() -> None:
    several = members()
    plain = [digest(each) for each in several]
    ensemble = Ensemble(several)
    assert digest(ensemble) == f"probabilities({', '.join(plain)})" == digest(copy.deepcopy(ensemble))
    assert digest(Mirrored(ensemble)) == f"mirrored-probabilities({digest(ensemble)})"
    models = [
        *several,
        *(Ensemble(several, of) for of in OF),
        *(Mirrored(several[0], of) for of in OF),
        Ensemble(several[::-1]),
        Ensemble(several[:2]),
        Ensemble([several[0]]),
        Mirrored(ensemble),
        Ensemble([Mirrored(each) for each in several]),
        Ensemble([Ensemble(several[:2]), several[2]]),
        Ensemble([several[0], Ensemble(several[1:])]),
    ]
    assert len(set(map(digest, models))) == len(models)


def test_one_changed_weight_of_any_member_shows() -> None:
    for changed in range(3):
        several = members()
        before = digest(Mirrored(Ensemble(several)))
        with torch.no_grad():
            several[changed].weight[0, 0] += 1e-6
        assert digest(Mirrored(Ensemble(several))) != before


def test_a_member_without_weights_is_unknown_also_behind_a_denoiser() -> None:
    class Bare(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, :CLASSES]

    ensemble = Ensemble([*members(1), Bare()])
    assert digest(ensemble).startswith("unknown:probabilities(") and "Bare" in digest(ensemble)
    assert digest(Mirrored(ensemble)).startswith("unknown:mirrored-probabilities(")
    denoiser = make_model("denoiser-2-4", SHAPE, CLASSES)
    assert digest(Denoised(denoiser, ensemble)) == digest(ensemble)


def test_an_ensemble_within_a_module_belongs_to_its_digest() -> None:
    first, second = (nn.Sequential(Ensemble(members(), of), nn.Identity()) for of in OF)
    assert digest(first) != digest(second)


def test_another_order_of_classes_keeps_the_members_legible() -> None:
    several = members(2)
    for member in several:
        member.class_names = ("a", "b", "c")
    ensemble = Mirrored(Ensemble(several))
    assert class_names(ensemble) == ("a", "b", "c")
    other = renamed(ensemble, ("c", "b", "a"), "the images")
    images = torch.rand(2, *SHAPE)
    assert torch.equal(other(images), ensemble(images)[:, [2, 1, 0]])
    assert digest(other).startswith(f"{digest(ensemble)} {{") and digest(other) != digest(ensemble)


# votes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_votes_do_not_depend_on_the_batch(precision: str) -> None:
    data = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float32) / 255
    model = Mirrored(Ensemble(members()))
    counts = [
        radii.Smoothed(model, radii.Laplace(0.5), precision, batch).vote(data, plan=radii.fixed(64)).counts
        for batch in (16, 64)
    ]
    np.testing.assert_array_equal(*counts)
    assert len(np.unique(counts[0].argmax(1))) > 1


def test_votes_of_other_members_or_without_mirror_are_never_added() -> None:
    data = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.float32) / 255
    several, noise, plan = members(), radii.Laplace(0.5), radii.fixed(64)
    whole = Mirrored(Ensemble(several))
    first = radii.Smoothed(whole, noise).vote(data, plan=plan, draws=(0, 32))
    rest = radii.Smoothed(whole, noise).vote(data, plan=plan, draws=(32, 64))
    assert (first + rest).counts.sum() == 128 and first.model == digest(whole)
    for other in (Ensemble(several), Mirrored(Ensemble(several[:2])), Mirrored(Ensemble(several[::-1]))):
        votes = radii.Smoothed(other, noise).vote(data, plan=plan, draws=(32, 64))
        with pytest.raises(InputError, match="votes with different model cannot be added"):
            first + votes


@pytest.mark.parametrize(
    "make", [Ensemble, lambda several: Mirrored(several[0]), lambda several: Mirrored(Ensemble(several))]
)
@pytest.mark.parametrize("noise", [radii.Splitting(0.02), radii.Splitting(0.02, symmetric=1)])
def test_no_perturbation_within_the_radius_changes_the_prediction(make, noise) -> None:
    """All noise samples are enumerated, so that the true probabilities of each perturbed image are known."""
    shape, rng = (1, 4, 6), np.random.default_rng(1)
    smoothed, plan = radii.Smoothed(make(members()), noise), radii.exhaustive(noise)
    levels = rng.integers(20, 236, (4, *shape))
    votes = smoothed.vote((levels / 255).astype(np.float32), plan=plan)
    found = radii.certify(votes, "l1", labels="predicted")
    for image, label, radius in zip(levels, found.label, found.radius, strict=True):
        reach = int(np.floor(radius * 255))
        if radius == 0 or reach == 0:
            continue
        # the whole length on one pixel, or in single grey levels on random ones
        moves = np.zeros((96, 24), dtype=int)
        moves[np.arange(48), np.arange(48) // 2] = np.where(np.arange(48) % 2, -reach, reach)
        for row in range(48, 96):
            np.add.at(moves[row], rng.integers(0, 24, reach), 1)
            moves[row] *= rng.choice([-1, 1], 24)
        perturbed = (image + moves.reshape(-1, *shape)).clip(0, 255)
        counts = smoothed.vote((perturbed / 255).astype(np.float32), plan=plan).counts
        rivals = np.delete(counts, label, axis=1).max(1)
        assert np.all(counts[:, label] > rivals)
    assert (found.radius > 1 / 255).any()


# errors -----------------------------------------------------------------------------------------


def test_what_cannot_be_averaged_is_rejected(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="at least one member; got none"):
        Ensemble([])
    with pytest.raises(InputError, match="a member of an ensemble must be a torch module; got function"):
        Ensemble([lambda images: images])
    with pytest.raises(InputError, match="what is mirrored must be a torch module; got function"):
        Mirrored(lambda images: images)
    with pytest.raises(InputError, match="average"):
        Ensemble(members(), "votes")
    with pytest.raises(InputError, match="average"):
        Mirrored(members(1)[0], "votes")
    with pytest.raises(InputError, match=r"same classes; their logits have the shapes \(16, 3\), \(16, 4\)"):
        Ensemble([Linear(0), Linear(1, 4)])(images)
    with pytest.raises(InputError, match="can be mirrored; got"):
        Mirrored(members(1)[0])(images.flatten(1))
    with pytest.raises(InputError, match="must return logits"):
        Ensemble([nn.Flatten(0)])(images)
    with pytest.raises(InputError, match="must return logits"):
        Mirrored(nn.Sequential(nn.Flatten(), nn.Threshold(0.5, 0.0)))((images * 9).long())


def test_members_with_other_class_names_are_rejected() -> None:
    first, second, unnamed = members()
    first.class_names, second.class_names = ("a", "b", "c"), ("b", "a", "c")
    assert Ensemble([unnamed, first]).class_names == ("a", "b", "c")
    with pytest.raises(
        InputError, match="same classes in the same order; got 'a', 'b', 'c' and 'b', 'a', 'c'"
    ):
        Ensemble([first, unnamed, second])


def test_a_member_in_training_mode_is_rejected() -> None:
    data = np.zeros((1, *SHAPE), dtype=np.float32)
    trained = [members(1)[0], Linear(1)]
    assert not Mirrored(Ensemble(members())).training and not Ensemble(members()).members.training
    for model in (Ensemble(trained), Mirrored(Ensemble(trained)), Mirrored(trained[1])):
        assert model.training
        with pytest.raises(InputError, match="training mode"):
            radii.Smoothed(model, radii.Laplace(0.5)).vote(data, plan=radii.fixed(8))
        radii.Smoothed(model.eval(), radii.Laplace(0.5)).vote(data, plan=radii.fixed(8))
        trained[1].train()
