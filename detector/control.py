"""`python -m detector.control`: the same reference fields each day, so that a drift is seen before patients' counts are wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from detector.accuracy import control
from detector.accuracy.plots import style
from detector.accuracy.report import control as page
from detector.accuracy.report import folder, sheets
from detector.arguments import Number, Parser, option
from detector.commandline import errors, for_people, print_json, progress_bar, run
from detector.engines import job
from detector.engines.inputs import FieldInput
from detector.engines.local import Work
from detector.engines.options import CountOptions
from detector.engines.pool import workers_for
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, NothingToDoError, OutputError, UsageError
from detector.output.figures import many
from detector.vision.model import Model, processors

_MODEL_DIGITS = 12
_DIGEST_DIGITS = 16


@dataclass(frozen=True)
class ControlOptions:
    """The options by their names; `parser` says what they are."""

    inputs: Sequence[str]
    log: Path
    days: int = control.USUAL_DAYS
    targets: Path | None = None
    um_per_px: float | None = None
    model: Path | None = None
    json: bool = False


def command(options: ControlOptions) -> int:
    """Count today's photographs of the same reference fields, and tell by Westgard's rules whether anything drifts.

    Counts of each class, brightness and colour of the ground, sharpness and evenness of the light are appended to the log, a CSV file.
    The page beside it (LOG with the ending .html) shows a Levey-Jennings chart of each. Mean and standard deviation are learned from
    the first days, or given. The exit code is 1 where a rule rejects the run, or a field could not be read.
    """
    style.require()
    log, given = control.read(options.log), control.targets(options.targets) if options.targets else {}
    target = _page(options.log)
    searched = job.search(CountOptions(options.inputs, um_per_px=options.um_per_px), option)
    model = Model.load(options.model, threads=processors())
    pictures = _digest(searched.fields)
    model_digits = model.sha256[:_MODEL_DIGITS]
    same = next((entry for entry in log.entries if (entry.pictures, entry.model) == (pictures, model_digits)), None)
    if same is not None:
        raise UsageError(
            f"these are the very pictures of {same.time} in {options.log}; photograph the fields anew. Nothing was added"
        )
    with progress_bar("counting", len(searched.fields)) as advance:
        outcome = job.count_fields(searched.fields, Work(model, workers_for(None)), advance)
    for field in outcome.unread:
        errors.print(f"unread: {field.field}: {field.reason}", style="yellow", markup=False, soft_wrap=True)
    if not outcome.read:
        raise NothingToDoError("no reference field could be read; nothing was added to the log")
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    entry = control.measured(outcome.read, now, model_digits, pictures)
    warnings = [f"doubtful: {field.field}: {field.doubt}" for field in outcome.doubtful]
    warnings += [f"unread: {field.field}: {field.reason}" for field in outcome.unread]
    warnings += _other_number(log, entry)
    log = control.append(options.log, entry)
    sheet, verdict = page.sheet(log, options.days, given, warnings)
    about = {
        "log": folder.portable(options.log),
        "model": f"{model.card.name} ({model.path.name})",
        "versions": folder.versions(),
    }
    sheets.write_page(target, sheet, about)
    sheets.print_sheet(for_people(options.json), errors, sheet, target)
    if options.json:
        print_json({"out": str(target), **sheets.document(sheet, about)})
    return EXIT_SOME_FAILED if verdict == control.OUT or outcome.unread else EXIT_DONE


def _page(log: Path) -> Path:
    """Where the page stands; another file of that name is not written over."""
    target = log.with_suffix(".html")
    if target == log:
        raise UsageError(
            f"--log {log}: is to be a table, and its page beside it ends in .html; name it {log.with_suffix('.csv')}"
        )
    if target.exists() and f"<title>{page.TITLE}</title>" not in target.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise OutputError(f"{target}: is no page of a control, and is not written over; name another --log")
    return target


def _digest(fields: Sequence[FieldInput]) -> str:
    """A digest of the pictures, whatever their names and order."""
    each = sorted(hashlib.sha256(field.path.read_bytes()).hexdigest() for field in fields if field.path.is_file())
    return hashlib.sha256("".join(each).encode()).hexdigest()[:_DIGEST_DIGITS]


def _other_number(log: control.ControlLog, entry: control.ControlRun) -> list[str]:
    before = next((earlier.fields for earlier in reversed(log.entries) if earlier.model == entry.model), entry.fields)
    if before == entry.fields:
        return []
    return [f"{many(entry.fields, 'field')} read, and {before} in the run before; photograph the same fields each time"]


def parser() -> Parser:
    """What the command takes."""
    made = Parser("control", "INPUT... --log <path> [OPTION]...", command.__doc__)
    add = made.add_argument
    add("inputs", metavar="INPUT", nargs="+", help="today's photographs of the reference fields: images, folders or patterns")
    add("--log", type=Path, required=True, help="CSV file to which each run is appended; a new one is begun")
    days = "days from whose runs mean and standard deviation are learned"
    add("--days", type=Number(int, control.LEAST_DAYS), default=ControlOptions.days, help=days)
    add("--targets", type=Path, help="CSV file with means and standard deviations that are not learned: measure,mean,sd")
    add("--um-per-px", type=Number(float), help="scale in micrometres per pixel")
    add("--model", type=Path, help="an .onnx model, or the name of one that adapt made; default: the shipped one")
    made.add_json()
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser(), ControlOptions)


if __name__ == "__main__":
    main()
