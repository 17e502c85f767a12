"""How right doubt is: labelled fields as they are and in changed light, wrong and right counts, and which of them are doubtful."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from detector.annotations import dataset
from detector.annotations.records import Record
from detector.arguments import Number, Parser
from detector.commandline import console, progress_bar, run
from detector.errors import EXIT_DONE, NothingToDoError
from detector.vision import border, doubts, familiar, finder, images, quality
from detector.vision.familiar import LIGHTS, PLAIN, Familiar
from detector.vision.images import Rgb
from detector.vision.model import Model

REASONS = (
    "no red cell",
    "out of focus",
    "crowded",
    "uncounted matter",
    "dark: ",
    "faint",
    "overexposed",
    "unevenly lit",
    "red cells nearly",
    "white cell nearly",
    "white cells nearly",
    "platelets nearly",
    "without a nucleus",
    "dark as a nucleus",
    "that the model was trained on",
)
"""How the reasons of `doubts.of_fields` for a field by itself are known."""


@dataclass(frozen=True)
class Doubted:
    """A field with labels, what makes it doubtful, and whether its count is wrong."""

    doubt: str
    """Empty where it is sound."""
    wrong: bool


@dataclass(frozen=True)
class Tally:
    """Fields by whether they are wrong and doubtful."""

    wrong: int
    wrong_doubtful: int
    right: int
    right_doubtful: int

    @classmethod
    def of(cls, fields: Sequence[Doubted], reason: str = "") -> Tally:
        """Count fields; with a reason, those are doubtful whose doubt holds it."""
        doubtful = [bool(field.doubt) and reason in field.doubt for field in fields]
        wrong = [field.wrong for field in fields]
        both = sum(a and b for a, b in zip(doubtful, wrong, strict=True))
        return cls(sum(wrong), both, len(fields) - sum(wrong), sum(doubtful) - both)

    @property
    def recall(self) -> float | None:
        """Share of the wrong fields that are doubtful; None without any."""
        return self.wrong_doubtful / self.wrong if self.wrong else None

    @property
    def precision(self) -> float | None:
        """Share of the doubtful fields that are wrong; None without any."""
        doubtful = self.wrong_doubtful + self.right_doubtful
        return self.wrong_doubtful / doubtful if doubtful else None

    @property
    def false_alarms(self) -> float | None:
        """Share of the right fields that are doubtful; None without any."""
        return self.right_doubtful / self.right if self.right else None


@dataclass(frozen=True)
class Seen:
    """A field in some light, with what was measured of it."""

    domain: str
    light: str
    quality: quality.Quality
    wrong: bool


def command(*, data: Sequence[Path], trained: Sequence[Path], model: Path | None, every: int, card: Path | None) -> int:
    """Print which share of wrong and of right fields is doubtful, by domain and light and by reason, as Markdown."""
    loaded = Model.load(model)
    chosen = [field for file in data for field in _chosen(file, every)]
    if not chosen:
        raise NothingToDoError(f"{', '.join(map(str, data))}: no val or train fields with labels")
    with progress_bar("counting", len(chosen) * len(LIGHTS)) as advance:
        seen = [field for domain, record in chosen for field in _looked_at(loaded, domain, record, advance)]
    print(report(seen, loaded.card.familiar))
    if trained:
        ranges, judged = _made_familiar(seen, [field.quality.numbers() for field in _plain(loaded, trained, every)])
        summary = "nothing" if ranges is None else f"{', '.join(ranges.ranges)}; limit {ranges.limit:.3g}"
        console.print(
            f"\nWith what is familiar by half of these fields ({summary}), the other half:\n", markup=False, soft_wrap=True
        )
        print(report(judged, ranges))
        if ranges is not None and card is not None:
            card.write_text(json.dumps(asdict(ranges), indent=2) + "\n", encoding="utf-8")
    return EXIT_DONE


def _made_familiar(seen: Sequence[Seen], trained: Sequence[familiar.Numbers]) -> tuple[Familiar | None, list[Seen]]:
    """What every other field tells of what is familiar, and the fields that told nothing."""
    by_field = [seen[i : i + len(LIGHTS)] for i in range(0, len(seen), len(LIGHTS))]
    ranges = familiar.calibrate(trained, [(view.quality.numbers(), view.wrong) for field in by_field[::2] for view in field])
    return ranges, [view for field in by_field[1::2] for view in field]


def report(seen: Sequence[Seen], ranges: Familiar | None) -> str:
    """The tables as Markdown."""
    judged = [(view, Doubted(doubts.of_fields([view.quality], ranges)[0], view.wrong)) for view in seen]
    lines = ["| fields | light | wrong | of them doubtful | right | of them doubtful | precision |", "|" + "---|" * 7]
    for domain in [*sorted({view.domain for view in seen}), "all"]:
        for light in LIGHTS:
            tally = Tally.of([doubt for view, doubt in judged if domain in (view.domain, "all") and view.light == light])
            lines.append(f"| {domain} | {light} | {_numbers(tally)} | {_share(tally.precision)} |")
    lines += ["", "| reason | plain: wrong | right | other light: wrong | right |", "|" + "---|" * 5]
    for reason in REASONS:
        parts = [Tally.of([doubt for view, doubt in judged if (view.light == PLAIN) is plain], reason) for plain in (True, False)]
        figures = [f"{part.wrong_doubtful} of {part.wrong} | {part.right_doubtful} of {part.right}" for part in parts]
        lines.append(f"| {reason.strip(' :')} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _numbers(tally: Tally) -> str:
    wrong = f"{tally.wrong} | {tally.wrong_doubtful} ({_share(tally.recall)})"
    return f"{wrong} | {tally.right} | {tally.right_doubtful} ({_share(tally.false_alarms)})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _chosen(file: Path, every: int) -> Iterator[tuple[str, Record]]:
    """One of so many val and train fields of a dataset, with their domains."""
    domain_of = dataset.domains(file)
    for split in ("val", "train"):
        for record in dataset.read(file, split)[::every]:
            if record.image is not None:
                yield domain_of(record.name), record


def _plain(model: Model, trained: Sequence[Path], every: int) -> Iterator[Seen]:
    fields = [record for file in trained for record in dataset.read(file, "train")[:: max(every // 4, 1)] if record.image]
    with progress_bar("looking at the training fields", len(fields)) as advance:
        for record in fields:
            if record.image is not None:
                yield _measured(model, "", record, PLAIN, images.read(record.image))
                advance(1)


def _looked_at(model: Model, domain: str, record: Record, advance: Callable[[float], None]) -> Iterator[Seen]:
    if record.image is None:
        return
    rgb = images.read(record.image)
    rbc_px = border.rbc_px(record.xyxy, record.label, record.size_wh) or model.card.rbc_px
    for light, change in LIGHTS.items():
        yield _measured(model, domain, record, light, change(rgb, rbc_px))
        advance(1)


def _measured(model: Model, domain: str, record: Record, light: str, rgb: Rgb) -> Seen:
    detections = finder.find(model, rgb).cells
    return Seen(domain, light, quality.measure(rgb, detections), record.miscounted(detections))


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.doubts", "[OPTION]... --data <path>", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, action="append", required=True, help="data.yaml of datasets whose val and train fields are counted")
    add(
        "--trained",
        type=Path,
        action="append",
        default=[],
        help="data.yaml of datasets that the model was trained on: tells what is familiar",
    )
    add("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    add("--every", type=Number(int, 1), default=8, help="of so many fields one is counted")
    add("--card", type=Path, help="file for what is familiar, as a card holds it")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
