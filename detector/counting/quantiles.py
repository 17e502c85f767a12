"""Quantiles of known distributions, by SciPy.

Importing SciPy takes a quarter of the time of a count of one field, so it happens when a quantile is first asked for; a
command may let `prepare` do it while a model works.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = TypeVar("Floats", float, NDArray[np.float64])


def prepare() -> None:
    """Import what the others need."""
    import scipy.special  # noqa: F401


def normal(share: Floats) -> Floats:
    """Of the standard normal distribution; `share` may be an array, for an array of its shape."""
    from scipy import special

    quantile: Floats = special.ndtri(share)
    return quantile


def student(degrees: float, share: float) -> float:
    """Of Student's t with so many degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(degrees, share))


def gamma(shape: float, share: float) -> float:
    """Of the gamma distribution with a shape parameter and scale 1."""
    from scipy import special

    return float(special.gammaincinv(shape, share))


def beta(a: float, b: float, share: float) -> float:
    """Of the beta distribution with parameters `a` and `b`."""
    from scipy import special

    return float(special.betaincinv(a, b, share))
