"""What is served on this computer, a page or the service: the address, who is let in, and how many.

Who has a page's address, which holds a random token, is let in. Connections are bounded in number and in time, so that no client can
take from the program the file descriptors that its results need.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from detector.errors import MissingExtraError, OutputError, UsageError

if TYPE_CHECKING:
    import uvicorn
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
HEADERS = {
    # A page may load its own files and nothing else, and no other page may hold it or read from it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of each answer."""
MOST_CONNECTIONS = 64
"""More are not held: who has asked for nothing yet must go first."""
IDLE_S = 10.0
"""Time in which a client must have asked for something, or have taken what it asked for."""
_START_S = 10.0
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def address(text: str, option: str = "--serve", anywhere: bool = False) -> tuple[str, int]:
    """Host and port in `PORT` or `HOST:PORT`; without a host, this computer only. Port 0 takes one that is free.

    Args:
        option: what a message calls it.
        anywhere: whether it may be that of all networks at once.

    Raises:
        UsageError: it is neither, or names all addresses at once.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or LOOPBACK
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"{option} {text}: is not a port; give PORT such as 8000, or HOST:PORT to be reached from other computers"
        )
    try:
        places = {place[0] for *_, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        places = set()  # told where the address is taken
    if not anywhere and any(_ip(str(place)).is_unspecified for place in places):
        raise _too_wide(host, port, option)
    return host, int(port)


def file(path: Path) -> Response:
    """A file of a page, by its ending HTML, a style sheet or a script."""
    from starlette.responses import Response

    return Response(path.read_bytes(), media_type=_KINDS[path.suffix], headers=HEADERS)


class Listener:
    """Serves an application on a thread of its own; as a context manager it is closed however the block ends."""

    def __init__(
        self,
        place: tuple[str, int],
        purpose: str,
        most_connections: int = MOST_CONNECTIONS,
        option: str = "--serve",
        anywhere: bool = False,
        drain_s: int = 1,
    ) -> None:
        """Take the address; nothing is served yet.

        Args:
            place: host and port, as `address` gives them.
            purpose: what needs the server's packages, in messages.
            option: what a message calls the address.
            anywhere: whether it may be that of all networks at once.
            drain_s: time that answers which are being made have at the end.

        Raises:
            MissingExtraError: the server's packages are not installed.
            OutputError: the address cannot be taken.
            UsageError: it is that of all networks at once.
        """
        try:
            import uvicorn
        except ImportError:
            raise MissingExtraError("uvicorn", "serve", purpose) from None
        self.idle_s = IDLE_S
        """Time in which a client must have asked for something, or have taken what it asked for."""
        self._socket = _listening(place, most_connections, option, anywhere)
        self.bound, self.port = self._socket.getsockname()[:2]
        self.is_local = _ip(self.bound).is_loopback
        """Whether only users of this computer can reach it."""
        self.url = f"http://{f'[{place[0]}]' if ':' in place[0] else place[0]}:{self.port}/"
        self._drain_s = drain_s
        config = uvicorn.Config(self._app(place[0]), log_level="critical", access_log=False, server_header=False,
                                lifespan="off", timeout_graceful_shutdown=drain_s, ws="none", http=self._bounded(most_connections),
                                backlog=most_connections)  # fmt: skip
        self._server = _ending(uvicorn.Server)(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="page", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until = time.monotonic() + _START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(self._drain_s + _START_S)
        self._socket.close()

    def _app(self, host: str) -> ASGIApp:
        """What is served, under the host's name as it was given."""
        raise NotImplementedError

    def _bounded(self, most_connections: int) -> type[asyncio.Protocol]:
        """The server's HTTP, with so many connections at most that each do something every `idle_s`."""
        from uvicorn.protocols.http.h11_impl import H11Protocol

        connections: dict[Bounded, None] = {}
        server = self

        class Bounded(H11Protocol):
            asked: object = None
            timer: asyncio.TimerHandle | None = None

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                connections[self] = None
                if len(connections) > most_connections:
                    idle = next((other for other in connections if other.cycle is None), next(iter(connections)))
                    del connections[idle]
                    idle.transport.abort()
                self.timer = self.loop.call_later(server.idle_s, self.end_if_idle)

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                connections.pop(self, None)
                if self.timer is not None:
                    self.timer.cancel()

            def end_if_idle(self) -> None:
                # A new cycle begins with each request that has come whole.
                if self.cycle is self.asked:
                    self.transport.abort()
                    return
                self.asked = self.cycle
                self.timer = self.loop.call_later(server.idle_s, self.end_if_idle)

        return Bounded


class Server(Listener):
    """Serves a page below a random token."""

    def __init__(
        self,
        place: tuple[str, int],
        routes: Callable[[], Sequence[BaseRoute]],
        purpose: str,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        """Take the address; nothing is served yet.

        Args:
            place: host and port, as `address` gives them.
            routes: what is served below the token; called where the server's packages are installed.
            purpose: what needs them, in messages.

        Raises:
            MissingExtraError: the server's packages are not installed.
            OutputError: the address cannot be taken.
            UsageError: it is that of all networks at once.
        """
        self._token, self._routes_of_page = secrets.token_urlsafe(16), routes
        super().__init__(place, purpose, most_connections)
        self.url += f"{self._token}/"
        self.warning = (
            ""
            if self.is_local
            else (
                f"others in its network can reach {self.bound}: "
                "whoever has the page's whole address sees the picture, and nothing is encrypted"
            )
        )
        """What must be said of who can reach it; empty where only users of this computer can."""

    def _app(self, host: str) -> ASGIApp:
        from starlette.applications import Starlette
        from starlette.routing import Mount

        routes = [Mount(f"/{self._token}", routes=self._routes_of_page())]
        return _Gate(Starlette(routes=routes), own_names(host), self._token)


def own_names(host: str) -> set[str]:
    """Names under which a host is asked that was given so."""
    return {host.lower(), "localhost", LOOPBACK} if host in (LOOPBACK, "localhost") else {host.lower()}


def stranger(headers: Mapping[str, str], hosts: Container[str]) -> tuple[int, str] | None:
    """Status and reason for who names another host than these, as a page does that reaches it under a name of its own (DNS
    rebinding), or whom another page sent: browsers say so in `Origin` and `Sec-Fetch-Site`. None for anybody else."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in hosts:
        return 400, "this page has another name"
    foreign = headers.get("origin", f"http://{host}") != f"http://{host}"
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return 403, "another page sent you here; enter this page's address by hand"
    return None


def _ending(kind: type[uvicorn.Server]) -> type[uvicorn.Server]:
    """A server that leaves no connection open: uvicorn waits for an answer that is being made, and then forgets its connection."""

    class Ending(kind):  # type: ignore[valid-type, misc]
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            # An aborted transport closes its socket in the loop's next turn.
            await asyncio.sleep(0)

    return Ending


class _Gate:
    """Lets in who names this host and knows the token, and whom no other page sent."""

    def __init__(self, app: ASGIApp, hosts: set[str], token: str) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        refusal = stranger(Headers(scope=scope), self._hosts) or self._without_token(scope["path"])
        answer = self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0], headers=HEADERS)
        await answer(scope, receive, send)

    def _without_token(self, path: str) -> tuple[int, str] | None:
        if secrets.compare_digest(path.split("/")[1].encode(), self._token.encode()):
            return None
        return 404, "not found; the page's whole address stands in the terminal"


def _ip(text: str) -> IPv4Address | IPv6Address:
    """An address as it acts: `::ffff:0.0.0.0` is `0.0.0.0`."""
    ip = ip_address(text.partition("%")[0])
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _too_wide(host: str, port: object, option: str) -> UsageError:
    return UsageError(
        f"{option} {host}:{port}: name the one address by which others reach this computer, for example 192.168.1.20:{port}"
    )


def _listening(place: tuple[str, int], backlog: int, option: str, anywhere: bool) -> socket.socket:
    host, port = place
    try:
        family, kind, protocol, _, own = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OutputError(f"{option}: {host} is not an address of this computer ({error.strerror})") from None
    try:
        # A port that was left a moment ago may be taken again; on Windows this would let it be taken from others.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(own)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise OutputError(f"{option}: {host}:{port} cannot be taken ({error.strerror}); choose another port, or 0") from None
    if not anywhere and _ip(listener.getsockname()[0]).is_unspecified:
        listener.close()
        raise _too_wide(host, port, option)
    return listener
