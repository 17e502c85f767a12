"""`python -m detector.exchange`: the cells of a count in the files of other tools, and what was corrected there as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from detector.annotations import conversion
from detector.annotations.labels import LabelSource, SourceField, name_of
from detector.arguments import Parser
from detector.commandline import console, errors, run
from detector.convert import show
from detector.engines import inputs
from detector.errors import EXIT_DONE, EXIT_NOTHING_DONE, EXIT_SOME_FAILED, UsageError
from detector.output.exchange import FORMATS, clinical, formats
from detector.output.exchange import run as runs
from detector.output.files import portable
from detector.output.results import EXCHANGE


@dataclass(frozen=True)
class ExchangeOptions:
    """The options by their names; `parser` says what they are."""

    run: Path
    to: Sequence[str] = ()
    corrected: Path | None = None
    images: Path | None = None
    identifiers: Path | None = None
    out: Path | None = None


def command(options: ExchangeOptions) -> int:
    """Write the cells of a count as files of other tools (--to), or make a dataset of what was corrected there (--from).

    --from reads COCO, Pascal VOC, YOLO, CVAT for images 1.1, Label Studio's JSON, QuPath's GeoJSON and ImageJ's ROI sets, and tells them
    apart by what they hold. Only fields that have labels there come into the dataset. Nothing that exists is changed.
    """
    if bool(options.to) == (options.corrected is not None):
        raise UsageError("give either --to FORMAT (several can be given) or --from PATH with --out DATASET")
    if options.corrected is not None:
        if options.identifiers is not None:
            raise UsageError("--identifiers goes with --to fhir, hl7 and dicom; leave it out with --from")
        return _back(options, options.corrected)
    wanted = formats.require(options.to, "--to")
    identified = {} if options.identifiers is None else clinical.identifiers(options.identifiers)
    counted, about = runs.fields_of(options.run)
    places = _places(options, counted, about)
    counts = replace(runs.read(options.run, places), identifiers=identified)
    return report(formats.write(counts, wanted, options.out or options.run / EXCHANGE))


def report(exported: formats.Exported) -> int:
    """Tell what became of each format, and give the exit code."""
    for remark in exported.remarks:
        errors.print(f"note: {remark}", markup=False, soft_wrap=True)
    for failed in exported.failed:
        errors.print(f"error: {failed}", style="bold red", markup=False, soft_wrap=True)
    for name, folder in exported.folders.items():
        console.print(f"{name}: {folder}", markup=False, soft_wrap=True)
    if not exported.failed:
        return EXIT_DONE
    return EXIT_SOME_FAILED if exported.folders else EXIT_NOTHING_DONE


def _back(options: ExchangeOptions, corrected: Path) -> int:
    if options.out is None:
        raise UsageError("--from needs --out, the dataset folder to write")
    counted, about = runs.fields_of(options.run)
    places = _places(options, counted, about)
    # Called as they were written for the other tools, so that each finds its labels.
    items = tuple(SourceField(name_of(portable(field)), portable(field), places.get(field)) for field in counted)
    request = conversion.Conversion(corrected, options.out, labels=corrected, only_relabelled=True)
    with errors.status("reading and comparing the images"):
        audit = conversion.convert(request, LabelSource(options.run, "images", items))
    show(audit, options.out)
    return EXIT_SOME_FAILED if audit.failed else EXIT_DONE


def _places(options: ExchangeOptions, counted: Sequence[str], about: object) -> dict[str, Path]:
    settings = about.get("settings") if isinstance(about, dict) else None
    return inputs.places_of(counted, settings if isinstance(settings, dict) else {}, options.images)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("exchange", "[OPTION]... RUN", command.__doc__)
    add = made.add_argument
    add("run", metavar="RUN", type=Path, help="folder of results that detector.count or detector.stream wrote")
    listed = "; ".join(f"{name} ({about})" for name, about in FORMATS.items())
    add("--to", metavar="<format>", action="append", default=[], help=f"can be given several times: {listed}")
    add(
        "--from",
        dest="corrected",
        metavar="<path>",
        type=Path,
        help="labels that were corrected in another tool: a file or folder",
    )
    add("--images", type=Path, help="folder of the pictures, if they no longer lie where they were counted")
    add(
        "--identifiers",
        metavar="<path>",
        type=Path,
        help="with --to fhir, hl7 and dicom, a table with the columns smear,subject,specimen, such as a manifest",
    )
    to = f"with --to, the folder for the formats (default: {EXCHANGE} in RUN); with --from, the dataset folder: an earlier one is replaced"
    add("--out", type=Path, help=to)
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser(), ExchangeOptions)


if __name__ == "__main__":
    main()
