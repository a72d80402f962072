"""Several base classifiers as one: ensembles, and averages over an image and its mirror image."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from radii.errors import InputError, check_name
from radii.models.adapters.outputs import Model, class_names, logits_in
from radii.models.digest import Identified, digest
from radii.storage.class_names import first_few

Averaged = Literal["probabilities", "logits"]


def average_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Return the logarithms of mean probabilities, which are logits of them."""
    # float32: sums of bfloat16 numbers would often tie; logarithms: a probability may be too small for any float
    several = torch.stack([each.log_softmax(1, dtype=torch.float32) for each in logits])
    return several.logsumexp(0) - math.log(len(several))


def average_logits(logits: Sequence[Tensor]) -> Tensor:
    """Return mean logits."""
    return torch.stack([each.float() for each in logits]).mean(0)


AVERAGES: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "probabilities": average_probabilities,
    "logits": average_logits,
}
"""What is averaged, by name."""


class Ensemble(nn.Module, Identified):
    """Base classifier that averages several: their votes are those of one model.

    Parameters
    ----------
    members : modules from images to logits
        Models of the same images, with the same classes in the same order.
    of : "probabilities" or "logits"
        What is averaged. The class with the largest mean wins, which is the class with the largest sum.

    Raises
    ------
    InputError
        If there are no members, one is not a module, or their classes differ.

    Notes
    -----
    Guarantee: certificates hold as for any base classifier, since the ensemble is a function of one image. The digest
    lists the digests of all members in their order: sums of floats depend on the order. The ensemble is in evaluation
    mode if all members are.

    Examples
    --------
    >>> import torch
    >>> from radii.models import Ensemble, make_model
    >>> members = [make_model("small-cnn", (1, 8, 8), 10).eval() for _ in range(3)]
    >>> Ensemble(members)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, members: Sequence[Model], of: Averaged | str = "probabilities") -> None:
        super().__init__()
        several = [check_module(member, "a member of an ensemble") for member in members]
        if not several:
            raise InputError("an ensemble has at least one member; got none")
        known = [names for names in map(class_names, several) if names]
        for names in known[1:]:
            if names != known[0]:
                raise InputError(
                    f"the members of an ensemble must have the same classes in the same order; got "
                    f"{first_few(known[0])} and {first_few(names)}"
                )
        self.members = nn.ModuleList(several)
        self.of = check_name("average", of, AVERAGES)
        self.class_names = known[0] if known else ()
        # train() or eval() would change the members; one in training mode is to be rejected
        self.training = self.members.training = any(member.training for member in several)

    def forward(self, images: Tensor) -> Tensor:
        """Compute averaged logits `(batch, classes)` of noisy images `(batch, *shape)`."""
        logits = [logits_of(member, images) for member in self.members]
        if len({tuple(each.shape) for each in logits}) > 1:
            raise InputError(
                "the members of an ensemble must have the same classes; their logits have the shapes "
                f"{', '.join(str(tuple(each.shape)) for each in logits)}"
            )
        return AVERAGES[self.of](logits)

    @property
    def identity(self) -> str:
        return composed_identity(self.of, list(self.members))


class Mirrored(nn.Module, Identified):
    """Base classifier that averages a model on a noisy image and on its mirror image, left to right.

    Parameters
    ----------
    model : module from images to logits
        Model of images `(batch, channels, height, width)`; it may be an `Ensemble`.
    of : "probabilities" or "logits"
        What is averaged.

    Raises
    ------
    InputError
        If the model is not a module; when it is queried, for inputs that are not such images.

    Notes
    -----
    This is test-time augmentation by a horizontal flip, at twice the cost. Guarantee: certificates hold as for any
    base classifier. An image and its mirror image get the same logits, up to the kernels' rounding. Fixed offsets of
    splitting noise are mirrored, too, if they are symmetric: `radii.Splitting(sigma, symmetric=1)`.

    References
    ----------
    Krizhevsky, Sutskever & Hinton (2012), ImageNet classification with deep convolutional neural networks, NeurIPS,
    section 4.1, who average over horizontal reflections.

    Examples
    --------
    >>> import torch
    >>> from radii.models import Mirrored, make_model
    >>> Mirrored(make_model("small-cnn", (1, 8, 8), 10).eval())(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, model: Model, of: Averaged | str = "probabilities") -> None:
        super().__init__()
        self.model = check_module(model, "what is mirrored")
        self.of = check_name("average", of, AVERAGES)
        self.class_names = class_names(model)
        self.training = self.model.training  # as in `Ensemble`

    def forward(self, images: Tensor) -> Tensor:
        """Compute averaged logits `(batch, classes)` of noisy images `(batch, channels, height, width)`."""
        if images.ndim != 4:
            raise InputError(
                f"only images (batch, channels, height, width) can be mirrored; got {tuple(images.shape)}"
            )
        return AVERAGES[self.of]([logits_of(self.model, each) for each in (images, images.flip(-1))])

    @property
    def identity(self) -> str:
        return composed_identity(f"mirrored-{self.of}", [self.model])


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of a model; raise `InputError` unless they are a table of real numbers."""
    logits = logits_in(model(images))
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
        raise InputError(
            "a model that is averaged must return logits (batch, classes) as floats: declare another output by "
            "radii.load_model first"
        )
    return logits


def check_module(model: Model, role: str) -> nn.Module:
    """Return the model; raise `InputError` unless it is a torch module, which can be copied and cast."""
    if not isinstance(model, nn.Module):
        raise InputError(f"{role} must be a torch module; got {type(model).__name__}")
    return model


def composed_identity(name: str, models: Sequence[nn.Module]) -> str:
    """Return `NAME(DIGEST, ...)`, with `unknown:` in front if any of the models can change without notice."""
    identity = f"{name}({', '.join(map(digest, models))})"
    return f"unknown:{identity}" if "unknown:" in identity else identity
