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
# # Quick start
#
# This notebook trains a network and certifies it, on the digits of scikit-learn, in a few seconds.
# [Start in five minutes](../docs/start.md) does the same on the command line.

# %%
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

import radii
from radii.data import load_data
from radii.report.plots import accuracy_by_k
from radii.training import train
from radii.training.recipe import read_recipe

# %% [markdown]
# ## Train a network under noise
#
# Images lie in [0, 1], and sigma is in the same units: 0.25 is a quarter of the range from black to
# white, on every pixel.

# %%
noise = radii.Gaussian(sigma=0.25)
with TemporaryDirectory() as folder:
    recipe = read_recipe("digits", noise=noise.name, sigma=noise.sigma, epochs=5)
    model = train(recipe, load_data("digits", "train"), f"{folder}/run")

# %% [markdown]
# ## Votes
#
# The smoothed classifier predicts the label that the network gives most often to noise samples.
# Query the network on 1000 noise samples of each image. This is the expensive step, and only the
# votes are kept.

# %%
images = load_data("digits").first(100)
smoothed = radii.Smoothed(model, noise)
votes = smoothed.vote(images, plan=radii.fixed(1000), seed=0)
pd.DataFrame(votes.counts[:5], columns=votes.classes, index=votes.index[:5])

# %% [markdown]
# ## Certificates
#
# From here on, everything is arithmetic on counts, without network and noise. In any norm, each
# image gets a radius within which no perturbation changes the label. In l2, for example:

# %%
certified = {norm: radii.certify(votes, norm) for norm in radii.NORMS}
certified["l2"]

# %%
certified["l2"].to_pandas().head()

# %% [markdown]
# Certified accuracy at radius r is the share of all images that keep their true label under every
# perturbation of norm at most r. Top-k certificates prove that the label stays among the first k.
# The figure shows k = 1, 2 and 3.

# %%
accuracy_by_k([radii.certify(votes, "l2", k=k) for k in (1, 2, 3)])

# %% [markdown]
# ## What a radius means
#
# No perturbation within the radius changes the prediction of the smoothed classifier. Here, the
# first 20 images are perturbed towards another image: by their radius, and by six times their
# radius, where predictions do change.

# %%
first, other = images.images(slice(20)), images.images(slice(20, 40))
reach = certified["l2"].radius[:20].reshape(-1, 1, 1, 1)
away = other - first
away /= np.sqrt((away**2).sum(axis=(1, 2, 3), keepdims=True))
sure = certified["l2"].radius[:20] > 0
for factor in (1, 6):
    perturbed = np.clip(first + factor * reach * away, 0, 1).astype(np.float32)
    kept = (smoothed.predict(perturbed, seed=0) == votes.labels[:20])[sure].sum()
    print(f"perturbed by {factor} times the radius: {kept} of {sure.sum()} keep their label")

# %% [markdown]
# ## Sample only as much as a radius needs
#
# Is the l2 radius at least 0.25? Each image is sampled until this is decided.

# %%
decided = smoothed.certify(images, norm="l2", radii=[0.25], n_max=10_000)
print(
    f"{decided.accuracy([0.25])[0]:.0%} certified, {decided.mean_samples:.0f} noise samples per image on average"
)

# %% [markdown]
# Next: [your own model](your-own-model.ipynb), [which noise](../docs/which-noise.md), and [what is
# proven](../docs/math/index.md).
