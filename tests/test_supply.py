"""Locks, constraints, the project file and the page of licences name the same dependencies. `.ci/supply` writes all but two of them."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-all.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name: str) -> dict[str, Requirement]:
    """The requirements of a lock, by name; each has a hash or the lock is refused here as by pip."""
    requirements = {}
    for entry in re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text(name), flags=re.MULTILINE).strip()):
        requirement, *hashes = entry.replace("\\\n", " ").split(" --hash=")
        assert hashes, f"{requirement}: without hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in hashes), requirement
        one = Requirement(requirement.strip())
        requirements[canonical(one.name)] = one
    return requirements


def version(requirement: Requirement) -> str:
    return str(requirement.specifier).removeprefix("==")


def direct(*extras: str) -> list[Requirement]:
    """What the project asks for, with extras; those that name the project itself are theirs already."""
    optional = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [asked for asked in map(Requirement, lines) if asked.name != "smearcount"]


EXTRAS = PROJECT["project"]["optional-dependencies"].keys() - {"napari"}
"""Those that are locked; napari is mostly there already, with a Qt of its user's choice."""
ASKED = {"requirements.lock": direct(), "requirements-all.lock": direct(*EXTRAS)}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_the_project_asks_for(lock: str) -> None:
    held = locked(lock)
    for asked in [*ASKED[lock], *map(Requirement, PROJECT["build-system"]["requires"])]:
        assert canonical(asked.name) in held, asked
        assert version(held[canonical(asked.name)]) in asked.specifier, f"{lock}: {held[canonical(asked.name)]} for {asked}"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_its_packages_ask_for(lock: str) -> None:
    held = locked(lock)
    compared = 0
    for name, requirement in held.items():
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if installed.version != version(requirement):
            continue
        needed = [asked for asked in map(Requirement, installed.requires or []) if here(asked.marker)]
        compared += len(needed)
        assert [str(asked) for asked in needed if canonical(asked.name) not in held] == [], name
    if not compared:
        pytest.skip("needs the versions of constraints.txt: pip install -c constraints.txt -e '.[dev]'")


def here(marker: Marker | None) -> bool:
    return marker is None or marker.evaluate({"extra": ""})


def test_locks_and_constraints_name_one_version_of_each() -> None:
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    constraints = {canonical(one.name): version(one) for one in map(Requirement, lines)}
    everything = {name: version(one) for name, one in locked("requirements-all.lock").items()}
    assert {name: pin for name, pin in constraints.items() if everything.get(name) != pin} == {}
    assert {name: version(one) for name, one in locked("requirements.lock").items()}.items() <= everything.items()
    # PyTorch pins those of CUDA, which only Linux has.
    unpinned = {name for name in everything.keys() - constraints.keys() if not name.startswith(("nvidia-", "cuda-"))}
    assert unpinned == set()


@pytest.mark.parametrize("file", [*LOCKS, "constraints.txt"])
def test_no_registry_is_named(file: str) -> None:
    assert re.findall(r"^-.*|://.*|\S+ @ .*", text(file), flags=re.MULTILINE) == []


def test_the_page_of_licences_has_a_row_for_each_locked_package() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text("docs/licences.md"), flags=re.MULTILINE)[1:]
    listed = [(canonical(name), pin) for name, pin, _ in rows if name != "---"]
    assert sorted(listed) == sorted((name, version(one)) for name, one in locked("requirements-all.lock").items())


def test_packages_without_a_licence_in_their_metadata_are_explained() -> None:
    page = text("docs/licences.md")
    above = page.partition("| Name |")[0]
    unknown = re.findall(r"^\| ([^|]+) \| [^|]+ \| UNKNOWN \|$", page, flags=re.MULTILINE)
    assert [name for name in unknown if name not in above] == []
