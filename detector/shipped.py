"""What comes with the package: its version, and folders of the repository that are in the wheel too."""

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


def samples() -> Path:
    """The folder of the sample fields, which are rendered, with their true counts."""
    return _folder("datasets/samples")


def sources() -> Path:
    """The folder of the descriptors of public datasets."""
    return _folder("datasets/sources")


def _folder(name: str) -> Path:
    """A folder of the repository: inside the package when installed, beside it in a checkout."""
    inside = _PACKAGE / Path(name).name
    return inside if inside.is_dir() else _PACKAGE.parent / name
