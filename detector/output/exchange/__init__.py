"""The cells of a count in the files of other tools. Boxes are half-open edges in pixels, to a hundredth of one."""

FORMATS = {
    "coco": "COCO JSON, as detections.json",
    "voc": "Pascal VOC, with copies of the pictures",
    "yolo": "YOLO with data.yaml, with copies of the pictures",
    "csv": "a row for each cell",
    "parquet": "the same, for data frames",
    "xlsx": "Excel: counts, smears and method",
    "imagej": "ROI sets for ImageJ and Fiji",
    "qupath": "GeoJSON for QuPath",
    "labelstudio": "tasks for Label Studio, with the cells as predictions",
    "cvat": "CVAT for images 1.1",
}
"""What each format is, by its name."""
