"""Files that viewers of pictures open: ROI sets of ImageJ and Fiji, GeoJSON of QuPath. Both show pictures as they are stored.

Neither turns a picture as EXIF asks (ImageJ 1.53t opens a JPEG and a TIFF of orientation 6 lying on their sides), so boxes are turned
back for them.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

from detector.output.exchange.run import Run
from detector.vision.cells import CLASSES
from detector.vision.drawing import COLOURS


def write_imagej(run: Run, folder: Path) -> list[str]:
    """`FIELD.zip`: a rectangle for each cell, called by its class and a number, in the colour of the class, with its score."""
    import roifile

    rect, subpixel = roifile.ROI_TYPE.RECT, roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    empty = 0
    for field in run.fields:
        if not len(field.cells):
            empty += 1
            continue
        target = folder / f"{field.path}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        numbers = Counter[str]()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, (x1, y1, x2, y2), score in zip(field.names, field.stored_corners, field.scores, strict=True):
                numbers[name] += 1
                roi = roifile.ImagejRoi(
                    roitype=rect,
                    options=subpixel,
                    name=f"{name}-{numbers[name]:04}",
                    props=f"score: {score}\n",
                    left=int(x1),
                    top=int(y1),
                    right=-int(-x2 // 1),
                    bottom=-int(-y2 // 1),
                    xd=x1,
                    yd=y1,
                    widthd=x2 - x1,
                    heightd=y2 - y1,
                    stroke_color=bytes((255, *COLOURS[name])),
                )
                archive.writestr(f"{roi.name}.roi", roi.tobytes())
    alone = [f"{empty} field{'s' * (empty > 1)} without cells {'have' if empty > 1 else 'has'} no ROI set"] if empty else []
    return alone + _of_orientation(run)


def write_qupath(run: Run, folder: Path) -> list[str]:
    """`FIELD.geojson`: an annotation for each cell, with its class in its colour, and its score as a measurement."""
    classes = {name: {"name": name, "color": list(COLOURS[name])} for name in CLASSES}
    for field in run.fields:
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]]]},
                "properties": {"objectType": "annotation", "classification": classes[name], "measurements": {"score": score}},
            }
            for name, (x1, y1, x2, y2), score in zip(field.names, field.stored_corners, field.scores, strict=True)
        ]
        target = folder / f"{field.path}.geojson"
        target.parent.mkdir(parents=True, exist_ok=True)
        document = {"type": "FeatureCollection", "features": features}
        target.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    return _of_orientation(run)


def _of_orientation(run: Run) -> list[str]:
    """What a user should know of pictures that are, or may be, turned for display."""
    turned = [field for field in run.fields if field.orientation != 1]
    unknown = [field for field in run.fields if field.picture is None]
    remarks = []
    if turned:
        which = f"{len(turned)} picture{'s are' if len(turned) > 1 else ' is'} turned by EXIF for display, first {turned[0].name}"
        remarks.append(f"{which}; the boxes are those of the pictures as stored, as this program shows them")
    if unknown:
        which = f"{len(unknown)} picture{'s were' if len(unknown) > 1 else ' was'} not found, first {unknown[0].name}"
        remarks.append(f"{which}; if EXIF turns one for display, its boxes do not fit it in this program")
    return remarks
