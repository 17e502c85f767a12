"""What comes with the package: its version and its configuration files."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def version() -> str:
    """Version of this package as it is installed."""
    from importlib import metadata  # few need it

    try:
        return metadata.version("smearcount")
    except metadata.PackageNotFoundError:
        return "not installed"


def configs() -> Path:
    """The folder of the configuration files."""
    return _folder("configs")


def _folder(name: str) -> Path:
    """A folder of the repository: inside the package when installed, beside it in a checkout."""
    inside = _PACKAGE / Path(name).name
    return inside if inside.is_dir() else _PACKAGE.parent / name
