"""Who is trained on and who is measured: official lists, lists of one's own, or a seeded share of whole groups."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.annotations.labels import SPLITS
from detector.annotations.layouts import split_lists
from detector.errors import UsageError

OFFICIAL = "official"
DEFAULT_RATIOS = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class SplitPlan:
    """How fields come into splits: exactly one of official lists, `lists` and `ratios`."""

    text: str
    """The plan in the words of the command line."""
    lists: Mapping[str, frozenset[str]] | None = None
    """Image names by split."""
    ratios: tuple[float, float, float] | None = None
    """Shares of train, val and test, which sum to 1."""


def plan(text: str | None) -> SplitPlan | None:
    """The plan that `--splits` asks for; None where nothing is asked for and the source decides.

    Raises:
        UsageError: the text is neither `official`, nor a folder with split lists, nor shares such as `0.8/0.1/0.1`.
    """
    if text is None:
        return None
    if text == OFFICIAL:
        return SplitPlan(OFFICIAL)
    if text and Path(text).is_dir():
        lists = split_lists(Path(text))
        if not lists:
            raise UsageError(f"--splits {text}: the folder has none of train.txt, val.txt, test.txt")
        return SplitPlan(text, lists=lists)
    return SplitPlan(text, ratios=_ratios(text))


def _ratios(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(share) for share in text.split("/"))
    except ValueError:
        raise UsageError(
            f"--splits {text}: no such folder; expected 'official', a folder with train.txt, val.txt and test.txt, "
            "or three shares such as 0.8/0.1/0.1"
        ) from None
    if not min(train, val, test) >= 0 or abs(train + val + test - 1) > 1e-6:
        raise UsageError(f"--splits {text}: the shares must not be negative and must sum to 1, as in 0.8/0.1/0.1")
    return train, val, test


def deal(names: Sequence[str], groups: Sequence[Hashable], ratios: tuple[float, float, float], seed: int) -> list[str]:
    """Split of each field, whole groups going together, as near to the shares as groups allow.

    Depends on the names, the grouping and the seed alone, not on the order in which fields come. The largest groups are dealt
    first, and groups of one size in the order of a hash of the seed and their first name, each to the split that lacks most.
    """
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    lacking = [share * len(names) for share in ratios]
    dealt = [""] * len(names)
    for indices in sorted(members.values(), key=lambda indices: (-len(indices), _lot(min(names[i] for i in indices), seed))):
        open_splits = [k for k, share in enumerate(ratios) if share > 0]
        k = max(open_splits, key=lambda k: (lacking[k], -k))
        lacking[k] -= len(indices)
        for i in indices:
            dealt[i] = SPLITS[k]
    return dealt


def _lot(name: str, seed: int) -> tuple[str, str]:
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).hexdigest(), name
