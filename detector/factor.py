"""`python -m detector.factor`: a laboratory's own factor from cells per mm² of smear to cells per µL of blood."""

from __future__ import annotations

from pathlib import Path

from detector.accuracy.plots import style
from detector.accuracy.report import factor, folder, sheets
from detector.arguments import Parser
from detector.commandline import errors, for_people, print_json, run
from detector.errors import EXIT_DONE


def command(*, smears: Path, analyser: Path, out: Path | None, json: bool) -> int:
    """Derive your own factor from cells per mm² of smear to cells per µL, for --ul-factor, from ten or more counted smears.

    The smears are those of a count with the scale (--um-per-px), whose blood an analyser has counted too. Writes report.html with
    the factor of each class, its 95 % interval and a Bland-Altman plot, metrics.json and plots.
    """
    style.require()
    study = factor.study(smears, analyser)
    about = {"smears": folder.portable(smears), "analyser": folder.portable(analyser), "versions": folder.versions()}
    target = folder.write_study(out, study, about, "factor")
    sheets.print_sheet(for_people(json), errors, study, target)
    if json:
        print_json({"out": str(target), **sheets.document(study, about)})
    return EXIT_DONE


def parser() -> Parser:
    """What the command takes."""
    made = Parser("factor", "SMEARS --analyser <path> [OPTION]...", command.__doc__)
    add = made.add_argument
    add("smears", metavar="SMEARS", type=Path, help="smears.csv of a count with the scale")
    values = "CSV file of the analyser's values: smear and, for example, platelets_per_ul or 'PLT 10^9/L'"
    add("--analyser", type=Path, required=True, help=values)
    add("--out", type=Path, help="folder for the results; default: runs/factor/<time>")
    made.add_json()
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser())


if __name__ == "__main__":
    main()
