"""Whether a model has its weights: modules on the meta device, and lazy ones, have none yet."""

import itertools

from torch import nn
from torch.nn.parameter import is_lazy

from radii.errors import InputError


def check_loaded(model: object) -> None:
    """Refuse a module that has weights without numbers: on the meta device, or before a lazy layer's first batch."""
    if not isinstance(model, nn.Module):
        return
    for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(value):
            raise InputError(
                f"the model must have all of its weights, but {name} of a lazy layer has no shape yet: call the model "
                "once on a batch of images, then load its weights"
            )
        if value.is_meta:
            raise InputError(
                f"the model must have all of its weights, but {name} is on the meta device, which holds no numbers: "
                "load the weights onto a processor or a GPU"
            )
