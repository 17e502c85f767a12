"""Everything that can go wrong and is told to a user, and the exit codes.

SmearcountError                  exit code 3: nothing could be done
├── UsageError                   exit code 2: the command was used wrongly
│   ├── ConfigError              a configuration file or one of its keys
│   ├── ManifestError            a manifest or a table of counts
│   └── MissingExtraError        an optional package is not installed
├── ImageError                   one image could not be read
├── SourceError                  a camera or video could not be opened
├── AnnotationError              an annotation or a dataset folder
│   └── UnknownClassError        a class name that is no blood cell of ours
├── ModelError                   a model file that is none, or not one of ours
├── OutputError                  the place for the results cannot be written
├── DownloadError                a public dataset could not be fetched
└── NothingToDoError             no input left to work on

Every message names the file or option, says what is wrong, and says what would have worked.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXIT_DONE, EXIT_SOME_FAILED, EXIT_WRONG_USE, EXIT_NOTHING_DONE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
"""What a command ends with."""


class SmearcountError(Exception):
    """Base of all errors that a user may see; `exit_code` is what a command ends with."""

    exit_code = EXIT_NOTHING_DONE


class UsageError(SmearcountError):
    """The command or function was called wrongly."""

    exit_code = EXIT_WRONG_USE


class ConfigError(UsageError):
    """A configuration file, or a key in it, is not valid."""


class ManifestError(UsageError):
    """A manifest or a table of counts lacks a column or holds a value that is not valid."""


class MissingExtraError(UsageError):
    """A package of an optional extra is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'smearcount[{extra}]'")


class ImageError(SmearcountError):
    """One image could not be read; the message is its reason, without the path."""


class SourceError(SmearcountError):
    """A camera, video or folder of frames could not be opened, or gave no picture."""


class AnnotationError(SmearcountError):
    """An annotation file or a dataset folder could not be understood."""


class UnknownClassError(AnnotationError):
    """A class name that is not a known cell class or alias."""


class ModelError(SmearcountError):
    """A model file is missing, is not an ONNX model, or lacks the metadata that counting needs."""


class OutputError(SmearcountError):
    """Results cannot be written where they were asked for."""


class DownloadError(SmearcountError):
    """A public dataset could not be downloaded or did not match its checksum."""


class NothingToDoError(SmearcountError):
    """There is no input left to work on."""


@contextmanager
def writing(target: Path, advice: str = "free space or choose another --out") -> Iterator[None]:
    """Say of what the block writes that it cannot be written, and what to do.

    Raises:
        OutputError: the block raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); {advice}") from None
