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
# A *smoothed* classifier predicts the label that a base classifier gives most often to noise
# samples of an image. Its vote counts give a *certificate*: a radius within which no perturbation,
# found by any attack, removes the label from the first place, or from the top k.
#
# The networks here were trained under the noise with which they were sampled, and sampled once. The
# counts are stored in `votes.parquet` of each run in
# [`results/cifar10`](../results/cifar10/README.md), which lists the commands that reproduce them.
# Everything below is arithmetic on these files, without networks and images, and takes half a
# minute. `make notebook` runs it again.

# %%
from pathlib import Path

import numpy as np
from IPython.display import Markdown

import radii
from radii.certificates import to_norm
from radii.report.accuracy import summarize
from radii.report.accuracy_table import tabulate
from radii.report.attacked import found_beside
from radii.report.export import markdown_table
from radii.report.formatting import draws_text, floor_text, radius_text, round_text
from radii.report.plots import (
    accuracy_by_k,
    accuracy_by_noise,
    probability_distribution,
    radius_by_probability,
)
from radii.report.published import load_published
from radii.report.round_radii import round_radii
from radii.report.winners import find_winners, winners_text

ALPHA, SIGMA, KS = 0.001, 0.5, (1, 2, 3, 4, 5)


def certify(votes, norm, k=1):
    """Return certificates of the true labels; l0 counts whole pixels."""
    return radii.certify(votes, norm, k=k, alpha=ALPHA)


paths = {radii.load_votes(path): path for path in Path("../results/cifar10").glob("*/votes.parquet")}
order = list(radii.NOISES)
votes = sorted(paths, key=lambda one: (order.index(one.noise.name), one.noise.sigma))
sampled = {f"{one.noise.title} {one.noise.sigma:g}": one for one in votes}

# %% [markdown]
# ## The runs
#
# Every noise has standard deviation σ on each of the 3072 features of an image, which lie in [0,
# 1]. *Plain accuracy* is the share of images whose true label got the most votes, and *votes* is
# the mean share of votes for the true label. *Certified*: the votes prove that the true label is the
# most probable one. *Refuted*: they prove that another label is more probable. *Open*: they prove
# neither. Only certified images count at any radius.

# %%
rows = []
for one in votes:
    share = one.counts[np.arange(len(one)), one.labels] / one.counts.sum(axis=1)
    shown = certify(one, "l2")
    statuses = [(shown.status == status).mean() for status in ("certified", "open", "refuted")]
    shares = [f"{x:.1%}" for x in (shown.correct.mean(), share.mean(), *statuses)]
    rows.append([one.noise.title, f"{one.noise.sigma:g}", f"{len(one)}", draws_text([shown]), *shares])
heads = ["noise", "σ", "images", "samples", "plain accuracy", "votes", "certified", "open", "refuted"]
Markdown(markdown_table(heads, rows))

# %%
worst = max(0.5 / np.sqrt(len(one)) for one in votes)
Markdown(
    f"The images: {' / '.join(sorted({str(one.data) for one in votes}))}. Each radius holds with probability"
    f" {1 - ALPHA:g} for its image, and with certainty where all outcomes of the noise were taken. Accuracies"
    " are those of these images; as estimates for all test images they have a standard error of up to"
    f" {100 * worst:.1f} percentage points."
)

# %% [markdown]
# ## The three noises, norm by norm
#
# Certified accuracy at radius r is the share of *all* images that are certified, with the true
# label, to at least r. No attack of this size gives a lower accuracy. There is one figure per norm,
# with all noises at the same σ. The tables give the same curves at round radii. In bold are the best
# run of each column, and those that a paired test over images does not separate from it.

# %%
equal = {one.noise.title: one for one in votes if one.noise.sigma == SIGMA}
first = {norm: {name: certify(one, norm) for name, one in equal.items()} for norm in radii.NORMS}

# %%
accuracy_by_noise(first["l0"])

# %%
tabulate(first["l0"])

# %%
accuracy_by_noise(first["l1"])

# %%
tabulate(first["l1"])

# %%
accuracy_by_noise(first["l2"])

# %%
tabulate(first["l2"])

# %%
accuracy_by_noise(first["linf"])

# %%
tabulate(first["linf"])

# %% [markdown]
# The best of all runs, at every σ, by [exact paired tests](../docs/math/comparisons.md) with an error
# of 5 % for all radii and pairs of runs of a norm:

# %%
best = [
    winners_text(find_winners({name: certify(one, norm) for name, one in sampled.items()}))
    for norm in radii.NORMS
]
Markdown("\n\n".join(best))

# %% [markdown]
# The norm decides which noise is best. The worst ℓ₁ perturbation changes one feature, the worst ℓ∞
# perturbation all 3072. In a sum of thousands of small privacy losses, Laplace noise protects about
# as well as Gaussian noise of a σ that is √2 times smaller. The cube that uniform noise fills,
# shifted along its diagonal, soon shares little volume with itself.
#
# ## From probability to radius
#
# The following figures need no network. They show the radius that follows from a lower bound on the
# label's probability. The network determines the distribution of the images along the horizontal
# axis, and the noise determines the curves.

# %%
some = next(iter(equal.values()))
laws = [one.noise for one in equal.values()]


def theory(norm):
    """Return the figure of the radii that the noises give in one norm."""
    return radius_by_probability(laws, norm, some.shape, n=some.n, alpha=ALPHA)


theory("l0")

# %%
theory("l1")

# %%
theory("l2")

# %%
theory("linf")

# %%
most = floor_text(ALPHA ** (1 / some.n), 6)
Markdown(
    f"If all {some.n:,} noise samples agree, the lower bound on the probability is {most}, its largest value."
)

# %% [markdown]
# The networks and noises give these distributions of the lower bound on the true label's probability:

# %%
probability_distribution({name: certify(one, "l2") for name, one in equal.items()})

# %% [markdown]
# Laplace and Gaussian radii grow without bound as the probability approaches 1, so accurate
# networks and more noise samples help. The radius of uniform noise ends where the two cubes share
# half their volume. In ℓ₁ it is the largest for labels of medium probability, and Laplace noise for
# the most probable labels.
#
# ## Top k
#
# Certified top-k accuracy requires only that the label stays among the k most probable ones. For k
# labels to overtake it, all of them must gain probability, and they share what a perturbation can
# move. The figure shows Laplace noise against ℓ∞ for several k:


# %%
def ranked(norm):
    """Return certificates of Laplace noise for several k."""
    return [certify(equal["Laplace"], norm, k) for k in KS]


def by_k_table(certified):
    """Return their accuracies at round radii."""
    at = round_radii(certified[-1:])
    rows = [[f"k = {one.k}", *(f"{share:.1%}" for share in one.accuracy(at))] for one in certified]
    return Markdown(markdown_table(["", *(round_text(radius, certified[0].norm) for radius in at)], rows))


accuracy_by_k(ranked("linf"))

# %%
by_k_table(ranked("linf"))

# %% [markdown]
# The other norms:

# %%
accuracy_by_k(ranked("l0"))

# %%
by_k_table(ranked("l0"))

# %%
accuracy_by_k(ranked("l1"))

# %%
by_k_table(ranked("l1"))

# %%
accuracy_by_k(ranked("l2"))

# %%
by_k_table(ranked("l2"))

# %% [markdown]
# The noises compared by top-3 accuracy:

# %%
third = {norm: {name: certify(one, norm, 3) for name, one in equal.items()} for norm in radii.NORMS}
accuracy_by_noise(third["l0"])

# %%
accuracy_by_noise(third["l1"])

# %%
accuracy_by_noise(third["l2"])

# %%
accuracy_by_noise(third["linf"])

# %% [markdown]
# ## Laplace noise against ℓ₂
#
# Without a separate rule, the ℓ₂ radius of Laplace noise would follow from another norm: the ℓ₂
# ball of radius r lies in the ℓ₁ ball of radius r √d and in the ℓ∞ ball of radius r. With d = 3072,
# the first divides the radius by 55, and the second radius is small. The [dimension-free
# bound](../docs/math/laplace-l2.md) does not depend on d.

# %%
l2 = {
    "bound for ℓ₂": first["l2"]["Laplace"],
    "from ℓ₁": to_norm(first["l1"]["Laplace"], "l2"),
    "from ℓ∞": to_norm(first["linf"]["Laplace"], "l2"),
}
accuracy_by_noise(l2)

# %%
tabulate(l2, [0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1])

# %%
means = {name: summarize(one).mean_radius for name, one in l2.items()}
best = max(means["from ℓ₁"], means["from ℓ∞"])
Markdown(
    f"Mean ℓ₂ radius over all images: {radius_text(means['bound for ℓ₂'], 'l2')} by the bound,"
    f" {radius_text(best, 'l2')} by the better conversion."
)

# %% [markdown]
# ## The choice of σ
#
# More noise gives larger radii and lower accuracy at small radii.

# %%
laplace = {
    norm: {name: certify(one, norm) for name, one in sampled.items() if one.noise.name == "laplace"}
    for norm in radii.NORMS
}
accuracy_by_noise(laplace["l0"])

# %%
tabulate(laplace["l0"])

# %%
accuracy_by_noise(laplace["l1"])

# %%
tabulate(laplace["l1"])

# %%
accuracy_by_noise(laplace["l2"])

# %%
tabulate(laplace["l2"])

# %%
accuracy_by_noise(laplace["linf"])

# %%
tabulate(laplace["linf"])

# %% [markdown]
# ## Without sampling error
#
# Under splitting noise, the network receives only which of a few intervals contains each feature,
# and all intervals shift by one shared random amount. An 8-bit image has a few hundred noise
# samples. All of them are enumerated, so the votes *are* the probabilities, and an ℓ₁ radius holds
# with certainty for all 8-bit images within it. The radii end at σ √3, like those of uniform noise
# of the same σ, so wider noise reaches larger radii. The figure shows all runs under splitting,
# uniform and Laplace noise:


# %%
named = {
    name: certify(one, "l1")
    for name, one in sampled.items()
    if one.noise.name in ("splitting", "uniform", "laplace")
}
accuracy_by_noise(named)

# %%
tabulate(named, [0, 0.25, 0.5, 0.75, 1, 1.5, 2])

# %% [markdown]
# ## How tight the certificates are
#
# A certificate is a lower bound on the distance to the nearest image with another prediction, and a
# successful attack is an upper bound. `radii attack` perturbed the certified images of some runs
# along gradients through the noise, by up to four certified radii, and sixteen in ℓ₁. *Nearest* and
# *median* are sizes of successful perturbations, in certified radii. A value below 1 would refute a
# certificate.

# %%
rows = []
for name, one in sampled.items():
    if not (paths[one].parent / "attacks").is_dir():
        continue
    ranked = {(norm, k): certify(one, norm, k) for norm in radii.NORMS for k in KS}
    for (norm, k), found in found_beside(paths[one], ranked).items():
        radius = ranked[norm, k].radius
        out = np.isfinite(found)
        lengths = [f"{ratio:.2f}" for ratio in np.quantile(found[out] / radius[out], [0, 0.5])]
        rows.append([name, norm, f"{k}", f"{(radius > 0).sum()}", f"{out.sum()}", *lengths])
Markdown(markdown_table(["run", "norm", "k", "attacked", "pushed out", "nearest", "median"], rows))

# %% [markdown]
# ## Comparison with published results
#
# Points and numbered rows are published results on CIFAR-10 from `radii.report.published`, each
# with its source. They are about other images (often all 10,000), and about networks with other
# sizes and training times, so the comparison is approximate. Published points are not joined,
# because nothing is known between them.

# %%
others = load_published("cifar10")
every = {norm: {name: certify(one, norm) for name, one in sampled.items()} for norm in ("l1", "l2", "linf")}
accuracy_by_noise(every["l1"], others)

# %%
tabulate(every["l1"], published=others)

# %%
accuracy_by_noise(every["l2"], others)

# %%
tabulate(every["l2"], published=others)

# %%
accuracy_by_noise(every["linf"], others)

# %%
tabulate(every["linf"], published=others)

# %% [markdown]
# Published top-k accuracy exists for Gaussian noise and ℓ₂. For k = 3:

# %%
tabulate({name: certify(one, "l2", 3) for name, one in sampled.items()}, published=others)

# %% [markdown]
# For k = 5:

# %%
tabulate({name: certify(one, "l2", 5) for name, one in sampled.items()}, published=others)

# %% [markdown]
# ## What is guaranteed
#
# A certificate holds for its image with the probability given above, over the noise samples. It is
# about the smoothed classifier. [Mathematics](../docs/math/index.md) lists the theorems with their
# proofs. Radii are rounded down, also where they are printed.

# %%
ways = {
    False: "in float32, which rounds the sum of image and noise; no theorem covers this rounding",
    True: "on a lattice, where adding it rounds nothing: the proofs hold for the program itself",
}
drawn = [
    f"{name}: noise was drawn {ways[one.exact_arithmetic]}."
    for name, one in sampled.items()
    if not one.noise.outcomes
]
Markdown("\n\n".join(drawn))
