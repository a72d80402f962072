"""Errors and warnings for users: one sentence with what was expected, what came, and how to fix it.

Addresses may contain keys: before the host, as in `s3://USER:PASSWORD@bucket`, or in options, as in `?token=...`.
Commands work with whole addresses. Whatever they print, raise or write is masked by the functions below.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote


class InputError(ValueError):
    """Error in the input of a call, as one sentence: what was expected, what came, how to fix it.

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
    """Error for a name that is not in a list of known ones; it suggests similar ones.

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
    """Warning about something that is not an error but that the user should know; keys in addresses are masked."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(without_keys(sentence))


def check_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`; otherwise raise `UnknownName`, suggesting similar names."""
    names = list(known)
    if isinstance(name, str) and name in names:
        return name
    similar = get_close_matches(str(name).lower(), names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, similar))}?" if similar else f"known: {', '.join(names)}."
    raise UnknownName(f"unknown {kind} {name!r}; {hint}")


def missing_extra(feature: str, extra: str, cause: ImportError) -> MissingExtra:
    """Return the error for a package that is not installed, with the command that installs it."""
    return MissingExtra(f"{feature} needs {cause.name}: run pip install 'radii[{extra}]'")


# keys in addresses --------------------------------------------------------------------------------

MASK = "***"

ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)(:/+)(.+)", re.IGNORECASE | re.DOTALL)
"""Scheme, slashes and the rest. One slash is enough: `pathlib` removes the other."""
IN_TEXT = re.compile(r"(?<![a-z0-9+.-])([0-9+.-]*+)([a-z][a-z0-9+.-]+:/+\S+)", re.IGNORECASE)
"""What stands before an address within its word, and the address. It is searched for once per word: a search from each
letter would take time that grows with the square of the text, and texts come from files."""
HOST = re.compile(r"(\[[^\]]*\]|[^:@]*)(:\d*)?")
"""A host or a bucket, with or without a port, without a user."""
PUNCTUATION = "'\"`<>(){}[],.;:!"
"""Characters that may follow an address in a sentence."""

HARMLESS = """
region scheme endpoint_override allow_bucket_creation allow_bucket_deletion allow_delayed_open background_writes
check_directory_existence_before_creation force_virtual_addressing smart_defaults tls_ca_file_path
tls_verify_certificates project_id retry_limit_seconds blob_storage_authority blob_storage_scheme dfs_storage_authority
dfs_storage_scheme enable_tls credential_kind tenant_id client_id replication buffer_size default_block_size
"""
OPTIONS = frozenset(HARMLESS.split())
"""Options of pyarrow's object stores whose values are not keys. pyarrow rejects unknown options, so all others can be
masked without hiding anything useful."""

AZURE = ("abfs", "abfss")
"""Schemes with a container in the place of the user: `abfss://CONTAINER@ACCOUNT`."""
WEB = ("http", "https")
KEY_NAMES = re.compile("key|secret|token|pass|pwd|sig|cred|auth|code|sas|session|amz|goog", re.IGNORECASE)
"""What the names of options with keys contain at HTTP endpoints, which are free to choose names. Other options are
shown, since votes of `?model=a` and of `?model=b` must be told apart."""

SHORTEST = 4
"""Characters of the shortest key that is masked anywhere in a text: shorter strings occur in ordinary words."""


def shown(address: object) -> str:
    """Return an address with `***` in place of its keys; any other text, for example a path, unchanged."""
    return _mask(str(address))[0]


def without_keys(text: str, about: object = "") -> str:
    """Return `text` with the keys of all addresses in it masked.

    `about`: an address that the text is about. Its keys are masked anywhere in the text, percent-encoded or not,
    because libraries quote keys alone, or addresses that are cut within a key at a space.
    """
    for key in _mask(str(about))[1]:
        for form in {key, unquote(key)}:
            text = text.replace(form, MASK) if len(form) >= SHORTEST else text
    return IN_TEXT.sub(_mask_match, text)


def _mask_match(match: re.Match[str]) -> str:
    before, text = match.groups()
    address = text.rstrip(PUNCTUATION)
    return before + shown(address) + text[len(address) :]


def _mask(text: str) -> tuple[str, list[str]]:
    """Return an address with masked keys, and the keys, in the order of replacement: whole ones before their parts."""
    match = ADDRESS.fullmatch(text)
    if match is None or (scheme := match[1].lower()) == "file":
        return text, []
    user, rest = _split_user(scheme, match[3])
    path, *query = re.split(r"([?#].*)", rest, maxsplit=1, flags=re.DOTALL)
    options = [_mask_option(scheme, option) for option in re.split(r"([?#&;])", "".join(query))]
    keys = [user, *user.split(":"), *(key for _, key in options)]
    user_mask = MASK + "@" * (path[:1] not in ("/", "")) if user else ""
    masked = f"{match[1]}{match[2]}{user_mask}{path}{''.join(option for option, _ in options)}"
    return masked, list(filter(None, keys))


def _split_user(scheme: str, rest: str) -> tuple[str, str]:
    """Return user and password, "" if there are none, and what follows them."""
    first = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if HOST.fullmatch(first) and (scheme in WEB or ":" not in first or "@" not in rest):
        return "", rest
    if ":" not in first and scheme in AZURE:
        return "", rest
    # a password may contain "@" and "/", so after a colon the last "@" ends it; a user alone contains no "/"
    end = rest.rfind("@") if ":" in first else first.rfind("@")
    if end < 0:  # an address in a text that was cut at a space within the password
        return ("", rest) if scheme in WEB else (first, rest[len(first) :])
    return rest[:end], rest[end + 1 :]


def _mask_option(scheme: str, option: str) -> tuple[str, str]:
    """Return an option, or a separator of two, with its key masked, and the key, "" if there is none."""
    name, _, value = option.partition("=")
    if not value.strip("="):  # no name; "==" may be the padding of a key in base64
        return (option, "") if option in tuple("?#&;") or not option else (MASK, option)
    harmless = name in OPTIONS or (scheme in WEB and not KEY_NAMES.search(unquote(name)))
    # the value may be an address that contains a user itself
    return (option, "") if harmless and "@" not in unquote(value) else (f"{name}={MASK}", value)
