"""Errors that a user can mend: one sentence with what was expected, what came, and what to do.

An address may hold keys before its host, as in `s3://USER:PASSWORD@bucket`, and in its options, as in `?token=...`.
Commands pass whole addresses on; what they print, raise or write is masked here.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote

MASK = "***"

PARTS = re.compile(r"([a-z][a-z0-9+.-]+)(:/+)(.+)", re.IGNORECASE | re.DOTALL)
"""Scheme, slashes and the rest. `pathlib` takes one of two slashes away."""
IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]+:/+\S+", re.IGNORECASE)
HOST = re.compile(r"(\[[^\]]*\]|[^:@]*)(:\d*)?")
"""A host, or a bucket, with or without a port, and no user."""
AFTER = "'\"`<>(){}[],.;:!"
"""Marks that may follow an address in a sentence."""

HARMLESS = """
region scheme endpoint_override allow_bucket_creation allow_bucket_deletion allow_delayed_open background_writes
check_directory_existence_before_creation force_virtual_addressing smart_defaults tls_ca_file_path
tls_verify_certificates project_id retry_limit_seconds blob_storage_authority blob_storage_scheme dfs_storage_authority
dfs_storage_scheme enable_tls credential_kind tenant_id client_id replication buffer_size default_block_size
"""
OPTIONS = frozenset(HARMLESS.split())
"""Options of pyarrow's object stores that hold no key. It refuses any other name, so another one is shown masked."""

AZURE = ("abfs", "abfss")
"""A container of Azure stands where a user does: `abfss://CONTAINER@ACCOUNT`."""
WEB = ("http", "https")
KEYS = re.compile("key|secret|token|pass|pwd|sig|cred|auth|code|sas|session|amz|goog", re.IGNORECASE)
"""What the names of options with keys contain at endpoints, which name their options as they like. Others are shown:
votes of `?model=a` and of `?model=b` must not look alike."""

SHORTEST = 4
"""Letters of the shortest key that is masked wherever it stands: a shorter one stands in many words."""


def shown(address: object) -> str:
    """Return an address with `***` in place of its keys; any other text, for example a path, as it is."""
    return _apart(str(address))[0]


def without_keys(text: str, about: object = "") -> str:
    """Return `text` with each address in it as `shown`.

    `about`: an address that the text is about. Its keys are masked wherever they stand, encoded or not: libraries quote
    keys by themselves, and addresses that end within a key, at a space.
    """
    for key in _apart(str(about))[1]:
        for form in {key, unquote(key)}:
            text = text.replace(form, MASK) if len(form) >= SHORTEST else text
    return IN_TEXT.sub(_shown_in_text, text)


def _shown_in_text(found: re.Match[str]) -> str:
    address = found[0].rstrip(AFTER)
    return shown(address) + found[0][len(address) :]


def _apart(text: str) -> tuple[str, list[str]]:
    """An address as it is shown, and its keys; whole ones come before their parts."""
    parts = PARTS.fullmatch(text)
    if parts is None or (scheme := parts[1].lower()) == "file":
        return text, []
    user, place = _user_and_place(scheme, parts[3])
    place, *options = re.split(r"([?#].*)", place, maxsplit=1, flags=re.DOTALL)
    pieces = [_option(scheme, one) for one in re.split(r"([?#&;])", "".join(options))]
    keys = [user, *user.split(":"), *(key for _, key in pieces)]
    words = "".join(word for word, _ in pieces)
    mask = MASK + "@" * (place[:1] not in ("/", "")) if user else ""
    return f"{parts[1]}{parts[2]}{mask}{place}{words}", list(filter(None, keys))


def _user_and_place(scheme: str, rest: str) -> tuple[str, str]:
    """User and password, or nothing, and what follows them."""
    first = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if HOST.fullmatch(first) and (scheme in WEB or ":" not in first or "@" not in rest):
        return "", rest
    if ":" not in first and scheme in AZURE:
        return "", rest
    # a password may hold any letter
    end = rest.rfind("@") if ":" in first else first.rfind("@")
    if end < 0:  # cut at a space
        return ("", rest) if scheme in WEB else (first, rest[len(first) :])
    return rest[:end], rest[end + 1 :]


def _option(scheme: str, option: str) -> tuple[str, str]:
    """An option, or a mark between two, as it is shown, and the key in it or nothing."""
    name, _, value = option.partition("=")
    if not value.strip("="):  # no name, so that all of it may be the key
        return (option, "") if option in tuple("?#&;") or not option else (MASK, option)
    harmless = name in OPTIONS or (scheme in WEB and not KEYS.search(unquote(name)))
    return (option, "") if harmless and "@" not in unquote(value) else (f"{name}={MASK}", value)


class InputError(ValueError):
    """Error in the input of a call, as one sentence: what was expected, what came, what to do.

    Parameters
    ----------
    sentence
        The message; keys in addresses are masked, since messages end up in logs.

    Examples
    --------
    >>> import radii
    >>> radii.fixed(0)
    Traceback (most recent call last):
        ...
    radii.errors.InputError: n must be a whole number of at least 1; got 0
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(without_keys(sentence))


class UnknownName(InputError, LookupError):
    """Error for a name that is not in a list of known ones; it suggests near ones.

    Examples
    --------
    >>> import radii
    >>> radii.make_noise("gausian")
    Traceback (most recent call last):
        ...
    radii.errors.UnknownName: unknown noise 'gausian'; did you mean 'gaussian'?
    """


class MissingExtra(InputError, ImportError):
    """Error for a feature whose optional packages are missing, with the command that installs them."""


class RadiiWarning(UserWarning):
    """Something that is not wrong, and that the user may want to know; keys in addresses are masked."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(without_keys(sentence))


def check_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`; otherwise raise, naming the near ones."""
    names = list(known)
    if isinstance(name, str) and name in names:
        return name
    near = get_close_matches(str(name).lower(), names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known: {', '.join(names)}."
    raise UnknownName(f"unknown {kind} {name!r}; {hint}")


def missing_extra(feature: str, extra: str, cause: ImportError) -> MissingExtra:
    """The error for an optional package that is not there, with the command that installs it."""
    return MissingExtra(f"{feature} needs {cause.name}: run pip install 'radii[{extra}]'")
