"""Where each view of a stream lies on the smear.

Views are registered with keyframes, which are kept all over the area that was seen, and not only with the view before: errors then do
not add up over a long way, and a place that is visited again is known again. A new keyframe's own place is the mean by all that it
overlaps, so that the ends of a loop meet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detector.streams.placing import registration
from detector.streams.placing.registration import Texture, Vector

MOST_KEYFRAMES = 2000
"""More are not kept; of a larger area, the places seen longest ago are not known again."""

_APART = 0.35
"""Keyframes lie so far apart, in sides of the view."""
_NEIGHBOURS = 4
_AGREE = 0.02
"""Two keyframes give one place where they differ by less than this share of the view's long side."""
_CANDIDATES = 5
_LEAST_RESEMBLANCE = 0.6


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A view whose place is known."""

    number: int
    segment: int
    xy: Vector
    """Upper left corner of the view in its segment, in px of the frame."""
    texture: Texture


@dataclass(frozen=True)
class Located:
    """Where a view is."""

    segment: int
    place_px: Vector | None
    """Upper left corner in its segment, in px of the frame; None where it could not be told."""
    shift_px: Vector | None
    """Way from the view before; None where that is not known."""
    reason: str = ""
    """Why the place is not known, or what began with this view."""


@dataclass(frozen=True, eq=False)
class _Before:
    """The view before."""

    texture: Texture
    place: Vector | None


class Tracker:
    """Follows the view over the smear; each segment has coordinates of its own, in which its first view lies at (0, 0)."""

    def __init__(self) -> None:
        self.segment = 0
        """Number of the present segment; 0 before the first."""
        self.began: dict[int, str] = {}
        """Why each segment began."""
        self._keyframes: dict[int, Keyframe] = {}
        self._grid: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        self._before: _Before | None = None
        self._velocity: Vector = (0.0, 0.0)
        self._place: Vector | None = None
        """Last place that was known."""
        self._scale = 1.0
        self._made = 0
        self._why = "the stream began"

    def interrupt(self, reason: str) -> None:
        """Note that views are missing: what comes next may lie anywhere."""
        self._before = None
        self._velocity = (0.0, 0.0)
        self._why = reason

    def locate(self, texture: Texture, scale: float, sharp: bool) -> Located:
        """Find the place of the next view.

        Args:
            texture: the view, made small by `scale`.
            sharp: whether it may become a keyframe.
        """
        if self._before is not None and (self._before.texture.shape, self._scale) != (texture.shape, scale):
            self.interrupt("the pictures changed their size")
        self._scale = scale
        before = self._before
        if registration.plain(texture):
            self._before = _Before(texture, None)
            return Located(self.segment, None, None, "nothing visible in the view")
        place = self._followed(texture) if before is not None and before.place is not None else None
        reason = ""
        if place is None:
            place = self._found_again(texture) if sharp or not self.segment else None
            if place is None:
                if self.segment and not (sharp and self._steady(texture)):
                    self._before = _Before(texture, None)
                    return Located(self.segment, None, None, "position lost")
                place, reason = self._begin(), self._why
            before = None
        shift = None if before is None or before.place is None else (place[0] - before.place[0], place[1] - before.place[1])
        self._velocity = shift or (0.0, 0.0)
        self._before, self._place = _Before(texture, place), place
        self._why = "the position was lost: the stage moved too fast, or the view showed too little"
        if sharp:
            self._keep(texture, place)
        return Located(self.segment, self._px(place), shift and self._px(shift), reason)

    def _px(self, xy: Vector) -> Vector:
        return xy[0] / self._scale, xy[1] / self._scale

    def _begin(self) -> Vector:
        self.segment += 1
        self.began[self.segment] = self._why
        return 0.0, 0.0

    def _steady(self, texture: Texture) -> bool:
        """Whether this view can be placed by the one before: a new segment begins only where it can be followed on."""
        return self._before is not None and (
            registration.near(self._before.texture, texture, (0.0, 0.0)) is not None
            or registration.anywhere(self._before.texture, texture) is not None
        )

    def _followed(self, texture: Texture) -> Vector | None:
        """The place by the way so far: near where the view was heading, else near where it was, else by the view before."""
        assert self._before is not None
        assert self._before.place is not None
        x, y = self._before.place
        for guess in ((x + self._velocity[0], y + self._velocity[1]), (x, y)):
            for keyframe in self._nearest(guess, texture, 2):
                if place := self._by(keyframe, texture, guess):
                    return place
        moved = registration.near(self._before.texture, texture, self._velocity)
        if moved := moved or registration.anywhere(self._before.texture, texture):
            guess = (x + moved.xy[0], y + moved.xy[1])
            by_keyframes = (self._by(keyframe, texture, guess) for keyframe in self._nearest(guess, texture, 2))
            return next((place for place in by_keyframes if place), guess)
        return None

    def _by(self, keyframe: Keyframe, texture: Texture, guess: Vector) -> Vector | None:
        shift = registration.near(keyframe.texture, texture, (guess[0] - keyframe.xy[0], guess[1] - keyframe.xy[1]))
        return None if shift is None else (keyframe.xy[0] + shift.xy[0], keyframe.xy[1] + shift.xy[1])

    def _found_again(self, texture: Texture) -> Vector | None:
        """The place of a view that comes from anywhere, by the keyframes of all segments; sets the segment."""
        alike = [keyframe for keyframe in self._keyframes.values() if keyframe.texture.shape == texture.shape]
        scored = [(registration.resemblance(keyframe.texture, texture), -keyframe.number, keyframe) for keyframe in alike]
        for score, _, keyframe in sorted(scored, key=lambda row: row[:2], reverse=True)[:_CANDIDATES]:
            if score < _LEAST_RESEMBLANCE:
                break
            shift = registration.by_pieces(keyframe.texture, texture)
            if shift is None:
                continue
            place = (keyframe.xy[0] + shift.xy[0], keyframe.xy[1] + shift.xy[1])
            if self._borne_out(texture, place, keyframe):
                self.segment = keyframe.segment
                return place
        return None

    def _borne_out(self, texture: Texture, place: Vector, by: Keyframe) -> bool:
        """Whether the other keyframes that a place overlaps well say the same."""
        others = [
            keyframe
            for keyframe in self._around(place, texture, by.segment)
            if keyframe is not by and self._overlap(keyframe, place, texture) > 0.3
        ]
        return all(self._agrees(self._by(keyframe, texture, place), place, texture) for keyframe in others[:_NEIGHBOURS])

    def _agrees(self, place: Vector | None, other: Vector, texture: Texture) -> bool:
        return place is not None and max(abs(place[0] - other[0]), abs(place[1] - other[1])) < _AGREE * max(texture.shape)

    def _keep(self, texture: Texture, place: Vector) -> None:
        """Make the view a keyframe where there is none near."""
        h, w = texture.shape
        near = self._nearest(place, texture, _NEIGHBOURS)
        if near and max(abs(near[0].xy[0] - place[0]) / w, abs(near[0].xy[1] - place[1]) / h) < _APART:
            return
        places = [(self._by(keyframe, texture, place), self._overlap(keyframe, place, texture)) for keyframe in near]
        said = [(xy, weight) for xy, weight in places if xy is not None and self._agrees(xy, place, texture)]
        if said:
            mean = np.average([xy for xy, _ in said], axis=0, weights=[weight for _, weight in said])
            place = (float(mean[0]), float(mean[1]))
        self._made += 1
        self._keyframes[self._made] = Keyframe(self._made, self.segment, place, texture)
        self._grid[self._grid_key(place, texture, self.segment)].append(self._made)
        if len(self._keyframes) > MOST_KEYFRAMES:
            oldest = self._keyframes.pop(next(iter(self._keyframes)))
            self._grid[self._grid_key(oldest.xy, oldest.texture, oldest.segment)].remove(oldest.number)

    def _grid_key(self, xy: Vector, texture: Texture, segment: int) -> tuple[int, int, int]:
        h, w = texture.shape
        return segment, int(xy[0] // w), int(xy[1] // h)

    def _around(self, place: Vector, texture: Texture, segment: int) -> Iterator[Keyframe]:
        """Keyframes of a segment that a view may overlap."""
        _, i, j = self._grid_key(place, texture, segment)
        for u in (i - 1, i, i + 1):
            for v in (j - 1, j, j + 1):
                for number in self._grid.get((segment, u, v), ()):
                    if self._keyframes[number].texture.shape == texture.shape:
                        yield self._keyframes[number]

    def _nearest(self, place: Vector, texture: Texture, most: int) -> list[Keyframe]:
        """Keyframes of the present segment that overlap a view, the best first."""
        scored = (
            (self._overlap(keyframe, place, texture), keyframe.number, keyframe)
            for keyframe in self._around(place, texture, self.segment)
        )
        return [keyframe for overlap, _, keyframe in sorted(scored, key=lambda row: (-row[0], row[1]))[:most] if overlap > 0]

    def _overlap(self, keyframe: Keyframe, place: Vector, texture: Texture) -> float:
        h, w = texture.shape
        dx, dy = abs(keyframe.xy[0] - place[0]), abs(keyframe.xy[1] - place[1])
        return float(max(0.0, 1 - dx / w) * max(0.0, 1 - dy / h))
