"""Numbers as people read them."""

from __future__ import annotations

from detector.counting.intervals import Interval


def short(value: float) -> str:
    """Three digits, or all of them from a hundred up to 10¹²."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e12 else f"{value:.3g}"


def many(n: int, what: str) -> str:
    """So many of what a noun in the singular names."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def percent(share: float) -> str:
    """A share in whole hundredths."""
    return f"{100 * share:.0f} %"


def tenths(share: float) -> str:
    """A share in tenths of a hundredth."""
    return f"{100 * share:.1f} %"


def half_width(share: float | None) -> str | None:
    """Half the width of an interval as a share of its value; None where that is not known."""
    return None if share is None else f"±{100 * share:.{0 if share >= 0.1 else 1}f} %"


def span(interval: Interval) -> str:
    """The limits of an interval; empty where it has none."""
    return "–".join(map(short, interval.limits or ()))


def fixed(value: float, digits: int) -> str:
    """So many decimals; a minus as wide as a digit, and none before what is rounded to 0."""
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")
