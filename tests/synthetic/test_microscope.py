"""The simulated microscope: what its address may say, and where it looks."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import ConfigError, UsageError
from detector.synthetic import microscope
from detector.synthetic.microscope import Microscope


def test_an_address_names_a_preset_and_changes_its_settings() -> None:
    read = microscope.parse("fake:vibration?seed=3&drift=0.2&live=true")
    assert (read.path, read.vibration, read.seed, read.drift, read.live) == ("serpentine", 0.3, 3, 0.2, True)
    assert microscope.parse("fake:").path == "serpentine"
    for name in microscope.PRESETS:
        microscope.parse(f"fake:{name}")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("fake:serpentin", "did you mean 'serpentine'"),
        ("fake:pan?vibrations=1", "did you mean 'vibration'"),
        ("fake:pan?speed=-1", "speed"),
        ("fake:pan?speed", "key=value"),
    ],
)
def test_what_an_address_may_not_say_is_named(address: str, told: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=told):
        microscope.parse(address)


def test_a_smear_too_large_to_render_is_refused() -> None:
    with pytest.raises(UsageError, match="million pixels"):
        Microscope("fake:serpentine?columns=50&rows=50")


def test_rows_overlap_and_the_way_back_leads_over_the_same_places() -> None:
    rows = microscope.places(microscope.parse("fake:serpentine?rows=3&columns=3"))
    assert np.unique(rows[:, 1]).max() == pytest.approx(2 * 0.7 * 480)
    assert rows[:, 0].max() == 2 * 640
    assert np.hypot(*np.diff(rows, axis=0).T).max() <= 16 + 1e-9
    back = microscope.places(microscope.parse("fake:revisit?columns=3"))
    at_start = np.flatnonzero((back == 0).all(axis=1))
    assert np.ptp(at_start) > 100
