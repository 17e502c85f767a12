"""From a label set of any layout to a dataset folder and its audit; the source is only read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from detector.annotations import audit, conventions, corrections, dataset, duplicates, repair, revision, sources, splits
from detector.annotations.audit import Audit, BoxNote, Note, SharedFields, SizeNote, Twins
from detector.annotations.duplicates import Look
from detector.annotations.labels import TEST, Labels, LabelSource, SourceField
from detector.errors import ImageError, NothingToDoError, UsageError
from detector.vision import names


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and how."""

    source: Path
    out: Path
    plan: splits.SplitPlan | None = None
    """How fields come into splits; None takes the source's own splits where it has any, else shares of 0.8/0.1/0.1."""
    seed: int = 0
    """Seed of splits that are drawn."""
    labels: Path | None = None
    """Label set that replaces the source's labels by image name."""
    only_relabelled: bool = False
    """Leave out fields that `labels` has nothing for."""
    against: tuple[Path, ...] = ()
    """Other datasets in which to look for the same fields."""
    corrections: Path | None = None
    """Reviewed corrections of the labels, to be applied outside split `test`."""


@dataclass(frozen=True, eq=False)
class _ReadableField:
    """A field that can be converted."""

    item: SourceField
    labels: Labels
    picture: Look
    image: Path


@dataclass(frozen=True, eq=False)
class _Placed:
    """A field in one split under the name it is written with."""

    index: int
    split: str
    name: str


class _Notes:
    """What is to be said of single files, gathered along the way."""

    def __init__(self) -> None:
        self.failed: list[Note] = []
        self.left_out: list[Note] = []
        self.remarks: list[Note] = []
        self.broken: list[str] = []
        """Those of the failed whose labels are of no use, a line each."""

    def add_broken(self, place: str, reason: str) -> None:
        self.failed.append(Note(place, reason))
        self.broken.append(f"{place}: {reason}")


def convert(request: Conversion, image_set: LabelSource | None = None) -> Audit:
    """Convert a label set into the dataset folder `request.out` and return its audit.

    Args:
        image_set: the images that `request.labels` is of, in place of those of `request.source`.

    Raises:
        UsageError: the request contradicts itself.
        AnnotationError: the source, or a set it is compared with or relabelled from, is no label set; or the corrections are not
            valid.
        UnknownClassError: no box has a known class name.
        NothingToDoError: no field is left to convert.
        OutputError: the dataset folder cannot be written.
    """
    _check(request)
    sheet = corrections.read(request.corrections) if request.corrections is not None else None
    # With labels from elsewhere, bare images are enough.
    source = image_set or (sources.load(request.source) if request.labels is None else sources.load_images(request.source))
    notes = _Notes()
    notes.remarks += [Note(file, remark) for file, remark in source.remarks]
    plan = _plan(request, source)
    items = _listed(_relabelled(source, request, notes), plan, source, notes)
    fields = _settled(request, source, _readable(items, source, notes), notes)
    labelled = sum(item.label_file is not None for item in items)
    conventions.refuse_mostly_broken(request.labels or request.source, notes.broken, labelled)
    if not fields:
        first = "".join(f": {note.file}: {note.reason}" for note in [*notes.failed, *notes.remarks][:1])
        raise NothingToDoError(f"{request.source}: no field with both a readable image and labels is left to convert{first}")
    sources.require_known_names(request.labels or request.source, [field.labels for field in fields])
    pairs = duplicates.within([field.picture for field in fields])
    placed = _unique(_dealt(fields, plan, pairs, request.seed), fields, notes)
    fields, outcome = _corrected(fields, placed, sheet, source, notes)
    mended = [_mended(fields[p.index], p.split) for p in placed]
    places = [source.place_of_labels(fields[p.index].item) for p in placed]
    conventions.refuse_mostly_changed(
        request.labels or request.source, zip(places, [fields[p.index].labels for p in placed], mended, strict=True)
    )
    records = [replace(m.record(p.name, fields[p.index].image), split=p.split) for m, p in zip(mended, placed, strict=True)]
    result = Audit(
        source=request.source.as_posix(),
        layout=source.layout,
        labels=(request.labels or request.source).as_posix(),
        split_plan=plan.text,
        seed=request.seed if plan.ratios else None,
        splits=audit.tally(records),
        boxes=_box_notes(mended, placed),
        failed=tuple(notes.failed),
        left_out=tuple(notes.left_out),
        remarks=tuple(notes.remarks),
        sizes=tuple(_size_notes(placed, fields)),
        twins=_twins(pairs, placed),
        against=tuple(_compared(path, placed, fields) for path in request.against),
        corrections=outcome,
    )
    with dataset.fresh(request.out) as folder:
        dataset.write(folder, records)
        result.write(folder)
    return result


def _mended(field: _ReadableField, split: str) -> repair.Mended:
    mended = repair.mend(field.labels, field.picture.size_wh)
    # What is tested on stays as its authors labelled it.
    return mended if split == TEST else repair.without_slivers(mended)


def _check(request: Conversion) -> None:
    if request.only_relabelled and request.labels is None:
        raise UsageError("--only-relabelled needs --labels, the set that the labels come from")
    out = request.out.resolve()
    for path in (request.source, request.labels, request.corrections):
        if path is None:
            continue
        given = path.resolve()
        if out == given or out in given.parents or given in out.parents:
            raise UsageError(f"--out {request.out}: lies in or around {path}; choose another, as sources are never written to")
    dataset.refuse_foreign(request.out)


def _plan(request: Conversion, source: LabelSource) -> splits.SplitPlan:
    """The plan asked for, or the source's own splits where it has any, or default shares."""
    official = any(item.splits for item in source.items)
    if request.plan is None:
        shares = "/".join(f"{share:g}" for share in splits.DEFAULT_RATIOS)
        return splits.SplitPlan(splits.OFFICIAL) if official else splits.SplitPlan(shares, ratios=splits.DEFAULT_RATIOS)
    if request.plan.text == splits.OFFICIAL and not official:
        raise UsageError(f"--splits official: {request.source} has no splits of its own; give a folder of lists or 0.8/0.1/0.1")
    return request.plan


def _relabelled(source: LabelSource, request: Conversion, notes: _Notes) -> list[SourceField]:
    """Items with their labels replaced where there is a replacement of that path or, where it is clear which, of that name."""
    if request.labels is None:
        return list(source.items)
    replacing = sources.load(request.labels)
    notes.remarks += [Note(file, remark) for file, remark in replacing.remarks]
    labelled = [item for item in replacing.items if item.label_file is not None]
    others = {item.key: item for item in labelled}
    pairs = names.joined([item.key for item in source.items], [item.key for item in labelled])
    notes.remarks += _unused(labelled, set(pairs.values()), {item.name for item in source.items})
    items = []
    for item in source.items:
        other = others.get(pairs.get(item.key, ""))
        if other is not None:
            items.append(replace(item, labels=other.labels, label_file=other.label_file, problem=other.problem))
        elif not request.only_relabelled:
            items.append(item)
        elif item.image is not None:
            notes.left_out.append(Note(source.relative(item.image), "has no replacement labels"))
    return items


def _unused(labelled: Sequence[SourceField], used: set[str], source_names: set[str]) -> Iterator[Note]:
    for item in sorted(labelled, key=lambda item: item.key):
        if item.key not in used:
            several = item.name in source_names
            why = "could be of several fields of the source, as their names are the same" if several else "is not in the source"
            yield Note(item.key if several else item.name, f"has replacement labels but {why}")


def _listed(items: list[SourceField], plan: splits.SplitPlan, source: LabelSource, notes: _Notes) -> list[SourceField]:
    """Items that the plan has a place for, with the splits that it gives them."""
    if plan.ratios:
        return items
    missing: list[str] = list(source.missing)
    if plan.lists is not None:
        lists = plan.lists
        missing = sorted({name for names in lists.values() for name in names} - {item.name for item in items})
        items = [replace(item, splits=tuple(split for split in lists if item.name in lists[split])) for item in items]
    notes.remarks += [Note(name, "is in a split list but has no file to convert") for name in missing]
    notes.left_out += [Note(source.relative(item.place), "is in no split list") for item in items if not item.splits]
    return [item for item in items if item.splits]


def _readable(items: Sequence[SourceField], source: LabelSource, notes: _Notes) -> list[_ReadableField]:
    """Fields with labels and an image that decodes to its end; all others are noted."""
    fields = []
    for item in items:
        if item.problem is not None:
            notes.add_broken(source.place_of_labels(item), item.problem)
        elif item.image is None:
            notes.failed.append(Note(source.relative(item.place), f"there is no image for {item.key}"))
        elif item.labels is None:
            notes.left_out.append(Note(source.relative(item.image), "has no label file"))
        else:
            try:
                fields.append(_ReadableField(item, item.labels, duplicates.look(item.image), item.image))
            except ImageError as error:
                notes.failed.append(Note(source.relative(item.image), str(error)))
    return fields


def _settled(request: Conversion, source: LabelSource, fields: Sequence[_ReadableField], notes: _Notes) -> list[_ReadableField]:
    """Fields whose boxes are those of the picture as displayed; all others are noted."""
    root = request.labels or request.source
    items, remarks = sources.settle(root, source, [field.item for field in fields], [field.picture for field in fields])
    notes.remarks += [Note(place, remark) for place, remark in remarks]
    settled = []
    for field, item in zip(fields, items, strict=True):
        if item.labels is None:
            notes.add_broken(source.place_of_labels(item), str(item.problem))
        else:
            settled.append(replace(field, item=item, labels=item.labels))
    return settled


def _dealt(
    fields: Sequence[_ReadableField], plan: splits.SplitPlan, pairs: Sequence[duplicates.Pair], seed: int
) -> list[_Placed]:
    if plan.ratios:
        groups = duplicates.groups(len(fields), pairs)
        dealt = splits.deal([field.item.key for field in fields], groups, plan.ratios, seed)
        return [_Placed(i, split, fields[i].item.name) for i, split in enumerate(dealt)]
    return [_Placed(i, split, field.item.name) for i, field in enumerate(fields) for split in field.item.splits]


def _unique(placed: Sequence[_Placed], fields: Sequence[_ReadableField], notes: _Notes) -> list[_Placed]:
    """Fields under names that are unique in their split: a copy of one is left out, another image of one name renamed."""
    taken: dict[tuple[str, str], str] = {}
    result = []
    for p in placed:
        field = fields[p.index]
        name, number = p.name, 1
        while (other := taken.get((p.split, name.casefold()))) not in (None, field.picture.sha256):
            number += 1
            name = f"{p.name}-{number}"
        if other is not None:
            notes.left_out.append(Note(field.item.key, f"is a copy of another image of its name in {p.split}"))
            continue
        if name != p.name:
            notes.remarks.append(Note(field.item.key, f"another image of its name is in {p.split}; written as {name}"))
        taken[p.split, name.casefold()] = field.picture.sha256
        result.append(replace(p, name=name))
    return result


def _corrected(
    fields: list[_ReadableField],
    placed: Sequence[_Placed],
    sheet: corrections.CorrectionSheet | None,
    source: LabelSource,
    notes: _Notes,
) -> tuple[list[_ReadableField], corrections.CorrectionOutcome | None]:
    """Fields with their labels corrected, those with a place in a split at least, and what became of the corrections."""
    if sheet is None:
        return fields, None
    splits_of: dict[int, list[str]] = {}
    for p in placed:
        splits_of.setdefault(p.index, []).append(p.split)
    at = {
        i: revision.CorrectableField(fields[i].item.name, fields[i].labels, fields[i].picture.size_wh, tuple(names))
        for i, names in splits_of.items()
    }
    corrected, outcome = revision.apply(sheet, list(at.values()))
    source_names = {item.name for item in source.items}
    for image, rows in outcome.absent.items():
        why = "is not converted" if image in source_names else "is not in the source"
        notes.remarks.append(Note(image, f"has {rows} correction{'s' * (rows > 1)} and {why}"))
    labels = dict(zip(at, corrected, strict=True))
    return [replace(field, labels=labels.get(i, field.labels)) for i, field in enumerate(fields)], outcome


def _twins(pairs: Sequence[duplicates.Pair], placed: Sequence[_Placed]) -> tuple[Twins, ...]:
    at: dict[int, list[_Placed]] = {}
    for p in placed:
        at.setdefault(p.index, []).append(p)
    same = [Twins(a.name, a.split, b.name, b.split, 1.0, True) for ps in at.values() for a, b in pairwise(ps)]
    return tuple(same) + tuple(
        Twins(a.name, a.split, b.name, b.split, pair.similarity, pair.identical)
        for pair in pairs
        for a in at.get(pair.first, [])
        for b in at.get(pair.second, [])
    )


def _compared(path: Path, placed: Sequence[_Placed], fields: Sequence[_ReadableField]) -> SharedFields:
    """Fields that another dataset shows too; images of it that cannot be read cannot be the same."""
    others: list[tuple[SourceField, Look]] = []
    for item in sources.load_images(path).items:
        if item.image is not None:
            try:
                others.append((item, duplicates.look(item.image)))
            except ImageError:
                continue
    pairs = duplicates.between([fields[p.index].picture for p in placed], [picture for _, picture in others])
    twins = []
    for pair in pairs:
        ours, theirs = placed[pair.first], others[pair.second][0]
        twins.append(Twins(ours.name, ours.split, theirs.name, "+".join(theirs.splits), pair.similarity, pair.identical))
    return SharedFields(path.as_posix(), tuple(twins))


def _box_notes(mended: Sequence[repair.Mended], placed: Sequence[_Placed]) -> tuple[BoxNote, ...]:
    return tuple(
        BoxNote(p.name, p.split, change.action, change.reason, change.name, change.xyxy)
        for m, p in zip(mended, placed, strict=True)
        for change in m.changes
    )


def _size_notes(placed: Sequence[_Placed], fields: Sequence[_ReadableField]) -> list[SizeNote]:
    stated = ((p.name, fields[p.index].labels.declared_wh, fields[p.index].picture.size_wh) for p in placed)
    return [SizeNote(name, declared, actual) for name, declared, actual in stated if declared and declared != actual]
