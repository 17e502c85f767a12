"""Videos and folders: each picture once, what is damaged, what only looks so, and what OpenCV cannot read."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from staging import FFMPEG, number_of, picture, refused, taken, write_video

from detector.streams.sources import recorded
from detector.streams.sources.recorded import interlaced, shown_length_s

needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg: apt-get install ffmpeg")


def test_of_a_video_each_picture_comes_with_its_time_and_right_colours(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (20, 40, 220), np.uint8))
    writer.release()
    assert np.allclose(taken(tmp_path / "red.avi")[0][0].rgb[24, 32], (220, 40, 20), atol=8)
    frames, faults = taken(write_video(tmp_path / "v.avi", 60))
    assert [number_of(one.rgb) for one in frames] == list(range(60))
    assert np.allclose([one.time_s for one in frames], np.arange(60) / 25, atol=1e-3)
    assert faults == []


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "MJPG"), ("v.mkv", "mp4v")])
def test_a_video_that_ends_early_says_so(tmp_path: Path, name: str, codec: str) -> None:
    video = write_video(tmp_path / name, 100, codec)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    frames, faults = taken(video)
    assert 20 < len(frames) < 80
    assert [number_of(one.rgb) for one in frames] == list(range(len(frames)))
    assert faults[-1].kind == "ended"
    assert f"states 100 pictures and gave {len(frames)}" in faults[-1].reason


def test_behind_damaged_pictures_of_a_video_the_others_are_read(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 100, "mp4v")
    content = bytearray(video.read_bytes())
    begin = content.index(b"mdat")
    content[begin + len(content) // 3 : begin + len(content) // 3 + 900] = bytes(900)
    video.write_bytes(content)
    frames, faults = taken(video)
    assert 70 < len(frames) < 100
    assert number_of(frames[-1].rgb) == 99
    assert "damaged" in {one.kind for one in faults}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty (0 bytes)"), (b"no video" * 100, "is not a video, or is cut off or damaged at its beginning")],
)
def test_a_file_that_is_no_video_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.mp4").write_bytes(content)
    assert message in refused(tmp_path / "v.mp4")


def made(path: Path, *options: str, seconds: float = 1.0, colour: str = "testsrc2") -> Path:
    """A video of a moving picture at 50 a second, made by ffmpeg."""
    source = f"{colour}=size=160x128:rate=50:duration={seconds}"
    command = [str(FFMPEG), "-loglevel", "error", "-y", "-f", "lavfi", "-i", source, *options, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


FIELDS = ("-vf", "interlace", "-flags", "+ilme+ildct")


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("v.mp4", ("-c:v", "libx264", *FIELDS)),
        ("v.ts", ("-c:v", "mpeg2video", *FIELDS)),
        ("v.avi", ("-c:v", "mpeg4", *FIELDS)),
        ("v.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv422p", *FIELDS)),
        ("v.dv", ("-vf", "interlace,scale=720:576", "-r", "25", "-c:v", "dvvideo", "-pix_fmt", "yuv420p")),
        ("one.avi", ("-c:v", "mpeg4", *FIELDS, "-frames:v", "1")),
    ],
)
def test_interlaced_video_is_refused_with_the_remedy(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    remedy = f"ffmpeg -i {name} -vf yadif {name.split('.')[0]}-progressive.mp4"
    assert refused(made(tmp_path / name, *options)).endswith(
        f"is interlaced, which cannot be read; deinterlace it first: {remedy}"
    )


@needs_ffmpeg
def test_the_remedy_works(tmp_path: Path) -> None:
    video = made(tmp_path / "my video.mp4", "-c:v", "mpeg4", *FIELDS)
    command = refused(video).split("deinterlace it first: ")[1].replace("ffmpeg", f"{FFMPEG} -loglevel error", 1)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, stdin=subprocess.DEVNULL)
    frames, faults = taken(tmp_path / "my video-progressive.mp4")
    assert (len(frames), faults) == (25, [])
    assert not np.array_equal(frames[0].rgb, frames[10].rgb)


@needs_ffmpeg
def test_where_a_video_becomes_interlaced_it_ends_with_a_fault(tmp_path: Path) -> None:
    parts = [made(tmp_path / "a.ts", "-c:v", "mpeg2video"), made(tmp_path / "b.ts", "-c:v", "mpeg2video", *FIELDS)]
    video = tmp_path / "v.ts"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, faults = taken(video)
    assert 50 <= len(frames) <= 51
    assert [fault.kind for fault in faults] == ["damaged"]
    assert "on the video is interlaced, which cannot be read" in faults[0].reason


@needs_ffmpeg
def test_a_progressive_video_is_read_though_its_pictures_repeat(tmp_path: Path) -> None:
    for video in (
        made(tmp_path / "still.mp4", "-c:v", "libx264", colour="color"),
        made(tmp_path / "fake.mp4", "-c:v", "libx264", "-x264-params", "fake-interlaced=1"),
    ):
        frames, faults = taken(video)
        assert (len(frames), faults) == (50, [])


def test_where_no_process_can_be_asked_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded.sys, "executable", str(tmp_path / "none"))
    assert not interlaced(write_video(tmp_path / "v.avi", 3), 0)


@needs_ffmpeg
def test_a_video_cut_without_encoding_is_whole(tmp_path: Path) -> None:
    long = made(tmp_path / "long.mp4", "-c:v", "libx264", "-g", "200", "-r", "25", seconds=6.0)
    cut = tmp_path / "cut.mp4"
    command = [str(FFMPEG), "-loglevel", "error", "-ss", "2.5", "-i", str(long), "-c", "copy", str(cut)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    capture = cv2.VideoCapture(str(cut), cv2.CAP_FFMPEG)
    frames, faults = taken(cut)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) > len(frames) + 40
    assert faults == []
    assert shown_length_s(cut) == pytest.approx(len(frames) / 25, abs=0.1)


@needs_ffmpeg
def test_a_video_whose_rate_varies_is_whole(tmp_path: Path) -> None:
    slow = "select='not(between(n,20,90))+not(mod(n,10))'"
    video = made(tmp_path / "v.mkv", "-vf", slow, "-fps_mode", "vfr", "-c:v", "libx264", seconds=4.0)
    frames, faults = taken(video)
    assert len(frames) < 150
    assert faults == []
    assert frames[-1].time_s == pytest.approx(3.98, abs=0.03)


@needs_ffmpeg
@pytest.mark.parametrize("rest", [b"", bytes(200_000)], ids=["cut", "zeros"])
def test_an_mp4_that_lacks_its_end_says_so(tmp_path: Path, rest: bytes) -> None:
    whole = made(tmp_path / "v.mp4", "-c:v", "libx264", "-g", "10", "-movflags", "faststart", seconds=4.0)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 6 // 10] + rest)
    frames, faults = taken(whole)
    assert 80 < len(frames) < 160
    assert (faults[-1].kind, "states 200 pictures" in faults[-1].reason) == ("ended", True)


@needs_ffmpeg
def test_times_that_begin_again_go_on(tmp_path: Path) -> None:
    part = made(tmp_path / "a.ts", "-c:v", "mpeg2video").read_bytes()
    (tmp_path / "v.ts").write_bytes(3 * part)
    frames, faults = taken(tmp_path / "v.ts")
    assert (len(frames), faults) == (150, [])
    assert np.allclose([frame.time_s for frame in frames], np.arange(150) / 50, atol=0.05)


@pytest.mark.parametrize(
    ("stated", "times"),
    [
        ([0.0, 0.04, 0.08], [0.0, 0.04, 0.08]),
        ([0.0, 0.0, 0.0], [0.0, 0.04, 0.08]),
        ([0.0, 0.04, 0.0, 0.04, 0.0], [0.0, 0.04, 0.08, 0.12, 0.16]),
        ([7.0, 7.04, 7.08], [0.0, 7.04, 7.08]),
    ],
)
def test_times_of_pictures(stated: list[float], times: list[float]) -> None:
    clock = recorded._Clock(0.04)
    assert [clock.time_s(one) for one in stated] == pytest.approx(times)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video" * 9,
        struct.pack(">I4s", 8, b"moov"),
        struct.pack(">I4sQ", 1, b"moov", 16),
        struct.pack(">I4s", 0, b"ftyp"),
        struct.pack(">I4sI4s", 16, b"moov", 8, b"mvhd"),
        struct.pack(">I4sI4sI4s", 24, b"moov", 8, b"trak", 0xFFFFFFFF, b"mvhd") + bytes(30),
    ],
)
def test_of_what_is_no_mp4_no_length_is_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.mp4").write_bytes(content)
    assert shown_length_s(tmp_path / "v.mp4") is None


@needs_ffmpeg
@pytest.mark.parametrize(("name", "codec", "form"), [("v.mkv", "ffv1", "gray16le"), ("v.mp4", "libx264", "gray")])
def test_grey_video_is_grey(tmp_path: Path, name: str, codec: str, form: str) -> None:
    frames, _ = taken(made(tmp_path / name, "-c:v", codec, "-pix_fmt", form))
    assert len(frames) == 50
    rgb = frames[9].rgb
    assert rgb.std() > 20
    assert np.array_equal(rgb[:, :, 0], rgb[:, :, 2])


def test_frames_of_a_folder_come_in_the_order_of_their_numbers_and_damaged_ones_are_told(tmp_path: Path) -> None:
    for number in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), picture(number)[:, :, ::-1])
    (tmp_path / "f3.png").write_bytes((tmp_path / "f2.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    frames, faults = taken(tmp_path)
    assert [number_of(frame.rgb) for frame in frames] == [1, 2, 9, 10]
    assert [fault.kind for fault in faults] == ["damaged"]
    assert faults[0].reason.startswith("f3.png is ")


@needs_ffmpeg
@pytest.mark.parametrize(("size", "aspect"), [("80:128", "2/1"), ("160:64", "1/2"), ("160:128", "1/1")])
def test_pictures_of_pixels_that_are_not_square_get_square_ones(tmp_path: Path, size: str, aspect: str) -> None:
    video = made(tmp_path / "v.mp4", "-vf", f"scale={size},setsar={aspect}", "-pix_fmt", "yuv420p")
    frames, _ = taken(video)
    assert frames[0].rgb.shape == (128, 160, 3)
