"""Class names are understood by what they mean."""

from __future__ import annotations

import pytest

from detector.errors import UnknownClassError
from detector.vision import cells


@pytest.mark.parametrize(
    ("name", "label"),
    [("RBC", 0), ("wbc", 1), ("Platelets", 2), ("Platelet", 2), ("PLT", 2), ("red blood cell", 0), ("White_Blood-Cells", 1)],
)
def test_aliases(name: str, label: int) -> None:
    assert cells.label_of(name) == label


@pytest.mark.parametrize("name", ["", "cell", "0", "RBC2", "neutrophil", "WBC %", "RBC ±"])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownClassError, match="RBC, WBC, Platelets"):
        cells.label_of(name)
