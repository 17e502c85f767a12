"""`python -m detector.synth`: render fields of a stained smear, with their exact truth."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from detector.arguments import Number, Parser
from detector.commandline import console, progress_bar, run
from detector.errors import OutputError, UsageError
from detector.synthetic.series import MIXED, Series
from detector.synthetic.stain import PRESETS
from detector.synthetic.truth import BOXES, COUNTS, Truth, write_jpeg
from detector.synthetic.variety import Variety

_DRAWN = ("--um-per-px", "--stain", "--rbc", "--wbc", "--platelets", "--touching")
_WIDTHS = "20-60"


@dataclass(frozen=True)
class SynthOptions:
    """The options by their names; `parser` says what they are."""

    out: Path
    fields: int = Series.fields
    smears: int = Series.smears
    size: str = "640x480"
    seed: int = Series.seed
    um_per_px: float = Series.um_per_px
    stain: str = Series.stain
    rbc: float | None = None
    wbc: float | None = None
    platelets: float | None = None
    touching: float = Series.touching
    variety: str | None = None


def synth(options: SynthOptions) -> None:
    """Render fields of stained smears with exact boxes, named smear_a/field_01.jpg and so on.

    Also writes truth.csv (cells of each class in each field) and truth.json (boxes, COCO layout). Regions of class
    ignore in it are heaps whose cells cannot be told apart.
    """
    series, out = _series(options), options.out
    _refuse_full(out)
    try:
        truth = _write(series, out)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror or error}; name a folder that can be written") from error
    cells = ", ".join(f"{n} {name}" for name, n in truth.totals().items())
    console.print(f"{series.fields * series.smears} fields with {cells}", soft_wrap=True)
    console.print(f"written to {out}, truth in {COUNTS} and {BOXES}", soft_wrap=True, markup=False)


def _series(options: SynthOptions) -> Series | Variety:
    size_wh = _size_wh(options.size)
    series = Series(
        options.fields,
        options.smears,
        size_wh,
        options.seed,
        options.um_per_px,
        options.stain,
        options.rbc,
        options.wbc,
        options.platelets,
        options.touching,
    )
    if options.variety is None:
        return series
    if series != Series(options.fields, options.smears, size_wh, options.seed):
        raise UsageError(f"--variety draws what a field shows; leave out {', '.join(_DRAWN)}")
    return Variety(options.fields, options.smears, size_wh, options.seed, _widths(options.variety))


def _size_wh(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})[xX]([1-9]\d{0,5})", text.strip())
    if not match:
        raise UsageError(f"--size {text}: give width and height in pixels, such as 640x480")
    return int(match[1]), int(match[2])


def _widths(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"(\d{1,4})-(\d{1,4})", text.strip())
    if not match:
        raise UsageError(f"--variety {text}: give the least and greatest width of red cells in pixels, such as {_WIDTHS}")
    return float(match[1]), float(match[2])


def _refuse_full(out: Path) -> None:
    if out.is_file():
        raise UsageError(f"--out {out} is a file; name a new or empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty and nothing is overwritten; name a new or empty folder")


def _write(series: Series | Variety, out: Path) -> Truth:
    settings = ", ".join(f"{name} {value}" for name, value in asdict(series).items() if value is not None)
    truth = Truth(f"synthetic blood smear fields: {settings}")
    with progress_bar("rendering", series.fields * series.smears) as advance:
        for name, field in series.render():
            write_jpeg(out / name, field)
            truth.add(name, field)
            advance(1)
    (out / COUNTS).write_text(truth.csv(), encoding="utf-8", newline="\n")
    (out / BOXES).write_text(truth.coco(), encoding="utf-8", newline="\n")
    return truth


def parser() -> Parser:
    """What the command takes."""
    made = Parser("synth", "[OPTION]... --out <path>", synth.__doc__)
    add = made.add_argument
    add("--out", type=Path, required=True, help="new or empty folder for the fields and their truth")
    add("--fields", type=Number(int, 1), default=SynthOptions.fields, help="fields per smear")
    add("--smears", type=Number(int, 1, 26), default=SynthOptions.smears, help="smears, each in a folder of its own")
    add("--size", default=SynthOptions.size, help="width and height of a field in pixels")
    add(
        "--seed",
        type=Number(int, 0),
        default=SynthOptions.seed,
        help="random seed; the same seed and options give the same fields",
    )
    add(
        "--um-per-px",
        type=Number(float),
        default=SynthOptions.um_per_px,
        help="scale in micrometres per pixel; red cells are 7.6 µm wide",
    )
    add("--stain", default=SynthOptions.stain, help=f"stain: {', '.join(PRESETS)}, or {MIXED} for each in turn")
    add("--rbc", type=Number(float), help="mean number of red cells per field; default: that of a normal monolayer")
    add("--wbc", type=Number(float), help="mean number of white cells per field")
    add("--platelets", type=Number(float), help="mean number of platelets per field")
    touch = "share of red cells that touch or overlap another"
    add("--touching", type=Number(float), default=SynthOptions.touching, help=touch)
    varied = (
        "make each field another slide, with its own stain, light and mixture of cells, and red cells LOW to HIGH pixels wide;"
    )
    add("--variety", metavar="LOW-HIGH", nargs="?", const=_WIDTHS, help=f"{varied} default range: {_WIDTHS}")
    return made


def main() -> None:
    """Run the command."""
    run(synth, parser(), SynthOptions)


if __name__ == "__main__":
    main()
