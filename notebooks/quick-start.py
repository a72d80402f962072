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
# From a network to certificates, on digits that come with scikit-learn, in some seconds. The same on the command line:
# [start in five minutes](../docs/start.md).

# %%
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from IPython.display import display

import radii
from radii.data import load_data
from radii.report.plots import accuracy_by_k, svg_text
from radii.training import train
from radii.training.recipe import read_recipe


def show(figure):
    """A figure as a drawing."""
    display({"image/svg+xml": svg_text(figure)}, raw=True)


# %% [markdown]
# ## A network that has seen noise
#
# Images lie in [0, 1], and so does sigma: 0.25 is a quarter of the way from black to white, on every pixel.

# %%
noise = radii.Gaussian(sigma=0.25)
with TemporaryDirectory() as folder:
    recipe = read_recipe("digits", noise=noise.name, sigma=noise.sigma, epochs=5)
    model = train(recipe, load_data("digits", "train"), f"{folder}/run")

# %% [markdown]
# ## Votes
#
# The smoothed classifier answers with the label that the network gives most often to noisy copies. Poll 1000 of them
# for each image: this is the expensive step, and votes are all that is kept of it.

# %%
images = load_data("digits").first(100)
smoothed = radii.Smoothed(model, noise)
votes = smoothed.vote(images, plan=radii.fixed(1000), seed=0)
pd.DataFrame(votes.counts[:5], columns=votes.classes, index=votes.index[:5])

# %% [markdown]
# ## Certificates
#
# From here on there is neither network nor noise, only arithmetic on counts: for each image the radius within which
# nothing changes the label, in any norm; in l2, for example:

# %%
certified = {norm: radii.certify(votes, norm) for norm in radii.NORMS}
certified["l2"].to_pandas().head()

# %% [markdown]
# Certified accuracy at radius r is the share of all images that keep their right label whatever is done to them within
# r. The label need not stay first: here are the first one, two and three places.

# %%
show(accuracy_by_k([radii.certify(votes, "l2", k=k) for k in (1, 2, 3)]))

# %% [markdown]
# ## What a radius means
#
# No move within the radius changes the answer of the smoothed classifier. Here is one such move, towards another
# image: as long as the radius for the first 20 images, and, to see something happen, six times as long.

# %%
first, other = images.images(slice(20)), images.images(slice(20, 40))
reach = certified["l2"].radius[:20].reshape(-1, 1, 1, 1)
away = other - first
away /= np.sqrt((away**2).sum(axis=(1, 2, 3), keepdims=True))
sure = certified["l2"].radius[:20] > 0
for times in (1, 6):
    moved = np.clip(first + times * reach * away, 0, 1).astype(np.float32)
    told = smoothed.predict(moved)
    kept = (told == votes.labels[:20])[sure].sum()
    print(f"moved by {times} times the radius: {kept} of {sure.sum()} keep their label")

# %% [markdown]
# ## Only as many draws as it takes
#
# Is the l2 radius at least 0.25? Each image is polled until that is clear.

# %%
asked = smoothed.certify(images, norm="l2", radii=[0.25], n_max=10_000)
print(f"{asked.accuracy([0.25])[0]:.0%} certified, {asked.mean_samples:.0f} noisy copies an image on average")

# %% [markdown]
# Next: [your own model](your-own-model.ipynb), [which noise](../docs/which-noise.md), and
# [what is proven](../docs/math/index.md).
