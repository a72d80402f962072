"""A scikit-learn estimator on flattened images."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from radii.errors import InputError
from radii.models.digest import Identified
from radii.storage.class_names import by_number, text_of


def is_estimator(model: object) -> bool:
    """Return whether an object predicts as scikit-learn's estimators do."""
    return any(
        callable(getattr(model, name, None)) for name in ("predict_proba", "decision_function", "predict")
    )


class Estimator(Identified):
    """A fitted classifier as a model of probabilities, else decision values, else 1 for the predicted class.

    Classes come in the order of `estimator.classes_`; names that are all numbers, which scikit-learn sorts as text,
    come by size. `class_names` holds these names; it is empty if `classes_` are 0, 1, 2, ..., which only count labels.
    """

    def __init__(self, estimator: Any) -> None:
        classes = np.asarray(getattr(estimator, "classes_", ()))
        if classes.ndim != 1 or len(classes) < 2:
            raise InputError(
                f"an estimator must be fitted to at least two classes, which it shows as classes_; "
                f"got {type(estimator).__name__}"
            )
        # by size, as `in_order` numbers the labels of data: as text, 10 comes before 2
        names = [text_of(name) for name in classes.tolist()]
        self._estimator, self._classes = estimator, classes
        self._order = by_number(names) or list(range(len(names)))
        counted = classes.dtype.kind in "biuf" and np.array_equal(classes, np.arange(len(classes)))
        self.class_names = () if counted else tuple(names[column] for column in self._order)

    def __call__(self, images: Tensor) -> Tensor:
        """Compute scores `(batch, classes)` of images `(batch, *shape)`."""
        # estimators are fitted on tables, one row per image
        features = images.flatten(1).cpu().numpy()
        try:
            scores = self._scores(features)
        # scikit-learn's error for another number of features than it was fitted on
        except ValueError as error:
            raise InputError(
                f"{type(self._estimator).__name__} does not take {features.shape[1]} features: {error}"
            ) from error
        return torch.from_numpy(np.ascontiguousarray(scores[:, self._order], dtype=np.float32))

    @property
    def identity(self) -> str:
        # fitted numbers are stored differently in each type, so no digest covers them
        kind = type(self._estimator)
        return f"unknown:{kind.__module__}.{kind.__qualname__}"

    def _scores(self, features: np.ndarray) -> np.ndarray:
        for name in ("predict_proba", "decision_function"):
            if hasattr(self._estimator, name):
                scores = np.asarray(getattr(self._estimator, name)(features))
                # for two classes, decision values are one column, and positive for the second class
                return scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)
        # one label per image is a vote already: 1 for its class, 0 for the others
        return np.asarray(self._estimator.predict(features))[:, None] == self._classes
