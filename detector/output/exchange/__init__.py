"""The cells and counts of a run in the files of other tools. Boxes are half-open edges in pixels, to a hundredth of one."""

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
    "fhir": "FHIR R4: a report with observations for each smear",
    "hl7": "HL7 v2.5.1: a message ORU^R01 for each smear",
    "dicom": "DICOM annotations, with the pictures that are no DICOM",
}
"""What each format is, by its name."""
