"""Why a camera, an address or a video file gives no picture, which OpenCV does not say."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322, "rtmp": 1935}
_TIMEOUT_S = 3.0
_DEVICES = Path("/dev")


def of_camera(device: int | str) -> str:
    """Why a camera cannot be opened, and what would work."""
    if not sys.platform.startswith("linux"):
        return "cannot be opened; is it plugged in, free of other programs, and may this program use the camera?"
    path = _DEVICES / f"video{device}" if isinstance(device, int) else Path(device)
    present = sorted(one.name.removeprefix("video") for one in _DEVICES.glob("video*"))
    if not path.exists():
        others = f"there are: {', '.join(present)}" if present else "there is none at all; is one plugged in?"
        return f"no such camera ({path} does not exist); {others}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except PermissionError:
        return f"permission denied for {path}; add yourself to its group: sudo usermod -aG video $USER, then log in again"
    except OSError as error:
        if error.errno == errno.EBUSY:
            return f"{path} is in use by another program; close that one"
        return f"{path} cannot be opened ({error.strerror})"
    return f"{path} gives no picture; is it a camera, and in use by no other program?"


def of_address(address: str) -> str:
    """Why an address gives no picture, and what to look at."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError as error:
        return f"is not an address ({error})"
    if not host:
        return "is not an address; give it as rtsp://HOST:PORT/PATH"
    if port is None or parts.scheme.lower() in ("udp", "srt"):
        return "nothing arrives there; is the sender running, and does it send to this address?"
    try:
        socket.create_connection((host, port), _TIMEOUT_S).close()
    except ConnectionRefusedError:
        return f"connection refused; does a server listen on port {port} of {host}?"
    except socket.gaierror:
        return f"no computer is known by the name {host}; check it, or give its number"
    except TimeoutError:
        return f"{host} does not answer on port {port}; is it switched on, and in this network?"
    except OSError as error:
        return f"{host} cannot be reached ({error.strerror})"
    answer = _http_answer(parts.scheme.lower(), host, port, parts.path, parts.query)
    return answer or f"{host} answers, but not with a video that can be read; check the path, name and password"


def _http_answer(scheme: str, host: str, port: int, path: str, query: str) -> str:
    if scheme not in ("http", "https"):
        return ""
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{path or '/'}{'?' * bool(query)}{query}")
        response = connection.getresponse()
        content = response.getheader("Content-Type", "")
    except (OSError, http.client.HTTPException) as error:
        return f"{host} answers nothing that is HTTP ({error})"
    finally:
        connection.close()
    if response.status >= 400:
        return f"the server says {response.status} {response.reason}; check the path, name and password"
    if content.startswith("text/html"):
        return "is a web page, not a video; look in the camera's settings for the address of its MJPEG or RTSP stream"
    return ""


def of_video(path: Path) -> str:
    """Why a file cannot be opened as a video."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if empty:
        return "is empty (0 bytes)"
    return "is not a video, or is cut off or damaged at its beginning; MP4, MKV, AVI, MOV and others are read"
