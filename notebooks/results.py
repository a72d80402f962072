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
# # Certified robustness on CIFAR-10: three noises, four norms, top k
#
# Poll an image classifier on noisy copies of an image and take the label that it gives most often: that is the
# *smoothed* classifier. From the counts of such a poll follows a *certificate*: a radius within which no perturbation
# whatever, found by any attack, moves the label out of the first place, or out of the top k.
#
# The networks here were trained under the noise that polls them, and polled once. Their answers are stored as counts,
# in `votes.parquet` of each run in [`results/cifar10`](../results/cifar10/README.md), which says how to make them
# again. All that follows is arithmetic on these files: no network, no images, half a minute. `make notebook` does it
# again.

# %%
from pathlib import Path

import numpy as np
from IPython.display import Markdown, display

import radii
from radii.certificates import to_norm
from radii.report.accuracy import round_radii, summarize, tabulate
from radii.report.attack_results import FOLDER, found_beside
from radii.report.export import markdown_table, table_markdown
from radii.report.formatting import NORM_NAMES, draws_text, floor_text, radius_text, round_text
from radii.report.html import Run
from radii.report.html.content import summary_sentences
from radii.report.plots import accuracy_by_k, accuracy_by_noise, radius_by_probability, svg_text
from radii.report.published import load_published

ALPHA, SIGMA, KS = 0.001, 0.5, (1, 2, 3, 4, 5)


def certify(votes, norm, k=1):
    """Certificates of the true labels; l0 counts whole pixels."""
    return radii.certify(votes, norm, k=k, alpha=ALPHA, unit="pixel" if norm == "l0" else "feature")


def show(*parts):
    """Figures as drawings, everything else as Markdown."""
    for part in parts:
        if isinstance(part, str):
            display(Markdown(part))
        else:
            display({"image/svg+xml": svg_text(part)}, raw=True)


paths = {radii.load_votes(path): path for path in Path("../results/cifar10").glob("*/votes.parquet")}
order = list(radii.NOISES)
votes = sorted(paths, key=lambda one: (order.index(one.noise.name), one.noise.sigma))
polled = {f"{one.noise.title} {one.noise.sigma:g}": one for one in votes}

# %% [markdown]
# ## What was polled
#
# Every noise has standard deviation σ on each of the 3072 values of an image, which lie in [0, 1]. *Right* is the
# share of images whose true label got the most votes; *votes* the mean share of all votes that it got. *Certified*:
# the votes prove that the true label is the most probable one. *Refuted*: they prove it of another label, chosen by
# separate draws. On the rest the votes leave the question open. Only certified images count at any radius.

# %%
rows = []
for one in votes:
    share = one.counts[np.arange(len(one)), one.labels] / one.counts.sum(axis=1)
    right = (one.counts.argmax(axis=1) == one.labels).mean()
    chosen = radii.certify(one, "l2", alpha=ALPHA, labels="predicted")
    refuted = (~chosen.correct & ~chosen.abstained).mean()
    certified = certify(one, "l2").accuracy([0])[0]
    shares = [f"{x:.1%}" for x in (right, share.mean(), certified, refuted)]
    rows.append([one.noise.title, f"{one.noise.sigma:g}", f"{len(one)}", draws_text([chosen]), *shares])
show(markdown_table(["noise", "σ", "images", "copies", "right", "votes", "certified", "refuted"], rows))

worst = max(0.5 / np.sqrt(len(one)) for one in votes)
show(
    f"The images: {' / '.join(sorted({one.data for one in votes}))}. Each radius holds with probability"
    f" {1 - ALPHA:g} for its image; where all copies were polled, with certainty. Accuracies are those of the images"
    f" polled; as estimates for all test images they have a standard error of up to {100 * worst:.1f} percentage"
    " points."
)

# %% [markdown]
# ## The three noises, norm by norm
#
# Certified accuracy at radius r is the share of *all* images that are certified, with the right label, to at least
# r: no attack of that size leaves less. One figure for each norm, with all noises at the same σ; the tables take
# round radii from the same curves, the best of each column in bold.

# %%
equal = {one.noise.title: one for one in votes if one.noise.sigma == SIGMA}
first = {norm: {name: certify(one, norm) for name, one in equal.items()} for norm in radii.NORMS}
runs = [Run(name, {(norm, 1): first[norm][name] for norm in radii.NORMS}) for name in equal]
show(summary_sentences(runs, {norm: tabulate(named) for norm, named in first.items()})[0])
for named in first.values():
    show(accuracy_by_noise(named), table_markdown(tabulate(named)))

# %% [markdown]
# The norm decides which noise suits. The worst ℓ₁ move changes one value alone, the worst ℓ∞ move all 3072 at once.
# In a sum of so many small losses, Laplace noise protects about as Gaussian noise √2 times weaker does; and the cube
# that uniform noise fills, moved along its diagonal, soon shares little volume with itself.
#
# ## What a probability is worth
#
# The same, without any network: the radius that follows from a lower bound on the label's probability. A network
# decides how its images spread along the horizontal axis, the noise decides how far each place reaches.

# %%
some = next(iter(equal.values()))
laws = [one.noise for one in equal.values()]
for norm in radii.NORMS:
    unit = first[norm][next(iter(equal))].unit
    show(radius_by_probability(laws, norm, some.shape, unit=unit, n=some.n, alpha=ALPHA))
most = floor_text(ALPHA ** (1 / some.n), 6)
show(f"The most that {some.n:,} draws can show, when all of them give one label, is a probability of {most}.")

# %% [markdown]
# Laplace and Gaussian radii grow without end as the probability nears 1: sure networks and many draws pay off. The
# radius of uniform noise cannot pass the move after which the two cubes share half their volume. In ℓ₁ it is ahead for
# labels of middling probability, Laplace noise for the surest ones.
#
# ## Top k
#
# A label need not stay first to be useful. Certified top-k accuracy asks that it stays among the k most probable
# ones: for k labels to overtake it, all of them have to rise, and they share what an attack can move. Laplace
# noise against ℓ∞, with k as the parameter:


# %%
def by_k(norm):
    """The figure of Laplace noise with k as the parameter, and its numbers."""
    ranked = [certify(equal["Laplace"], norm, k) for k in KS]
    at = round_radii(ranked[-1:])
    rows = [[f"k = {one.k}", *(f"{share:.1%}" for share in one.accuracy(at))] for one in ranked]
    show(accuracy_by_k(ranked), markdown_table(["", *(round_text(radius, norm) for radius in at)], rows))


by_k("linf")

# %% [markdown]
# And in every other norm:

# %%
for norm in ("l0", "l1", "l2"):
    by_k(norm)

# %% [markdown]
# The noises compared once more, now by whether the label stays among the first three:

# %%
for norm in radii.NORMS:
    show(accuracy_by_noise({name: certify(one, norm, 3) for name, one in equal.items()}))

# %% [markdown]
# ## Laplace noise against ℓ₂
#
# Without a rule of its own, the ℓ₂ radius of Laplace noise is taken from another norm: the ℓ₂ ball of radius r lies in
# the ℓ₁ ball of radius r √d and in the ℓ∞ ball of radius r. With d = 3072, the first divides by 55, and the second is
# small to begin with. The [dimension-free bound](../docs/math/laplace-l2.md) loses nothing with d.

# %%
l2 = {
    "bound for ℓ₂": first["l2"]["Laplace"],
    "from ℓ₁": to_norm(first["l1"]["Laplace"], "l2"),
    "from ℓ∞": to_norm(first["linf"]["Laplace"], "l2"),
}
show(accuracy_by_noise(l2), table_markdown(tabulate(l2, [0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1])))

means = {name: summarize(one).mean_radius for name, one in l2.items()}
best = max(means["from ℓ₁"], means["from ℓ∞"])
show(
    f"Mean ℓ₂ radius over all images: {radius_text(means['bound for ℓ₂'], 'l2')} by the bound,"
    f" {radius_text(best, 'l2')} by the better conversion."
)

# %% [markdown]
# ## How much noise
#
# More noise reaches farther and costs accuracy near the image.

# %%
levels = {name: one for name, one in polled.items() if one.noise.name == "laplace"}
for norm in radii.NORMS:
    named = {name: certify(one, norm) for name, one in levels.items()}
    show(accuracy_by_noise(named), table_markdown(tabulate(named)))

# %% [markdown]
# ## Without chance
#
# Splitting noise tells the network only in which of a few intervals each value of an image lies, and all intervals
# shift by one shared random amount. An image of 8 bits has a few hundred such copies: all of them are polled, so that
# the votes *are* the probabilities, and an ℓ₁ radius is a fact about all 8-bit images within it, not a statement of
# confidence. Its radii end where those of uniform noise of the same σ do, at σ √3, so that wider noise
# reaches farther. All runs under splitting, uniform and Laplace noise:


# %%
named = {
    name: certify(one, "l1")
    for name, one in polled.items()
    if one.noise.name in ("splitting", "uniform", "laplace")
}
show(accuracy_by_noise(named), table_markdown(tabulate(named, [0, 0.25, 0.5, 0.75, 1, 1.5, 2])))

# %% [markdown]
# ## How much room is left
#
# A certificate bounds from below how far a label stays; an attack that pushes it out bounds it from above, and the
# truth lies between. `radii attack` moved the certified images of some runs up to four certified radii far, in ℓ₁
# sixteen, along gradients through the noise. *Nearest* and *median*: the lengths of the moves that succeeded, in
# certified radii; below 1, a certificate would be refuted.

# %%
rows = []
for name, one in polled.items():
    if not (paths[one].parent / FOLDER).is_dir():
        continue
    ranked = {(norm, k): certify(one, norm, k) for norm in radii.NORMS for k in KS}
    for (norm, k), found in found_beside(paths[one], ranked).items():
        radius = ranked[norm, k].radius
        out = np.isfinite(found)
        lengths = [f"{ratio:.2f}" for ratio in np.quantile(found[out] / radius[out], [0, 0.5])]
        rows.append([name, NORM_NAMES[norm], f"{k}", f"{(radius > 0).sum()}", f"{out.sum()}", *lengths])
show(markdown_table(["run", "norm", "k", "attacked", "pushed out", "nearest", "median"], rows))

# %% [markdown]
# ## Beside what others published
#
# Points and numbered rows are the results of others on CIFAR-10, from `radii.report.published`, each with its source.
# They are not of the same images (often all 10,000), nor of networks of the same size or training time: read them as
# where the field stands. Between published points nothing is known, so none are joined.

# %%
others = load_published("cifar10")
for norm in ("l1", "l2", "linf"):
    named = {name: certify(one, norm) for name, one in polled.items()}
    show(accuracy_by_noise(named, others), table_markdown(tabulate(named, published=others)))

# %% [markdown]
# Top-k accuracy has been published for Gaussian noise and ℓ₂:

# %%
for k in (3, 5):
    named = {name: certify(one, "l2", k) for name, one in polled.items()}
    show(f"k = {k}", table_markdown(tabulate(named, published=others)))

# %% [markdown]
# ## What is promised
#
# A certificate holds for its image with the probability named above, over the draws of noise, and is about the
# smoothed classifier; the theorems are listed, with their proofs, in [docs/math](../docs/math/index.md). Rounding is
# always downwards, in the radii printed here, too.

# %%
ways = {
    False: "in float32, which rounds the sum of image and noise; no theorem covers this rounding",
    True: "on a lattice, where adding it rounds nothing: the proofs hold for the program itself",
}
for exact, way in ways.items():
    drawn = [name for name, one in polled.items() if one.exact_arithmetic == exact and not one.noise.outcomes]
    if drawn:
        show(f"{', '.join(drawn)}: noise was drawn {way}.")
