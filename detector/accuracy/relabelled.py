"""The same fields and detections by the labels of somebody else: official against complete ones, or one annotator against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detector.accuracy.agreement import Agreement
from detector.accuracy.figures import Fields, Figures, agreements, figures
from detector.annotations.records import Record


@dataclass(frozen=True)
class Relabelled:
    """Fields that stand in both label sets; all figures are of these."""

    first: Figures
    """By the labels of the evaluation."""
    second: Figures
    """By the other labels."""
    labels: dict[str, Agreement]
    """Cells that the other labels have against those that the first have, by class name: what differs before any detector looks."""
    only_first: Sequence[str]
    """Fields that were evaluated and are not among the other labels."""
    only_second: Sequence[str]
    """Fields of the other labels that were not evaluated."""
    other_size: Sequence[str]
    """Fields whose images are of another size in the other set; they are in no figure."""


def relabelled(fields: Fields, others: Sequence[Record], thresholds: Mapping[str, float]) -> Relabelled | None:
    """Figures by both label sets, joined by the names of fields; None where no field stands in both.

    Args:
        others: the records of the other labels.
        thresholds: from which score a cell counts, by class name.
    """
    by_name = {record.name: record for record in others}
    names = [record.name for record in fields.records]
    sized = {record.name: record.size_wh for record in fields.records}
    unlike = [name for name in names if name in by_name and by_name[name].size_wh != sized[name]]
    shared = [i for i, name in enumerate(names) if name in by_name and name not in unlike]
    if not shared:
        return None
    first = fields.only(shared)
    second = first.labelled([by_name[record.name] for record in first.records])
    return Relabelled(
        first=figures(first, thresholds),
        second=figures(second, thresholds),
        labels=agreements(second.truth(), first.truth(), first.groups),
        only_first=[name for name in names if name not in by_name],
        only_second=sorted(by_name.keys() - set(names)),
        other_size=unlike,
    )
