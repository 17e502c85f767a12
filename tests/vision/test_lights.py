"""What changed light does to a picture."""

from __future__ import annotations

import numpy as np

from detector.vision.lights import LIGHTS, PLAIN


def test_each_light_does_what_it_is_called() -> None:
    rgb = np.full((40, 40, 3), (200, 100, 50), dtype=np.uint8)
    rgb[:, 20:] = (100, 50, 250)
    lit = {name: change(rgb, 60) for name, change in LIGHTS.items()}
    assert all(one.dtype == np.uint8 and one.shape == rgb.shape for one in lit.values())
    assert np.array_equal(lit[PLAIN], rgb)
    assert lit["bluish lamp"][0, 0].tolist() == [150, 90, 55]
    assert lit["bluish lamp"][0, 30].tolist() == [75, 45, 255]
    assert lit["blue ground"][0, 0].tolist() == [120, 75, 50]
    assert (np.ptp(lit["grey"], axis=2) == 0).all()
    assert 100 < lit["blur"][20, 20, 0] < 200
    assert np.array_equal(rgb[0, 0], (200, 100, 50))
