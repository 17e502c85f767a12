"""Stains: what each part of a smear absorbs, so how it looks in a photograph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detector.errors import UsageError

Colour = tuple[float, float, float]
"""Red, green, blue."""


@dataclass(frozen=True)
class Stain:
    """The look of one slide: bare glass as RGB in 0 to 255, and optical densities per channel where a part is thickest.

    Densities are natural logarithms of glass over part (Beer-Lambert), so parts that lie over each other add up.
    """

    name: str
    glass: Colour
    red: Colour
    nucleus: Colour
    cytoplasm: Colour
    """Of neutrophils and eosinophils between their granules."""
    plasma: Colour
    """Cytoplasm of lymphocytes and monocytes, which takes the blue dye."""
    granule: Colour
    """Of eosinophils."""
    platelet: Colour
    pallor: tuple[float, float]
    """Lowest and highest share of its density that a red cell lacks in the middle."""
    chromatin: float
    """Contrast of the clumps within nuclei."""
    defocus_um: tuple[float, float]
    """Smallest and largest blur of a photograph, as the standard deviation of a Gaussian."""
    halo: float
    """Strength of the bright fringe around cells, from diffraction and from sharpening in the camera."""
    noise: float
    """Standard deviation of the sensor's noise in grey levels at full light."""
    vignetting: tuple[float, float]
    """Least and greatest share of the light that is lost in the corners."""

    def varied(self, rng: np.random.Generator) -> Stain:
        """Another slide of the same laboratory: glass, dye strength and balance a little different."""

        r, g, b = shifted(rng, self.glass, 0.012, 0.004)
        return replace(
            self,
            glass=(min(r, 254.0), min(g, 254.0), min(b, 254.0)),
            red=shifted(rng, self.red, 0.07, 0.02),
            nucleus=shifted(rng, self.nucleus, 0.07, 0.02),
            cytoplasm=shifted(rng, self.cytoplasm, 0.07, 0.02),
            plasma=shifted(rng, self.plasma, 0.07, 0.02),
            granule=shifted(rng, self.granule, 0.07, 0.02),
            platelet=shifted(rng, self.platelet, 0.07, 0.02),
        )


def shifted(rng: np.random.Generator, colour: Colour, strength: float, hue: float) -> Colour:
    """A colour or density scaled at random: by `strength` as a whole and by `hue` in each channel, both relative."""
    r, g, b = colour * np.exp(rng.normal(0, strength) + rng.normal(0, hue, 3))
    return float(r), float(g), float(b)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A colour or density of which `share` is the second's."""
    r, g, b = (1 - share) * np.array(first) + share * np.array(second)
    return float(r), float(g), float(b)


# Medians over the fields of each data set: glass from the brightest twentieth, red cells at two thirds of their radius,
# nuclei and platelets in the middle of their boxes.
_BCCD = Stain(
    name="bccd",
    glass=(205, 206, 203),
    red=(0.13, 0.31, 0.28),
    nucleus=(0.72, 1.08, 0.06),
    cytoplasm=(0.13, 0.24, 0.06),
    plasma=(0.22, 0.20, 0.03),
    granule=(0.10, 0.42, 0.30),
    platelet=(0.40, 0.54, 0.06),
    pallor=(0.15, 0.80),
    chromatin=0.14,
    defocus_um=(0.06, 0.12),
    halo=0.35,
    noise=1.6,
    vignetting=(0.02, 0.08),
)
_PBC = Stain(
    name="pbc",
    glass=(253, 229, 204),
    red=(0.27, 0.41, 0.25),
    nucleus=(1.25, 1.75, 0.50),
    cytoplasm=(0.18, 0.34, 0.16),
    plasma=(0.52, 0.52, 0.16),
    granule=(0.16, 0.60, 0.45),
    platelet=(0.62, 1.05, 0.26),
    pallor=(0.35, 0.98),
    chromatin=0.22,
    defocus_um=(0.05, 0.09),
    halo=0.25,
    noise=1.2,
    vignetting=(0.0, 0.04),
)
_RAABIN = Stain(
    name="raabin",
    glass=(220, 187, 174),
    red=(0.40, 0.58, 0.31),
    nucleus=(0.66, 1.65, 0.48),
    cytoplasm=(0.16, 0.38, 0.16),
    plasma=(0.38, 0.52, 0.14),
    granule=(0.12, 0.62, 0.42),
    platelet=(0.38, 0.95, 0.30),
    pallor=(0.20, 0.85),
    chromatin=0.12,
    defocus_um=(0.08, 0.17),
    halo=0.12,
    noise=1.6,
    vignetting=(0.05, 0.16),
)
PRESETS: dict[str, Stain] = {stain.name: stain for stain in (_BCCD, _PBC, _RAABIN)}
"""Looks by name, each after the data set of that name: BCCD, PBC (Acevedo et al. 2020) and Raabin-WBC."""
_GLASS: tuple[Colour, ...] = (
    (248, 248, 248), (205, 206, 203), (170, 172, 170), (120, 125, 118), (100, 135, 168), (150, 175, 200), (165, 188, 172),
    (218, 244, 226), (253, 229, 204), (235, 225, 185), (220, 187, 174), (246, 232, 248), (222, 212, 235),
)  # fmt: skip
"""Grounds: white, grey, dim, blue, green, yellow, violet."""
_RED: tuple[Colour, ...] = (
    (0.13, 0.31, 0.28), (0.27, 0.41, 0.25), (0.40, 0.58, 0.31), (0.07, 0.95, 0.60), (0.17, 0.49, 0.37), (0.25, 0.70, 0.55),
    (0.27, 0.59, 0.20), (0.60, 0.60, 0.30), (0.14, 0.22, 0.15), (0.35, 0.38, 0.36),
)  # fmt: skip
"""Red cells: brown, rose, red, pink, violet, blue-grey, faint, grey."""
_LEAST_NUCLEUS = 1.5
"""Density of nuclei over that of red cells, summed over the channels, that a stain made at random has at the least."""


def drawn(rng: np.random.Generator) -> Stain:
    """A stain made at random: any ground, any strength of eosin and of haematoxylin, hues between those of the presets."""
    names = rng.permutation(list(PRESETS))
    first, second, share = PRESETS[names[0]], PRESETS[names[1]], rng.random()
    eosin, azure = (float(v) for v in np.exp(rng.uniform(np.log(0.65), np.log(1.45), 2)))
    red, other_red = rng.choice(len(_RED), 2)
    made = replace(
        first,
        name="drawn",
        red=_scaled(mixed(_RED[red], _RED[other_red], rng.uniform(0, 0.5)), eosin),
        nucleus=_scaled(mixed(first.nucleus, second.nucleus, share), azure),
        cytoplasm=_scaled(mixed(first.cytoplasm, second.cytoplasm, share), rng.uniform(0.3, 1.3)),
        plasma=_scaled(mixed(first.plasma, second.plasma, share), azure),
        granule=_scaled(mixed(first.granule, second.granule, share), eosin),
        platelet=_scaled(mixed(first.platelet, second.platelet, share), azure),
        pallor=(rng.uniform(0.0, 0.4), rng.uniform(0.4, 0.95)),
        chromatin=rng.uniform(0.1, 0.22),
    ).varied(rng)
    glass = _scaled(_GLASS[rng.integers(len(_GLASS))], rng.uniform(0.85, 1.02))
    lacking = max(1.0, _LEAST_NUCLEUS * sum(made.red) / sum(made.nucleus))
    return replace(made, glass=glass, nucleus=_scaled(made.nucleus, lacking))


def _scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = colour
    return min(r * factor, 254.0), min(g * factor, 254.0), min(b * factor, 254.0)


def preset(name: str) -> Stain:
    """The stain of that name.

    Raises:
        UsageError: there is none; the message lists those that there are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UsageError(f"unknown stain {name!r}; known: {', '.join(PRESETS)}") from None
