"""What a camera or video gives: pictures, and what went wrong between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

FaultKind = Literal["lost", "frozen", "resized", "ended", "damaged"]
"""What can go wrong: no picture comes, the same one comes again and again, it changes its size, a file holds fewer
pictures than it states, or one that cannot be decoded."""


@dataclass(frozen=True)
class Frame:
    """One picture of a stream."""

    index: int
    """Its place among the pictures that were received, from 0; gaps do not count."""
    time_s: float
    """Seconds since the stream began: by the clock for a camera, by the file for a video."""
    rgb: NDArray[np.uint8]
    """Pixels of shape (h, w, 3); read-only for all who are handed it."""


def same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether two pictures are exactly the same."""
    # Most differ in the first rows; only those that do not are compared as a whole.
    return a.shape == b.shape and np.array_equal(a[::16, ::4], b[::16, ::4]) and np.array_equal(a, b)


@dataclass(frozen=True)
class Fault:
    """Something that went wrong between two pictures."""

    time_s: float
    """Seconds since the stream began."""
    kind: FaultKind
    reason: str
    """For people: what happened, and what is done about it."""


class Source(Protocol):
    """Where pictures come from.

    A context manager, and an iterable of what it gives. Each new iteration connects anew: a camera that is lost is iterated
    again, from another thread where the one before hangs. A fault that it yields does not end it.
    It yields those faults only that it alone can know of (damaged, ended, and a file's lost pictures): `capture` sees for itself
    where pictures stay away, repeat themselves or change their size, and counts and times a live source's pictures anew.

    Raises:
        SourceError: on iterating, where it cannot be opened; the message says what would have worked.
    """

    name: str
    """As the user named it, without passwords."""
    live: bool
    """Whether pictures come at their own pace: the newest counts then, and what nobody had time for is dropped."""
    nominal_fps: float | None
    """Pictures a second that it claims to give, where it claims any; known once it is iterated."""
    ends: bool
    """Whether its end is the end of the stream; else it is a loss, and the source is iterated again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def __iter__(self) -> Iterator[Frame | Fault]: ...
