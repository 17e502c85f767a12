"""Names of one field in two lists."""

from __future__ import annotations

import pytest

from detector.vision.names import bare, joined, path, stem


@pytest.mark.parametrize(
    ("name", "whole", "without", "last"),
    [
        ("a/b.png", "a/b.png", "a/b", "b"),
        ("a\\b.JPG", "a/b.JPG", "a/b", "b"),
        ("./slide.3", "slide.3", "slide.3", "slide.3"),
        ("cafe\u0301.tif", "caf\u00e9.tif", "caf\u00e9", "caf\u00e9"),
        (".png", ".png", ".png", ".png"),
        ("", ".", ".", ""),
    ],
)
def test_forms_of_a_name(name: str, whole: str, without: str, last: str) -> None:
    assert (path(name), bare(name), stem(name)) == (whole, without, last)


@pytest.mark.parametrize(
    ("fields", "keys", "pairs"),
    [
        (["a/1.png"], ["a/1.png"], {"a/1.png": "a/1.png"}),
        (["a/1.png"], ["a\\1"], {"a/1.png": "a\\1"}),
        (["a/1.png", "b/2.png"], ["1", "2.jpg"], {"a/1.png": "1", "b/2.png": "2.jpg"}),
        (["a/1.png", "b/1.png"], ["1"], {}),
        (["a/1.png", "b/1.png"], ["a/1", "1"], {"a/1.png": "a/1"}),
        (["a/1.png"], ["A/1.png"], {"a/1.png": "A/1.png"}),
        (["a.png"], ["A.png"], {}),
        ([], ["1"], {}),
    ],
)
def test_joined(fields: list[str], keys: list[str], pairs: dict[str, str]) -> None:
    assert joined(fields, keys) == pairs
