"""What a TIFF file says of its scale, where that can be trusted: what no program writes by default."""

from __future__ import annotations

import re
from typing import Any

import tifffile
from defusedxml import DefusedXmlException, ElementTree

from detector.vision.slides.slide import is_scale

_TO_UM = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def scale(file: tifffile.TiffFile, page: Any) -> tuple[float | None, str]:
    """Micrometres per pixel of a file's first page and where they stand in it; None and nothing where they are not known."""
    candidates = [(_ome(file), "OME-XML"), (_aperio(page), "Aperio's description"), (_resolution(page), "the TIFF resolution")]
    return next(((um, source) for um, source in candidates if um is not None and is_scale(um)), (None, ""))


def _ome(file: tifffile.TiffFile) -> float | None:
    if not file.is_ome or not file.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels") or element.tag == "Pixels"), None)
    if pixels is None:
        return None
    factor = _TO_UM.get(pixels.get("PhysicalSizeXUnit", "µm").replace("\u03bc", "µ"))
    value = _number(pixels.get("PhysicalSizeX", ""))
    return None if factor is None or value is None else factor * value


def _aperio(page: Any) -> float | None:
    match = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", page.description or "")
    return _number(match.group(1)) if match else None


def _resolution(page: Any) -> float | None:
    """From the resolution tags. Screens' and printers' dots per inch are no scale of a smear, and `is_scale` refuses them."""
    tag, unit = page.tags.get(282), page.tags.get(296)
    um = {2: 25_400.0, 3: 10_000.0}.get(int(unit.value)) if unit is not None else None
    if tag is None or um is None:
        return None
    top, bottom = tag.value
    return um * bottom / top if top else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
