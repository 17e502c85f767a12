"""The cell classes: one order, one spelling, and the names that others give them."""

from __future__ import annotations

from detector.errors import UnknownClassError

CLASSES: tuple[str, ...] = ("RBC", "WBC", "Platelets")
"""Class names by label: `CLASSES[label]`. Constant; no file's own numbering is ever trusted."""

RBC, WBC, PLATELETS = range(3)

IGNORE = "ignore"
"""What label files call a region that nobody could label surely. It is no class: training and evaluation leave out what lies there."""

RBC_DIAMETER_UM = 7.5
"""Mean diameter of a normal red cell on a dried smear, in micrometres (Bain, Blood Cells, 5th ed.: 6.7 to 7.7)."""

_ALIASES: dict[str, int] = {
    "rbc": RBC,
    "rbcs": RBC,
    "redbloodcell": RBC,
    "redbloodcells": RBC,
    "redcell": RBC,
    "redcells": RBC,
    "erythrocyte": RBC,
    "erythrocytes": RBC,
    "wbc": WBC,
    "wbcs": WBC,
    "whitebloodcell": WBC,
    "whitebloodcells": WBC,
    "whitecell": WBC,
    "whitecells": WBC,
    "leukocyte": WBC,
    "leukocytes": WBC,
    "leucocyte": WBC,
    "leucocytes": WBC,
    "plt": PLATELETS,
    "plts": PLATELETS,
    "platelet": PLATELETS,
    "platelets": PLATELETS,
    "thrombocyte": PLATELETS,
    "thrombocytes": PLATELETS,
}


_OTHER_QUANTITIES = frozenset("%‰±")
"""Marks that make a column's name one of shares or errors of cells, and not of cells."""


def label_of(name: str) -> int:
    """Label of a class name or alias, whatever its case, spaces, hyphens or underscores.

    Raises:
        UnknownClassError: the name is none of them; the message lists the known names.
    """
    key = "" if _OTHER_QUANTITIES & set(name) else "".join(c for c in name.casefold() if c.isalnum())
    try:
        return _ALIASES[key]
    except KeyError:
        names = ", ".join(CLASSES)
        raise UnknownClassError(
            f"unknown cell class {name!r}; known: {names}, or an alias such as Platelet, PLT, erythrocyte"
        ) from None
