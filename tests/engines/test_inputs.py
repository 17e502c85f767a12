"""What a user may name, and the fields and smears that come of it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from detector.engines import inputs, manifest
from detector.engines.inputs import FieldInput
from detector.errors import ManifestError, NothingToDoError, UsageError


def _make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def _named(found: list[FieldInput]) -> list[tuple[str, str]]:
    return [(one.field, one.smear) for one in found]


def test_each_subfolder_is_a_smear_and_a_flat_folder_is_one(tmp_path: Path) -> None:
    root = _make(tmp_path / "slides", "b/2.jpg", "b/1.PNG", "a/x/3.tif", "0.jpeg", "b/notes.txt", ".hidden/1.jpg", "b/._1.jpg")
    assert _named(inputs.search([str(root)]).fields) == [
        ("a/x/3.tif", "a/x"),
        ("b/1.PNG", "b"),
        ("b/2.jpg", "b"),
        ("0.jpeg", "slides"),
    ]


def test_the_same_name_in_two_folders_stays_two_fields(tmp_path: Path) -> None:
    _make(tmp_path, "one/f.jpg", "two/f.jpg")
    fields = inputs.search([str(tmp_path / "two"), str(tmp_path / "one")]).fields
    assert _named(fields) == [("one/f.jpg", "one"), ("two/f.jpg", "two")]


def test_the_order_and_repetition_of_inputs_change_nothing(tmp_path: Path) -> None:
    _make(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.jpg")
    names = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a" / "1.jpg"), str(tmp_path / "*" / "*.jpg")]
    expected = _named(inputs.search(names).fields)
    assert len(expected) == 3
    for seed in range(5):
        shuffled = random.Random(seed).sample(names, len(names))
        assert _named(inputs.search(shuffled).fields) == expected


def test_a_file_of_any_name_is_tried_when_it_is_named(tmp_path: Path) -> None:
    _make(tmp_path, "scan.dat")
    assert _named(inputs.search([str(tmp_path / "scan.dat")]).fields) == [("scan.dat", tmp_path.name)]


def test_a_pattern_reaches_into_folders_and_odd_names(tmp_path: Path) -> None:
    _make(tmp_path, "s 1/ä.jpg", "s 2/細胞.jpg")
    assert _named(inputs.search([str(tmp_path / "**" / "*.jpg")]).fields) == [("s 1/ä.jpg", "s 1"), ("s 2/細胞.jpg", "s 2")]


def test_no_file_of_a_folder_vanishes(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jfif", "c.JPE", "d.avif", "e.heic", "f.czi", "g.nd2", "h.LIF", "i.nef", "j.psd"]
    others = ["labels.xml", "x/notes.txt", "x/no_ending"]
    hidden = [
        ".DS_Store",
        ".git/config",
        "Thumbs.db",
        "x/desktop.ini",
        "._a.jpg",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "__MACOSX/y.jpg",
    ]
    slide = ["s.mrxs", "s/Data0001.dat", "s/Slidedat.ini"]
    _make(tmp_path / "slides", *names, *others, *hidden, *slide)
    listing = inputs.search([str(tmp_path / "slides")])
    assert sorted(one.field for one in listing.fields) == sorted([*names, "s.mrxs"])
    assert not any(one.problem for one in listing.fields)
    assert listing.skipped == ["labels.xml", "x/no_ending", "x/notes.txt"]
    assert listing.skipped_line() == "labels.xml, x/no_ending, x/notes.txt; such names are not those of pictures"


def test_many_skipped_files_are_told_by_their_endings(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg", "readme", *(f"{number:02}.xml" for number in range(30)))
    line = inputs.search([str(tmp_path)]).skipped_line()
    assert line.startswith("00.xml, 01.xml, ")
    assert line.endswith(" and 21 more (20 .xml, 1 no ending); such names are not those of pictures")
    assert inputs.search([str(tmp_path / "a.jpg")]).skipped == []


def test_files_beside_results_are_not_told(tmp_path: Path) -> None:
    _make(tmp_path, "a.jpg", "journal.jsonl", "counts.csv", "report.html", "x/notes.txt")
    assert inputs.search([str(tmp_path)]).skipped == ["x/notes.txt"]


def test_results_of_an_earlier_count_are_no_fields(tmp_path: Path) -> None:
    _make(tmp_path, "a/1.jpg", "out/journal.jsonl", "out/overlays/a/1.jpg")
    assert _named(inputs.search([str(tmp_path)]).fields) == [("a/1.jpg", "a")]
    _make(tmp_path, "journal.jsonl", "overlays/a/1.jpg")
    assert _named(inputs.search([str(tmp_path)]).fields) == [("a/1.jpg", "a")]


def test_one_name_among_several_that_leads_nowhere_is_a_line(tmp_path: Path) -> None:
    _make(tmp_path, "a/1.jpg")
    (tmp_path / "bare").mkdir()
    fields = inputs.search([str(tmp_path / "a"), str(tmp_path / "gone"), str(tmp_path / "bare")]).fields
    problems = {Path(one.field).name: one.problem for one in fields}
    assert problems == {"1.jpg": "", "gone": "does not exist", "bare": "holds no images"}


def test_names_of_what_is_absent_meet_no_other_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, "slides/x.jpg")
    monkeypatch.chdir(tmp_path)
    fields = inputs.search(["slides", "x.jpg", "gone", "gone"]).fields
    assert len({one.field for one in fields}) == len(fields) == 3
    assert sorted(one.problem for one in fields) == ["", "does not exist", "does not exist"]


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, "~scan.jpg")
    monkeypatch.chdir(tmp_path)
    assert [one.field for one in inputs.search(["~scan.jpg"]).fields] == ["~scan.jpg"]


def test_linked_folders_are_searched_and_circles_end(tmp_path: Path) -> None:
    _make(tmp_path, "store/1.jpg", "slides/0.jpg")
    try:
        (tmp_path / "slides" / "p1").symlink_to(tmp_path / "store", target_is_directory=True)
        (tmp_path / "slides" / "round").symlink_to(tmp_path / "slides", target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    assert _named(inputs.search([str(tmp_path / "slides")]).fields) == [("p1/1.jpg", "p1"), ("0.jpg", "slides")]


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_wrong_use(name: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        inputs.search([name])


def test_a_name_that_no_system_takes_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match="does not exist"):
        inputs.search(["x" * 5000])


@pytest.mark.parametrize(("name", "message"), [("gone", "does not exist"), ("bare", "no images"), ("*.jpg", "does not exist")])
def test_nothing_to_count_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(NothingToDoError, match=message):
        inputs.search([str(tmp_path / name)])


def _manifest(tmp_path: Path, text: str) -> manifest.Manifest:
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    return manifest.read(tmp_path / "m.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_manifest_names_fields_smears_and_scales(tmp_path: Path, delimiter: str) -> None:
    _make(tmp_path, "a/1.jpg", "a/2.jpg", "other.jpg")
    text = "\ufefffield,smear,um_per_px\na/1.jpg,P7,0.1\na\\2.jpg,P7,\ngone.jpg,P8,\n".replace(",", delimiter)
    fields = inputs.search([str(tmp_path)], _manifest(tmp_path, text), um_per_px=0.2).fields
    assert [(one.field, one.smear, one.um_per_px) for one in fields] == [
        ("a/1.jpg", "P7", 0.1),
        ("a/2.jpg", "P7", 0.2),
        ("gone.jpg", "P8", 0.2),
    ]
    assert [bool(one.problem) for one in fields] == [False, False, True]
    assert "line 4 of m.csv" in fields[2].problem


def test_a_manifest_gives_each_smear_its_red_cell_count(tmp_path: Path) -> None:
    _make(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    text = "field;smear;rbc_per_ul\n1.jpg;a;4600000\n2.jpg;a;4600000,0\n3.jpg;b;\n"
    assert inputs.search([str(tmp_path)], _manifest(tmp_path, text)).rbc_per_ul == {"a": 4.6e6}
    assert inputs.search([str(tmp_path)]).rbc_per_ul == {}


def test_a_smear_of_which_some_fields_have_a_scale_is_told(tmp_path: Path) -> None:
    text = "field,smear,um_per_px\n1.jpg,a,0.1\n2.jpg,a,\n3.jpg,b,\n4.jpg,c,0.2\n"
    (remark,) = _manifest(tmp_path, text).remarks
    assert remark.startswith(
        "smear 'a': um_per_px is empty for 1 of its fields (first '2.jpg', line 3) and given for others; a smear"
    )


def test_without_inputs_a_manifest_looks_beside_itself(tmp_path: Path) -> None:
    _make(tmp_path, "1.jpg")
    assert inputs.search([], _manifest(tmp_path, "field,smear\n1.jpg,s\n")).fields[0].path == tmp_path / "1.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column field and no column smear"),
        ("field\n1.jpg\n", "no column smear"),
        ("field,smear\n", "names no field"),
        ("field,smear\n1.jpg,\n", "line 2: field and smear"),
        ("field,smear\n1.jpg,a\n1.jpg,b\n", "line 3: 1.jpg stands in line 2"),
        ("field,smear\na/1.jpg,a\n./a/1.jpg,b\n", "line 3: a/1.jpg stands in line 2"),
        ("field,smear,um_per_px\n1.jpg,a,wide\n", "line 2: um_per_px is 'wide'"),
        ("field,smear,um_per_px\n1.jpg,a,0\n", "line 2: 0 micrometres per pixel is not a scale"),
        ("field,smear,um_per_px\n1.jpg,a,13.3\n", "line 2: 13.3 micrometres per pixel is not a scale"),
        ("field,smear,um_per_px\n1.jpg,a,nan\n", "nan micrometres per pixel is not a scale"),
        ("field,smear,rbc_per_ul\n1.jpg,a,4.6\n", r"line 2: rbc_per_ul must be in cells per µL.* 4.6 seems .*give 4600000"),
        ("field,smear,rbc_per_ul\n1.jpg,a,many\n", "line 2: rbc_per_ul is 'many'; give red cells per µL"),
        ("field,smear,rbc_per_ul\n1.jpg,a,nan\n", "line 2: rbc_per_ul must be a positive number"),
        (
            "field,smear,rbc_per_ul\n1.jpg,a,4.6e6\n2.jpg,a,\n3.jpg,a,4.7e6\n",
            r"line 4: rbc_per_ul of smear a is 4.7e\+06, but 4.6e\+06 in line 2; give each smear one red cell count",
        ),
    ],
)
def test_a_manifest_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        _manifest(tmp_path, text)


def test_domains_stand_beside_smears_or_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"

    def rows(text: str, domains: bool = True) -> list[tuple[str, str]]:
        path.write_text(text, encoding="utf-8")
        return [(row.smear, row.domain) for row in manifest.read(path, domains).rows]

    assert rows("field,domain\n1.jpg,giemsa\n") == [("", "giemsa")]
    assert rows("domain,smear,field\ngiemsa,s,1.jpg\n") == [("s", "giemsa")]
    assert rows("field,smear\n1.jpg,s\n") == [("s", "")]
    # Who did not ask for domains is not stopped by an empty one.
    assert rows("field,smear,domain\n1.jpg,s,\n", domains=False) == [("s", "")]
    with pytest.raises(ManifestError, match="line 2: field, smear and domain must all be filled in"):
        rows("field,smear,domain\n1.jpg,s,\n")
    with pytest.raises(
        ManifestError, match="no column smear; its first line must be field,smear, field,domain or field,smear,domain"
    ):
        rows("field,stain\n1.jpg,giemsa\n")
    with pytest.raises(ManifestError, match="no column smear"):
        rows("field,domain\n1.jpg,giemsa\n", domains=False)


def test_with_a_manifest_inputs_are_folders(tmp_path: Path) -> None:
    _make(tmp_path, "1.jpg")
    with pytest.raises(UsageError, match="is not a folder"):
        inputs.search([str(tmp_path / "1.jpg")], _manifest(tmp_path, "field,smear\n1.jpg,s\n"))


def test_a_manifest_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        manifest.read(tmp_path / "none.csv")
    (tmp_path / "torn.csv").write_text('field,smear\n"' + "a" * 200_000, encoding="utf-8")
    with pytest.raises(ManifestError, match="is not a CSV file"):
        manifest.read(tmp_path / "torn.csv")
    (tmp_path / "other.csv").write_bytes(b"field,smear\n\x81.jpg,a\n")
    with pytest.raises(ManifestError, match="UTF-8"):
        manifest.read(tmp_path / "other.csv")
    (tmp_path / "nul.csv").write_bytes(b"field,smear\na.jpg,s\n\0.jpg,s\n")
    with pytest.raises(ManifestError, match="line 3: holds a NUL character"):
        manifest.read(tmp_path / "nul.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ManifestError, match="is no regular file"):
        manifest.read(tmp_path / "pipe.csv")
    (tmp_path / "large.csv").touch()
    os.truncate(tmp_path / "large.csv", 1 << 40)
    with pytest.raises(ManifestError, match="is larger than 64 MiB"):
        manifest.read(tmp_path / "large.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_a_manifest_as_a_spreadsheet_writes_it(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "m.csv").write_bytes("Smear; FIELD ;um_per_pixel\r\nPräparat;ä.jpg;0,1\r\n".encode(encoding))
    read = manifest.read(tmp_path / "m.csv")
    assert [(row.field, row.smear, row.um_per_px) for row in read.rows] == [("ä.jpg", "Präparat", None)]
    assert read.remarks[-1] == "columns that are not used: 'um_per_pixel'"
    assert len(read.remarks) == (2 if encoding == "cp1252" else 1)


def test_a_manifest_names_fields_as_true_counts_do(tmp_path: Path) -> None:
    _make(tmp_path, "a/1.jpg", "b/2.jpg", "b/3.jpg", "c/3.jpg", "top.jpg", "caf\u00e9.jpg")
    text = "field,smear\n1,P1\nb/2,P2\n3.jpg,P3\n./top.jpg,P4\ncafe\u0301.jpg,P5\n"
    fields = {one.smear: one for one in inputs.search([str(tmp_path)], _manifest(tmp_path, text)).fields}
    assert [fields[smear].field for smear in ("P1", "P2", "P4", "P5")] == ["a/1.jpg", "b/2.jpg", "top.jpg", "caf\u00e9.jpg"]
    # Two pictures could be meant.
    assert fields["P3"].problem == "does not exist; named in line 4 of m.csv"
    names = ["x" * 300 + ".jpg", "d/" + "x" * 300]
    long = inputs.search([str(tmp_path)], _manifest(tmp_path, f"field,smear\n{names[0]},s\n{names[1]},s\n")).fields
    assert all(one.problem for one in long)
