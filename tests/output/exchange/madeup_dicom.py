"""DICOM files for tests, written by pydicom, with the name of a patient in them that nothing may show."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import simplejpeg

pydicom = pytest.importorskip("pydicom", reason="needs the dicom extra: pip install -e '.[dicom]'")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402

PATIENT = "Mustermann^Erika"
PLAIN, BASELINE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
SECONDARY_CAPTURE, MICROSCOPIC = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.1.2"
WHOLE_SLIDE, TOMOGRAPHY = "1.2.840.10008.5.1.4.1.1.77.1.6", "1.2.840.10008.5.1.4.1.1.2"
TILE_PX = 128


def dataset(
    values: np.ndarray, colour: str = "RGB", syntax: str = PLAIN, frame: bytes | None = None, compress: str = "", **entries: Any
) -> Dataset:
    """A picture.

    Args:
        values: shape (h, w) or (h, w, 3); uint8 or uint16.
        frame: its encoded form, where `syntax` is compressed.
        compress: transfer syntax to which pydicom is to compress it.
        entries: of the header, in place of the usual ones.
    """
    samples, bits = (1 if values.ndim == 2 else 3), 8 * values.dtype.itemsize
    sop_class = entries.get("SOPClassUID", MICROSCOPIC)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = sop_class, "1.2.3.4.5"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = PATIENT, "pid-77", "19500101", "F"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID = "1.2.3", "1.2.3.4", "1.2.3.4.5"
    made.StudyID, made.StudyDate, made.StudyTime, made.AccessionNumber = "", "20260102", "030405", "acc-9"
    made.SOPClassUID, made.Modality = sop_class, "GM"
    made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = *values.shape[:2], samples, colour
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits, bits - 1, 0
    if samples == 3:
        made.PlanarConfiguration = 0
    made.PixelData = encapsulate([frame]) if frame is not None else values.tobytes()
    made["PixelData"].is_undefined_length = frame is not None
    for name, value in entries.items():
        setattr(made, name, value)
    if compress:
        made.compress(compress, generate_instance_uid=False)
    return made


def content(made: Dataset) -> bytes:
    """The bytes of its file."""
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def picture(values: np.ndarray, *options: Any, **more: Any) -> bytes:
    """The file of a `dataset`."""
    return content(dataset(values, *options, **more))


def whole_slide(rgb: np.ndarray, spacing_mm: float) -> bytes:
    """A slide of one size, in tiles, as OpenSlide reads it."""
    h, w = rgb.shape[:2]
    tiles = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(rgb[y : y + TILE_PX, x : x + TILE_PX]), quality=95, colorsubsampling="422")
        for y in range(0, h, TILE_PX)
        for x in range(0, w, TILE_PX)
    ]
    made = dataset(rgb[:TILE_PX, :TILE_PX], "YBR_FULL_422", BASELINE, tiles[0], SOPClassUID=WHOLE_SLIDE)
    made.PixelData, made.NumberOfFrames, made.Modality = encapsulate(tiles), len(tiles), "SM"
    made["PixelData"].is_undefined_length = True
    made.ImageType, made.FrameOfReferenceUID = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "1.2.9"
    made.TotalPixelMatrixColumns, made.TotalPixelMatrixRows, made.TotalPixelMatrixFocalPlanes = w, h, 1
    made.ImagedVolumeWidth, made.ImagedVolumeHeight = w * spacing_mm, h * spacing_mm
    made.DimensionOrganizationType, made.NumberOfOpticalPaths = "TILED_FULL", 1
    measures, groups, path = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [spacing_mm, spacing_mm], 0.001
    groups.PixelMeasuresSequence, path.OpticalPathIdentifier = [measures], "1"
    made.SharedFunctionalGroupsSequence, made.OpticalPathSequence = [groups], [path]
    return content(made)
