"""Noises by name: `laplace`, or with parameters of its own, `generalized-normal:exponent=4`."""

from dataclasses import MISSING, asdict, fields

from radii.errors import InputError, check_name
from radii.noises.ablation import Ablation
from radii.noises.base import Noise
from radii.noises.flips import Flips
from radii.noises.gaussian import Gaussian
from radii.noises.generalized_normal import GeneralizedNormal
from radii.noises.l2_radial import ExponentialL2, PowerL2
from radii.noises.laplace import Laplace
from radii.noises.linf_radial import ExponentialLinf, PowerLinf
from radii.noises.pareto import Pareto
from radii.noises.radial import UniformBall
from radii.noises.splitting import IndependentSplitting, Splitting
from radii.noises.uniform import Uniform
from radii.storage.documents import parse_number

KINDS: tuple[type[Noise], ...] = (
    Laplace,
    Gaussian,
    Uniform,
    GeneralizedNormal,
    Splitting,
    IndependentSplitting,
    Ablation,
    Flips,
    UniformBall,
    ExponentialL2,
    ExponentialLinf,
    PowerL2,
    PowerLinf,
    Pareto,
)
NOISES: dict[str, type[Noise]] = {noise.name: noise for noise in KINDS}

USUAL_SIGMA = 0.5


def make_noise(name: str, sigma: float | None = None) -> Noise:
    """The noise that `name` means, `NAME` or `NAME:PARAMETER=NUMBER,...`.

    `sigma`: its standard deviation, 0.5 if neither says it; refused by noises that have none.
    """
    kind, given = _parse(name)
    known = [one.name for one in fields(kind)]
    if sigma is not None:
        if "sigma" not in known:
            raise InputError(f"{kind.name} noise has no sigma: leave it out; it has {', '.join(known)}")
        if "sigma" in given:
            raise InputError(f"sigma is given twice: once in {name!r}")
        given["sigma"] = sigma
    if "sigma" in known:
        given.setdefault("sigma", USUAL_SIGMA)
    for one in fields(kind):
        if one.name not in given and one.default is MISSING:
            raise InputError(f"{kind.name} noise needs {one.name}, for example {example_name(kind)}")
    return kind(**given)


def example_name(kind: type[Noise]) -> str:
    """A name of this kind of noise that `make_noise` takes."""
    given = ",".join(f"{name}={value:g}" for name, value in kind.typical.items())
    return f"{kind.name}:{given}" if given else kind.name


def full_name(noise: Noise) -> str:
    """The name, with all parameters, from which `make_noise` makes it again."""
    return f"{noise.name}:" + ",".join(f"{name}={value!r}" for name, value in asdict(noise).items())


def example(kind: type[Noise], sigma: float = USUAL_SIGMA) -> Noise:
    """One noise of this kind, of this sigma if it has any."""
    known = [one.name for one in fields(kind)]
    return kind(**({"sigma": sigma} if "sigma" in known else {}), **kind.typical)


def _parse(name: str) -> tuple[type[Noise], dict[str, float]]:
    start, _, rest = str(name).partition(":")
    kind = NOISES[check_name("noise", start, NOISES)]
    known = [one.name for one in fields(kind)]
    given: dict[str, float] = {}
    for one in filter(None, rest.split(",")):
        parameter, _, text = one.partition("=")
        check_name(f"parameter of {kind.name} noise", parameter, known)
        try:
            given[parameter] = int(text) if text.isdecimal() else parse_number(text)
        except ValueError:
            raise InputError(
                f"a parameter of a noise is NAME=NUMBER, for example {example_name(kind)}; got {one!r}"
            ) from None
    return kind, given
