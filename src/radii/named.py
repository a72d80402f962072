"""Documents that come with the package by name, or one's own by their path."""

from pathlib import Path

from radii.errors import check_name


def names_in(folder: Path) -> list[str]:
    """The names of the TOML files of a folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def toml_path(name: str | Path, folder: Path, what: str) -> Path:
    """NAME.toml in `folder`, or `name` itself where it ends so, whether or not it is there; `what` it should be."""
    path = Path(name)
    if path.suffix == ".toml":
        return path
    return folder / f"{check_name(what, str(name), names_in(folder))}.toml"
