"""Cells as DICOM's Microscopy Bulk Simple Annotations (PS3.3, A.87): an object for each field, a group for each class.

Annotations name the picture that they are of by its UIDs. A picture that is no DICOM is copied as secondary capture, so that there is one
to name. Of a DICOM picture only the UIDs are taken over: name, identifier and dates of a patient stay in the picture.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.errors import ImageError
from detector.output.exchange.clinical import Program, printable, warnings_of
from detector.output.exchange.run import Identified, Run, RunField
from detector.output.figures import many
from detector.shipped import version
from detector.vision import images
from detector.vision.cells import CLASSES
from detector.vision.drawing import COLOURS
from detector.vision.images import dicom as stored

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_OWN = "99SMC"
_CODES = {"RBC": ("41898006", "Erythrocyte"), "WBC": ("52501007", "Leukocyte"), "Platelets": ("16378004", "Platelet")}
"""SNOMED CT."""
_DESCRIPTION = {False: "Blood cells found by smearcount", True: "Blood cells found by smearcount, reviewed by a person"}
"""By whether the cells are those of a review."""
_LONGEST = 64
"""Signs of a short text in DICOM."""


@dataclass(frozen=True)
class _Named:
    """UIDs that a run gives, the same ones whenever it is written out."""

    about: str

    def uid(self, *what: str) -> str:
        """Names something of the run (PS3.5, B.2)."""
        digest = hashlib.sha256(json.dumps([self.about, *what]).encode()).digest()
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def write_dicom(run: Run, folder: Path) -> list[str]:
    """`annotations/FIELD.dcm`, and `images/FIELD.dcm` of pictures that are no DICOM."""
    named = _Named(json.dumps([run.cells_sha256, run.about.get("model"), run.about.get("started")]))
    warnings = warnings_of(run)
    missing, empty, failed = [], 0, []
    for number, field in enumerate(run.fields, 1):
        try:
            source = _source(run, field, folder, named)
        except ImageError as error:
            failed.append(f"{field.name}: its picture {error}, and has no annotations")
            continue
        if source is None:
            missing.append(field.name)
        elif not len(field.cells):
            empty += 1
        else:
            _save(_annotations(run, field, source, named, (number, warnings.get(field.smear, ""))), folder / "annotations", field)
    remarks = []
    if missing:
        which = f"{many(len(missing), 'field')}, first {missing[0]}"
        remarks.append(f"without annotations, for their pictures were not found, or are slides that are no DICOM: {which}")
    if empty:
        remarks.append(f"without annotations, for they have no cells: {many(empty, 'field')}")
    return remarks + failed


def _source(run: Run, field: RunField, folder: Path, named: _Named) -> Dataset | None:
    """What annotations tell of the picture of a field, which is copied where it is no DICOM; None where there is none to name.

    Raises:
        ImageError: it cannot be read.
    """
    if field.picture is None:
        return None
    with images.opened(field.picture) as file:
        head = file.read(stored.HEAD_BYTES)
    if stored.is_dicom(head):
        return _of_dicom(run, field, field.picture)
    if field.is_slide:
        return None
    copy = _copy(field, images.read(field.picture), named)
    _tell(copy, run.identifiers.get(field.smear, Identified()))
    _save(copy, folder / "images", field)
    return copy


def _of_dicom(run: Run, field: RunField, picture: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.dataset import Dataset

    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    try:
        read = dcmread(picture, stop_before_pixels=True, specific_tags=list(names))
        source = Dataset()
        for name in names:
            setattr(source, name, str(read[name].value))
    # pydicom raises almost anything on damaged data.
    except Exception:
        raise ImageError("has a DICOM header without the UIDs that annotations need") from None
    source.Modality = "SM" if field.is_slide else "GM"
    _tell(source, run.identifiers.get(field.smear, Identified()))
    return source


def _tell(source: Dataset, of: Identified) -> None:
    """Say of whom it is, as far as the user did."""
    source.PatientID = printable(of.subject)[:_LONGEST]
    source.PatientName = source.PatientBirthDate = source.PatientSex = ""
    source.StudyID = source.StudyDate = source.StudyTime = source.AccessionNumber = source.ReferringPhysicianName = ""
    source.SpecificCharacterSet = "ISO_IR 192"
    # Of a slide; the annotations are in pixels and do not name it, but the library asks for it.
    source.FrameOfReferenceUID = "2.25.1"


def _copy(field: RunField, rgb: images.Rgb, named: _Named) -> Dataset:
    """A picture as secondary capture (PS3.3, A.8.1), as it is displayed."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    copy = Dataset()
    copy.SOPClassUID, copy.SOPInstanceUID = _SECONDARY_CAPTURE, named.uid("picture", field.name)
    copy.StudyInstanceUID, copy.SeriesInstanceUID = named.uid("study", field.smear), named.uid("pictures", field.smear)
    copy.Modality, copy.ConversionType, copy.SeriesNumber, copy.InstanceNumber = "GM", "WSD", 1, None
    copy.Manufacturer, copy.SoftwareVersions, copy.PatientOrientation = "smearcount", version(), None
    copy.ImageType = ["DERIVED", "SECONDARY"]
    copy.Rows, copy.Columns = rgb.shape[:2]
    copy.SamplesPerPixel, copy.PlanarConfiguration = 3, 0
    copy.PhotometricInterpretation, copy.PixelRepresentation = "RGB", 0
    copy.BitsAllocated, copy.BitsStored, copy.HighBit = 8, 8, 7
    content = rgb.tobytes()
    copy.PixelData = content + b"\0" * (len(content) % 2)
    copy["PixelData"].VR = "OB"
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return copy


def _annotations(run: Run, field: RunField, source: Dataset, named: _Named, said: tuple[int, str]) -> Dataset:
    """The cells of a field.

    Args:
        said: number of the object, and what must be known before any cell is believed.
    """
    from highdicom.ann import MicroscopyBulkSimpleAnnotations

    number, warning = said
    return MicroscopyBulkSimpleAnnotations(
        [source],
        annotation_coordinate_type="2D",
        # Of a slide's whole matrix of pixels, and else of the one frame there is.
        pixel_origin_interpretation="VOLUME" if field.is_slide else "FRAME",
        annotation_groups=list(_groups(run, field, named, warning)),
        series_instance_uid=named.uid("annotations", field.smear, source.StudyInstanceUID),
        series_number=2,
        sop_instance_uid=named.uid("annotation", field.name),
        instance_number=number,
        manufacturer="smearcount",
        manufacturer_model_name="smearcount",
        software_versions=version(),
        device_serial_number="none",
        content_label="BLOOD_CELLS",
        content_description=(f"WARNING: {printable(warning)}" if warning else _DESCRIPTION[run.reviewed])[:_LONGEST],
    )


def _groups(run: Run, field: RunField, named: _Named, warning: str) -> Iterator[Any]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.ann import AnnotationGroup, Measurements
    from highdicom.color import CIELabColor
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    program = Program.of(run)
    algorithm = AlgorithmIdentificationSequence(
        name="smearcount",
        family=codes.DCM.ArtificialIntelligence,
        version=f"{program.version}, model {printable(program.model)}"[:_LONGEST],
        parameters={"sha256": program.sha256} if program.sha256 else None,
    )
    corners, scores = np.array(field.corners, np.float32).reshape(-1, 4), np.array(field.scores, np.float32)
    present = [name for name in CLASSES if name in field.names]
    for number, name in enumerate(present, 1):
        chosen = field.cells.label == CLASSES.index(name)
        code, meaning = _CODES[name]
        yield AnnotationGroup(
            number=number,
            uid=named.uid("group", field.name, name),
            label=name,
            annotated_property_category=codes.SCT.AnatomicalStructure,
            annotated_property_type=Code(code, "SCT", meaning),
            graphic_type="RECTANGLE",
            graphic_data=[np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]) for x1, y1, x2, y2 in corners[chosen]],
            # What a person looked through, and could correct.
            algorithm_type="SEMIAUTOMATIC" if run.reviewed else "AUTOMATIC",
            algorithm_identification=algorithm,
            measurements=[Measurements(Code("score", _OWN, "Score of the detection"), scores[chosen], codes.UCUM.NoUnits)],
            description=printable(warning) if warning else None,
            display_color=CIELabColor.from_rgb(*COLOURS[name]),
        )


def _save(made: Dataset, folder: Path, field: RunField) -> None:
    target = folder / f"{field.path}.dcm"
    target.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(target, enforce_file_format=True)
