"""Option groups: a record per group, whose fields are the options and whose title is a heading of the help."""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields
from functools import wraps
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from typer.models import OptionInfo


class Options:
    """Base of the records: dataclasses whose fields are options, annotated as typer reads them."""

    title: ClassVar[str]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command for typer: each parameter that is a record is replaced by the options that are its fields.

    The help lists them under the title of the record. The command itself is called with records, so that it has few
    parameters, whatever the number of its options.
    """
    hints = get_type_hints(command, include_extras=True)
    options: list[inspect.Parameter] = []
    records: dict[str, tuple[Any, list[str]]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and issubclass(kind, Options)):
            options.append(_option(name, parameter.default, kind))
            continue
        annotations = get_type_hints(kind, include_extras=True)
        # in the order of the fields, which is that of the help
        members = fields(kind)  # type: ignore[arg-type]  # a record is a dataclass
        records[name] = kind, [member.name for member in members]
        for member in members:
            default = member.default if member.default_factory is MISSING else member.default_factory()
            if default is MISSING:
                # an option without a default is required
                default = inspect.Parameter.empty
            options.append(_option(member.name, default, _titled(annotations[member.name], kind.title)))

    @wraps(command)
    def flat(**values: Any) -> None:
        made = {
            name: kind(**{field: values.pop(field) for field in names})
            for name, (kind, names) in records.items()
        }
        # the values that are left belong to parameters that are not records
        command(**values, **made)

    # `wraps` alone would show the signature of the command; typer reads this one, and test_completion the annotations
    flat.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    flat.__annotations__ = {option.name: option.annotation for option in options}
    return flat


def _option(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    # keyword-only, since a parameter without a default may follow others
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _titled(annotation: Any, title: str) -> Any:
    """Return the annotation with its option under `title`, unless it names a heading itself."""
    kind, *extras = get_args(annotation)
    return Annotated[(kind, *(_under(extra, title) for extra in extras))]


def _under(extra: Any, title: str) -> Any:
    if isinstance(extra, OptionInfo) and not extra.rich_help_panel:
        # a copy, since several records may share one annotation
        extra = copy(extra)
        extra.rich_help_panel = title
    return extra
