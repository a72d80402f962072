"""Noises by name: `laplace`, or with parameters, `generalized-normal:exponent=4`."""

from dataclasses import MISSING, fields

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
"""Noise classes by name."""

USUAL_SIGMA = 0.5


def make_noise(name: str, sigma: float | None = None) -> Noise:
    """Build a noise from its name.

    Parameters
    ----------
    name : str
        `NAME` or `NAME:PARAMETER=NUMBER,...`, where `NAME` is a key of `NOISES`.
    sigma : float, optional
        Standard deviation of one feature, in image units, for noises that have it; 0.5 by default.

    Returns
    -------
    Noise
        The noise with these parameters.

    Raises
    ------
    InputError
        If a parameter is unknown, missing, given twice or out of range, or if the noise has no sigma.

    Examples
    --------
    >>> import radii
    >>> radii.make_noise("laplace", 0.25)
    Laplace(sigma=0.25)
    >>> radii.make_noise("power-l2:tail=7,sigma=1")
    PowerL2(sigma=1.0, tail=7)
    """
    kind, parameters = _parse(name)
    known = _parameters(kind)
    if sigma is not None:
        if "sigma" not in known:
            raise InputError(f"{kind.name} noise has no sigma: leave it out; it has {', '.join(known)}")
        if "sigma" in parameters:
            raise InputError(f"sigma is given twice: once in {name!r}")
        parameters["sigma"] = sigma
    if "sigma" in known:
        parameters.setdefault("sigma", USUAL_SIGMA)
    # the class itself would raise a TypeError, without an example
    for field in fields(kind):
        if field.name not in parameters and field.default is MISSING:
            raise InputError(f"{kind.name} noise needs {field.name}, for example {example_name(kind)}")
    return kind(**parameters)


def example_name(kind: type[Noise]) -> str:
    """Return a name from which `make_noise` makes an example of this class."""
    parameters = ",".join(f"{name}={value:g}" for name, value in kind.typical.items())
    return f"{kind.name}:{parameters}" if parameters else kind.name


def full_name(noise: Noise) -> str:
    """Return the name with all parameters, from which `make_noise` makes an equal noise."""
    # repr, unlike `:g`, keeps every digit, so that the noise is equal
    return f"{noise.name}:" + ",".join(f"{name}={value!r}" for name, value in noise.parameters.items())


def example(kind: type[Noise], sigma: float = USUAL_SIGMA) -> Noise:
    """Return an example of this class, with this sigma if it has one."""
    return kind(**({"sigma": sigma} if "sigma" in _parameters(kind) else {}), **kind.typical)


def _parameters(kind: type[Noise]) -> list[str]:
    return [field.name for field in fields(kind)]


def _parse(name: str) -> tuple[type[Noise], dict[str, float]]:
    """Return the class and the parameters that a name gives."""
    start, _, rest = str(name).partition(":")
    kind = NOISES[check_name("noise", start, NOISES)]
    parameters: dict[str, float] = {}
    for assignment in filter(None, rest.split(",")):
        parameter, _, text = assignment.partition("=")
        check_name(f"parameter of {kind.name} noise", parameter, _parameters(kind))
        try:
            # whole numbers stay int: some parameters, such as `tail`, take nothing else
            parameters[parameter] = int(text) if text.isdecimal() else parse_number(text)
        except ValueError:
            raise InputError(
                f"a parameter of a noise is NAME=NUMBER, for example {example_name(kind)}; got {assignment!r}"
            ) from None
    return kind, parameters
