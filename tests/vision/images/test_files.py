"""Odd, hostile and foreign files: a reason in little time and memory, and nothing else is started or touched."""

from __future__ import annotations

import io
import lzma
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from detector.errors import ImageError
from detector.vision import images
from detector.vision.images import reading
from detector.vision.slides import formats

CASES = Path(__file__).parents[4] / "shared" / "cases"


def field() -> np.ndarray:
    """A smooth picture, of shape (40, 60, 3)."""
    y, x = np.mgrid[:40, :60]
    return np.stack([200 - x, 180 - y, 160 + (x + y) // 2], axis=2).astype(np.uint8)


def chained(pages: int, circle: bool = False) -> bytes:
    """A TIFF file of so many pages of 2x2 pixels, all of them the same ones; the last is followed by the first in a circle."""
    tags = [(256, 2), (257, 2), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2), (279, 4)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    places = [8 + number * (len(directory) + 4) for number in range(pages)]
    following = [*places[1:], 8 if circle else 0]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(directory + struct.pack("<I", place) for place in following)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".svs", ".dcm"])
def test_only_regular_files_are_opened(tmp_path: Path, suffix: str) -> None:
    pipe, device, plug = (tmp_path / f"{name}{suffix}" for name in ("pipe", "device", "plug"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(plug))
        except OSError:
            plug = pipe  # the path is too long for one
        for path in (pipe, device, plug):
            with pytest.raises(ImageError, match="is no regular file"):
                images.read(path)
            with pytest.raises(ImageError, match="is no regular file"):
                images.size_of(path)
            with pytest.raises(ImageError, match="is no regular file"):
                formats.open_slide(path)
            assert formats.is_slide(path) == (suffix in formats.VENDOR_SUFFIXES)
            assert not images.is_deep(path)
        assert formats.repeated([pipe, device]) == set()


def test_a_file_of_endless_zeros_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        try:
            file.truncate(10**12)
        except OSError:
            pytest.skip("this file system has no files with holes")
    with pytest.raises(ImageError, match=r"has 1,000,000 MB, and 1,074 MB are the most"):
        images.read(path)
    path.rename(tmp_path / "a.tif")
    assert not formats.is_slide(tmp_path / "a.tif")


def test_a_name_with_a_zero_byte_and_a_folder_say_why(tmp_path: Path) -> None:
    for path in (Path("a\0.jpg"), tmp_path):
        with pytest.raises(ImageError, match="cannot be opened"):
            images.read(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.heic", b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "is HEIC, which is not read; save it as JPEG"),
        ("a.jpg", b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "is HEIC, which is not read; save it as JPEG"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is a camera's raw file, which is not read; develop it"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(50), "is a camera's raw file"),
        ("a.nef", b"II*\0\x08\0\0\0", "is a camera's raw file"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201", "is a camera's raw file"),
        ("a.czi", b"ZISRAWFILE\0\0\0\0\0\0" + bytes(99), "is Zeiss's format CZI, which is not read; export its pictures as TIFF"),
        ("a.czi", b"anything", "is Zeiss's format CZI"),
        ("a.nd2", b"\xda\xce\xbe\x0a" + bytes(99), "is Nikon's format ND2"),
        ("a.lif", b"\x70\0\0\0\x20\0\0\0\x2a" + bytes(99), "is Leica's format LIF"),
        ("a.vsi", b"II*\0" + bytes(99), "is Olympus's format"),
        ("a.jxl", b"\xff\x0a" + bytes(99), "is JPEG XL"),
        ("a.psd", b"8BPS\0\1" + bytes(99), "is Photoshop's format"),
        ("a.exr", b"\x76\x2f\x31\x01" + bytes(99), "is OpenEXR"),
    ],
)
def test_known_formats_that_are_not_read_are_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        images.load(path)


@pytest.mark.parametrize("name", ["a.heic", "a.nef", "a.jpe", "a.jfif", "a.dat"])
def test_a_common_picture_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    Image.fromarray(field()).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    assert np.array_equal(images.read(tmp_path / name), field())


def test_no_other_program_is_started_and_no_rare_format_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_args: object, **_options: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(subprocess, "check_call", started)
    (tmp_path / "field.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ImageError, match="is not an image"):
        images.read(tmp_path / "field.png")
    for kind in ("PCX", "SGI", "TGA", "ICO", "IM", "SPIDER", "PDF"):
        file = io.BytesIO()
        Image.fromarray(field()).convert("L").convert("F" if kind == "SPIDER" else "RGB").save(file, kind)
        with pytest.raises(ImageError):
            images.decode(file.getvalue())


def test_pages_are_counted_up_to_a_limit_and_a_circle_ends(tmp_path: Path) -> None:
    started = time.process_time()
    assert images.decode(chained(3)).note == "first of 3 pages"
    assert images.decode(chained(3, circle=True)).note == "first of 3 pages"
    path = tmp_path / "many.tif"
    path.write_bytes(chained(200_000))
    assert not formats.is_slide(path)
    with pytest.raises(ImageError, match="holds more than 10,000 pages; save the one"):
        images.load(path)
    assert time.process_time() - started < 5


def test_sizes_that_a_description_invents_are_not_believed(tmp_path: Path) -> None:
    described = {
        "ome": '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
        'DimensionOrder="XYCZT" SizeX="60" SizeY="40" SizeC="1" SizeZ="1" SizeT="2000000000" Type="uint8" ID="P"><TiffData/>'
        "</Pixels></Image></OME>",
        "imagej": "ImageJ=1.53\nimages=2000000000\nframes=2000000000\nhyperstack=true\n",
    }
    for name, text in described.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, field()[:, :, 0], description=text, metadata=None)
        started = time.process_time()
        assert not formats.is_slide(path)
        assert images.read(path).shape == (40, 60, 3)
        assert time.process_time() - started < 2


def test_xml_that_unfolds_without_end_is_refused_or_passed_over() -> None:
    bomb = "<!DOCTYPE x [" + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12)) + "]>"
    file = io.BytesIO()
    tifffile.imwrite(file, field()[:, :, 0], description=f"{bomb}<OME>&e11;</OME>", metadata=None)
    assert images.decode(file.getvalue()).rgb.shape == (40, 60, 3)


@pytest.mark.parametrize("compression", [8, 34925])
def test_a_strip_that_unpacks_to_much_more_than_its_pixels_is_damaged(compression: int, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = zlib.compress(bytes(10**6), 9) if compression == 8 else lzma.compress(bytes(10**6))
    monkeypatch.setattr("detector.vision.images.tiff_page._FEW_BYTES", 0)
    file = io.BytesIO()
    tifffile.imwrite(file, field().astype(np.uint16), photometric="rgb", metadata=None, rowsperstrip=40)
    content = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as read:
        tags = read.pages[0].tags
        for tag, value in ((259, compression), (273, len(content)), (279, len(packed))):
            bytes_of = 2 if tags[tag].dtype == 3 else 4
            content[tags[tag].valueoffset : tags[tag].valueoffset + bytes_of] = value.to_bytes(bytes_of, "little")
    with pytest.raises(ImageError, match="unpacks to more than its pixels"):
        images.decode(bytes(content) + packed)


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, field().astype(np.uint16), photometric="rgb", metadata=None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 40 // 3)
    with pytest.raises(ImageError, match="million pixels"):
        images.decode(file.getvalue())


def test_running_out_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(field()).save(tmp_path / "a.png")

    def full(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reading, "opener", lambda: full)
    with pytest.raises(ImageError, match="needs more memory than there is"):
        images.read(tmp_path / "a.png")


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(field()).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    start = content.rindex(b"\xff\xda")
    assert images.decode(content).rgb.shape == (40, 60, 3)
    with pytest.raises(ImageError, match="has more than 500 scans"):
        images.decode(content[:-2] + content[start:-2] * 600 + b"\xff\xd9")


def test_room_is_kept_for_so_many_pixels_whatever_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(field()).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 40 * 3 // 2)
    assert images.most_pixels() == 3 * 60 * 40
    inside, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with images.room(path):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3
    # What is larger than all of the room goes alone, and what cannot be opened takes none.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with images.room(path), pytest.raises(ImageError):
        images.read(path)
    with images.room(tmp_path / "none.png"):
        pass


def test_without_its_codec_deep_tiff_is_read_by_opencv_or_says_what_to_install(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="LZW needs the extra slides to be written")
    deep = field().astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", compression="lzw", metadata=None)
    planes = deep.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "b.tif", planes, photometric="rgb", planarconfig="separate", compression="lzw", metadata=None)
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from pathlib import Path; from detector.vision import images\n"
        "print(images.read(Path('a.tif')).sum())\n"
        "images.read(Path('b.tif'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(field().sum())
    assert "compressed by LZW, which needs imagecodecs: pip install 'smearcount[slides]'" in done.stderr


def test_the_first_page_of_many_kinds_says_that_it_is_the_first() -> None:
    other = [Image.fromarray(255 - field())]
    for kind, note in (
        ("TIFF", "first of 2 pages"),
        ("PNG", "first of 2 pages"),
        ("GIF", "first of several pictures"),
        ("MPO", ""),
    ):
        file = io.BytesIO()
        Image.fromarray(field()).save(file, kind, save_all=True, append_images=other)
        assert images.decode(file.getvalue()).note == note


def test_alpha_that_is_0_in_a_part_only_hides_that_part(tmp_path: Path) -> None:
    alpha = np.zeros((40, 60), np.uint8)
    alpha[0, 0] = 255
    Image.fromarray(np.dstack([field(), alpha])).save(tmp_path / "a.png")
    rgb = images.read(tmp_path / "a.png")
    assert rgb[0, 0].tolist() == field()[0, 0].tolist()
    assert (rgb[1:] == 255).all()
    assert np.array_equal(images.of_array(np.dstack([field(), alpha])), rgb)
    assert np.array_equal(images.of_array(np.dstack([field(), np.zeros_like(alpha)])), field())


@pytest.mark.parametrize("opaque", [1, 128])
@pytest.mark.parametrize("deep", [False, True])
def test_the_largest_alpha_is_opaque(tmp_path: Path, opaque: int, deep: bool) -> None:
    kind = np.uint16 if deep else np.uint8
    values = field().astype(kind) * (257 if deep else 1)
    alpha = np.full((40, 60), opaque, kind)
    everywhere = np.dstack([values, alpha])
    alpha[20:] = 0
    masked = np.dstack([values, alpha])
    for number, (array, hidden) in enumerate([(everywhere, 40), (masked, 20)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), array[:, :, [2, 1, 0, 3]])
        tifffile.imwrite(tmp_path / f"{number}.tif", array, photometric="rgb", extrasamples=["unassalpha"])
        for rgb in (images.of_array(array), *(images.read(tmp_path / f"{number}.{end}") for end in ("png", "tif"))):
            assert np.array_equal(rgb[:hidden], field()[:hidden])
            assert (rgb[hidden:] == 255).all()


@pytest.mark.parametrize("tag", [0, 1])
def test_a_small_copy_before_the_picture_is_not_counted(tmp_path: Path, tag: int) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(field()[::2, ::2].copy(), photometric="rgb", subfiletype=tag)
        writer.write(field(), photometric="rgb")
    with pytest.raises(ImageError, match="holds a small copy of a later picture as its first; save the whole picture alone"):
        images.read(tmp_path / "a.tif")


def test_a_tiff_of_webp_names_its_compression(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", field(), photometric="rgb")
    content = (tmp_path / "a.tif").read_bytes()
    # Tag 259, of type SHORT, one value: no compression.
    plain = b"\x03\x01\x03\x00\x01\x00\x00\x00\x01\x00"
    assert content.count(plain) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(plain, plain[:-2] + (50001).to_bytes(2, "little")))
    with pytest.raises(ImageError, match="WEBP"):
        images.read(tmp_path / "a.tif")


def test_a_picture_of_whole_numbers_in_32_bits_is_read_as_its_file_is() -> None:
    grey = field()[:, :, 0]
    picture = Image.fromarray(grey.astype(np.int32) * 16)
    assert picture.mode == "I"
    assert np.array_equal(images.of_picture(picture)[:, :, 0], grey.astype(int) * 16 * 255 // 4095)


def _case(name: str) -> Path:
    path = CASES / name
    if not path.exists():
        pytest.skip(f"the case {name} is not beside this checkout")
    return path


@pytest.mark.parametrize(
    "name", ["alpha_all_zero/alpha0.png", "tiff16_planes/planar16.tif", "tiff_channels_as_pages/imagej_composite.tif"]
)
def test_a_reported_picture_shows_what_its_jpeg_shows(name: str) -> None:
    path = _case(name)
    assert np.abs(images.read(path).astype(int) - images.read(path.with_name("same_rgb.jpg"))).mean() < 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tiff_float_and_heic_message/float_rgb.tif", "holds floating-point values; save it with 8 or 16 bits"),
        ("tiff_float_and_heic_message/phone.heic", "HEIC, which is not read; save it as JPEG"),
        ("extensions_skipped/c.heic", "HEIC, which is not read; save it as JPEG"),
    ],
)
def test_a_reported_picture_that_is_not_read_is_named(name: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.read(_case(name))
