"""Pages for people as one HTML file that asks nothing of a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.errors import writing
from detector.output.files import write_parts
from detector.texts import harmless

if TYPE_CHECKING:
    import jinja2

_SHARED = Path(__file__).parent / "templates"
REPORT = "report.html.j2"
"""Name of the template of a folder's main page."""
_AT_ONCE = 100
"""Scraps of a page that are handed on together; a field with a picture is some 50."""


def render(templates: Path, name: str = REPORT, **values: Any) -> str:
    """A page as one text; as `pieces` otherwise."""
    return "".join(pieces(templates, name, **values))


def pieces(templates: Path, name: str = REPORT, **values: Any) -> Iterator[str]:
    """A page from the template `name` in a folder of templates, which extends the shared `base.html.j2`, piece by piece.

    The folder's `report.css` comes after the shared style; its `report.js`, where there is one, is all that a browser runs. Every
    value is escaped, and shown without signs that reorder or hide text.
    """
    own = templates / "report.js"
    script = own.read_text(encoding="utf-8") if own.exists() else ""
    style = "".join(path.read_text(encoding="utf-8") for path in (_SHARED / "base.css", templates / "report.css"))
    stream = template(templates, name).stream(
        **values,
        style=style,
        script=script,
        # A browser runs this very script and no other, whatever a file's name may hold.
        script_hash=as_base64(hashlib.sha256(script.encode()).digest()),
    )
    stream.enable_buffering(_AT_ONCE)
    return stream


@cache
def template(templates: Path, name: str = REPORT) -> jinja2.Template:
    """A template of the folder, compiled; that takes time, which a command may use while a model works."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, _SHARED]),
        autoescape=True,
        finalize=lambda value: harmless(value) if type(value) is str else value,  # markup is ours
        undefined=jinja2.StrictUndefined,
        optimized=False,  # looking for constants takes a third of the time and finds hardly any
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for part in environment.list_templates(extensions=["j2"]):
        environment.get_template(part)
    return environment.get_template(name)


def write(target: Path, text: str) -> None:
    """Write a page.

    Raises:
        OutputError: it cannot be written.
    """
    write_pieces(target, [text])


def write_pieces(target: Path, texts: Iterable[str]) -> None:
    """Write a page as it is made: whole, one with many pictures takes several times its size in memory.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(target):
        write_parts(target, (text.encode("utf-8", "backslashreplace") for text in texts))


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that holds it; `kind` is its media type, for example `image/jpeg`."""
    return f"data:{kind};base64,{as_base64(content)}"


def as_base64(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode("ascii")
