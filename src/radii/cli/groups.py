"""Option groups: a record per group, whose fields are the options and whose title is a heading of the help."""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields
from functools import wraps
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from typer.models import OptionInfo


class Options:
    """The options of one group, as fields of a dataclass; each says in its annotation what typer needs."""

    title: ClassVar[str]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command for typer: each parameter that is a record is replaced by the options that are its fields.

    The help shows them under the title of the record. The command itself is called with records, so that it has few
    arguments, whatever the number of its options.
    """
    hints = get_type_hints(command, include_extras=True)
    options: list[inspect.Parameter] = []
    records: dict[str, tuple[Any, list[str]]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and issubclass(kind, Options)):
            options.append(_option(name, parameter.default, kind))
            continue
        own = get_type_hints(kind, include_extras=True)
        known = fields(kind)  # type: ignore[arg-type]  # a record is a dataclass
        records[name] = kind, [one.name for one in known]
        for one in known:
            default = one.default if one.default_factory is MISSING else one.default_factory()
            options.append(_option(one.name, default, _titled(own[one.name], kind.title)))

    @wraps(command)
    def flat(**given: Any) -> None:
        made = {
            name: kind(**{field: given.pop(field) for field in names})
            for name, (kind, names) in records.items()
        }
        command(**given, **made)

    flat.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in options}
    return flat


def _option(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    # by keyword alone, since one without a default may follow others
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _titled(annotation: Any, title: str) -> Any:
    """An annotation whose option is listed under a title."""
    kind, *extras = get_args(annotation)
    return Annotated[(kind, *(_under(one, title) for one in extras))]


def _under(extra: Any, title: str) -> Any:
    if isinstance(extra, OptionInfo):
        extra = copy(extra)
        extra.rich_help_panel = title
    return extra
