# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own model
#
# `radii` certifies every function from a batch of images to a table of scores. This notebook
# certifies three of them, on digits of 8x8 pixels: a scikit-learn estimator, a torch module that
# takes grey levels from 0 to 255, and a plain function. [Your own model](../docs/models.md) lists
# all forms, including files and servers.

# %%
import warnings

import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import radii
from radii.data import load_data
from radii.errors import RadiiWarning
from radii.models.devices import TensorSource
from radii.report.accuracy_table import tabulate
from radii.report.plots import accuracy_by_noise

# the last digits of a matrix product may depend on the rest of the batch: of no weight here
warnings.simplefilter("ignore", RadiiWarning)

noise = radii.Gaussian(sigma=0.25)
data = load_data("digits", "train")
images = load_data("digits").first(60)

# %% [markdown]
# The certificates are about predictions under noise, so train the model on noise samples. Any
# training works that adds noise to images in [0, 1]. Here, each image gives eight noise samples.

# %%
source = TensorSource(0, torch.device("cpu"))
clean, labels = torch.from_numpy(data.images()), torch.from_numpy(data.labels).repeat(8)
noisy = torch.cat([noise.perturb(clean, source) for _ in range(8)])

# %% [markdown]
# ## An estimator
#
# `radii` queries it on flattened images.

# %%
discriminant = LinearDiscriminantAnalysis().fit(noisy.flatten(1).numpy(), labels.numpy())
estimator = radii.load_model(discriminant)

# %% [markdown]
# ## A module with another input scale
#
# This network takes grey levels from 0 to 255. Declare this once. Noise is added before the
# conversion, so sigma and the radii stay in units of [0, 1].

# %%
torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
)
optimizer = torch.optim.Adam(network.parameters(), 1e-3)
for _ in range(5):
    for rows in torch.randperm(len(noisy)).split(64):
        loss = torch.nn.functional.cross_entropy(network(255 * noisy[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
module = radii.load_model(network.eval(), input_range=(0, 255))

# %% [markdown]
# Without the declaration, the network would be queried in the wrong scale. If labels are known,
# `radii` detects this. A model at the level of chance in the declared scale is rejected; a model
# that is only less accurate gives a note.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("error")
    try:
        radii.Smoothed(network, noise).vote(images, plan=radii.fixed(100))
    except (radii.InputError, UserWarning) as told:
        print(told)

# %% [markdown]
# ## A function
#
# It predicts the class with the nearest of ten means.

# %%
means = torch.stack([noisy[labels == label].mean(0) for label in range(10)]).flatten(1)


def nearest_mean(batch):
    """Return minus the squared distance to each mean, `(batch, 10)`."""
    return -(batch.flatten(1)[:, None] - means).square().sum(2)


# %% [markdown]
# ## Votes and certificates
#
# These are the same for all three models.

# %%
models = {"discriminant": estimator, "network": module, "nearest mean": nearest_mean}
votes = {
    name: radii.Smoothed(model, noise).vote(images, plan=radii.fixed(300)) for name, model in models.items()
}
certified = {norm: {name: radii.certify(one, norm) for name, one in votes.items()} for norm in radii.NORMS}
accuracy_by_noise(certified["l2"])

# %%
tabulate(certified["l2"])

# %%
accuracy_by_noise(certified["linf"])

# %%
tabulate(certified["linf"])

# %% [markdown]
# ## Without labels
#
# Without true labels, separate noise samples choose the label to certify. The classifier may
# abstain:

# %%
cert = radii.certify(votes["network"], "l2", labels="predicted")
for label, radius, sure in list(zip(cert.label, cert.radius, cert.certified, strict=True))[:5]:
    print(f"{label}, for every perturbation within an l2 radius of {radius:.3f}" if sure else "no answer")

# %% [markdown]
# Votes store which model and which images they are about:

# %%
print(votes["network"].model[:16], votes["network"].data)
print(votes["discriminant"].model)
