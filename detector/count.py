"""Count red cells, white cells and platelets in photographs of blood smears."""

from __future__ import annotations

import atexit
import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    # Read when NumPy is imported. No matrices are multiplied here, and OpenBLAS's threads wait for some in a loop.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from detector import process
from detector.arguments import Number, Parser, called
from detector.commandline import run
from detector.engines.options import ENGINES, CountOptions
from detector.errors import UsageError
from detector.output.exchange import FORMATS
from detector.vision import backends
from detector.vision.model import Model, processors


def count(options: CountOptions) -> int:
    """Count red cells, white cells and platelets in photographs of blood smears.

    Writes report.html (for people), counts.csv (a row per field), smears.csv (a row per smear and class, with 95 %
    intervals), detections.json (each cell's box) and run.json (model, settings and versions). Says which fields could not be
    read, and why.
    """
    started = time.time()
    if not options.inputs and options.manifest is None:
        raise UsageError(
            f"no INPUT: give images, a folder or a pattern, for example {called('count')} slides/; {called('demo')} counts samples"
        )
    if options.ray_address and options.engine != "ray":
        raise UsageError("--ray-address needs --engine ray")
    if options.resume and options.out is None:
        raise UsageError("--resume needs --out, the folder of the count to continue")
    with process.answering("wait"), ThreadPoolExecutor(1) as beside:
        opening = beside.submit(Model.load, options.model, options.backend, options.threads or processors())
        # Imported while the model is opened, which mostly leaves the interpreter free.
        from detector import batch

        count_all = batch.count_into_folder if options.engine == CountOptions.engine else batch.count_archive
        return count_all(options, opening.result, started)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("count", "[OPTION]... [INPUT]...", count.__doc__)
    add = made.add_argument
    add(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="images, slides, folders (each subfolder is a smear) or patterns such as 'a/*.jpg'",
    )
    add("--out", type=Path, help="folder for the results; default: runs/count/<time>")
    add("--model", type=Path, help="an .onnx model, or the name of one that adapt made; default: the shipped one")
    add(
        "--manifest", type=Path, help="CSV or .xlsx file that names fields and their smears: field,smear[,um_per_px][,rbc_per_ul]"
    )
    add("--um-per-px", type=Number(float), help="scale in micrometres per pixel; adds counts per mm²")
    add("--rbc-per-ul", type=Number(float), help="red cells per µL from an analyser; adds counts per µL")
    add("--ul-factor", type=Number(float), help="your own factor from cells per mm² to cells per µL, in place of --rbc-per-ul")
    add("--truth", type=Path, help="true counts to compare with: a CSV or .xlsx file, or labels (Pascal VOC, YOLO, COCO)")
    add(
        "--shapes",
        action="store_true",
        help="shares of red cell shapes too, as a flag for a reader and never a diagnosis; adds shapes.csv",
    )
    add("--overlays", action="store_true", help="save each field with its boxes drawn, in the folder overlays")
    add("--pdf", action="store_true", help="write the report as a PDF too, to print and sign")
    tried, untried = [name for name in backends.NAMES if name not in backends.EXPERIMENTAL], backends.EXPERIMENTAL
    of_backend = f"program that runs the model: {', '.join(tried)}; experimental, never run yet: {', '.join(untried)}"
    add("--backend", default=CountOptions.backend, help=of_backend)
    for_others = f"write the cells for other tools too, in the folder exchange; can be given several times: {', '.join(FORMATS)}"
    add("--export", metavar="<format>", action="append", default=[], help=for_others)
    add(
        "--threads",
        type=Number(int, 1),
        help="fields, or tiles of large ones, worked on at a time; default: one more than processors",
    )
    add(
        "--tile-px",
        type=Number(int),
        default=CountOptions.tile_px,
        help="side of a tile of a slide or large field, in pixels of the model's input",
    )
    add("--engine", choices=ENGINES, default=CountOptions.engine, help="ray counts on a cluster, and writes Parquet")
    add("--ray-address", metavar="<host:port>", help="head of the cluster of --engine ray; default: one on this computer")
    add("--resume", action="store_true", help="continue the interrupted count in --out")
    add_printed(made)
    return made


def add_printed(parser: Parser) -> None:
    """Add the options that say what is printed."""
    parser.add_json()
    parser.add_argument("--quiet", action="store_true", help="print only warnings, doubtful and unread fields, and errors")


def main() -> None:
    """Entry point."""
    run(count, parser(), CountOptions)


if __name__ == "__main__":
    # What was imported stays. Looking through it for garbage takes 25 ms at the start, and 60 to 100 ms at the end.
    gc.freeze()
    atexit.register(gc.freeze)
    main()
