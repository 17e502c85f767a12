"""Counting on a cluster of Ray: actors that each hold the model, and a driver that hands them tasks.

Tasks go to actors directly. Ray Data, which reads and batches in tasks of its own, took ten times as long and 100 MB more of the driver for
3,000 small tasks, and writes partitions that cannot be continued.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detector import process
from detector.engines.archive import Flow, Task
from detector.engines.shards import Setup, ShardWorker
from detector.errors import MissingExtraError, SmearcountError, SourceError, UsageError

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_enable_metrics_collection": "0",
}
"""Nothing is reported to anybody."""
_MODE, _TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
"""Variables by which Ray takes whether programs must show a token to join a cluster, and the token."""
_OWN_TOKEN = secrets.token_hex(32)
"""Of clusters that this process starts: Ray takes the first that it sees for all of them."""
_WANTS_TOKEN = f"if its head has a token (~/.ray/auth_token there), set {_MODE}=token, and {_TOKEN} to it"
_LOOPBACK = "127.0.0.1"
_CONNECT_S = 10.0
_LOOK_S = 0.5
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_OBJECTS_BYTES = 100_000_000
"""Room for what tasks and answers hold: names of fields, and no pictures."""


def run(flow: Flow, setup: Setup, address: str | None, workers: int | None) -> None:
    """Have a cluster do all tasks of a flow.

    A worker that is lost, with its machine or without, is replaced, and its task is done again.

    Args:
        address: `host:port` of the head of a running cluster; None starts one on this machine for as long as this lasts.
        workers: actors, of one processor each; None takes as many as the cluster has processors.

    Raises:
        MissingExtraError: Ray is not installed. UsageError: the address is none, or versions differ. SourceError: no cluster is there.
        SmearcountError: a task cannot be done. KeyboardInterrupt: a signal came.
    """
    with _restored(_MODE, _TOKEN), _cluster(address) as ray:
        actors = workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        flow.ahead = 2 * actors
        pool = _Pool(ray, setup, actors)
        while True:
            process.check()
            pool.fill(flow)
            if not pool.busy:
                return
            for task, answer in pool.ended():
                if answer is _LOST:
                    flow.lost(task)
                else:
                    flow.done(task, answer)


_LOST = object()
"""In place of an answer, where the worker was lost."""
_MOST_FAILED = 5
"""Actors in a row that are lost before they are ready."""


class _Pool:
    """Actors that are started, that wait for a task, and that work on one."""

    def __init__(self, ray: Any, setup: Setup, actors: int) -> None:
        self._ray = ray
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Actor)
        self._setup = ray.put(setup)
        self._free: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, Task]] = {}
        self._failed = 0
        for _ in range(actors):
            self._start()

    @property
    def busy(self) -> bool:
        """Whether a task is worked on, or none could be given out since no actor is ready."""
        return bool(self._busy) or not self._free

    def fill(self, flow: Flow) -> None:
        """Give tasks to actors that are free."""
        while self._free and (task := flow.next()) is not None:
            actor = self._free.pop()
            self._busy[actor.do.remote(task.method, *task.arguments)] = (actor, task)

    def ended(self) -> Iterator[tuple[Task, Any]]:
        """Tasks that have ended meanwhile, with their answers."""
        refs = [*self._busy, *self._starting]
        done, _ = self._ray.wait(refs, num_returns=1, timeout=_LOOK_S)
        for ref in done:
            if ref in self._starting:
                self._started(ref)
                continue
            actor, task = self._busy.pop(ref)
            try:
                answer = self._answer(ref)
            except self._ray.exceptions.RayError:
                self._start()
                answer = _LOST
            else:
                self._free.append(actor)
            yield task, answer

    def _start(self) -> None:
        actor = self._actor.remote()
        self._starting[actor.load.remote(self._setup)] = actor

    def _started(self, ref: Any) -> None:
        """Take an actor whose model is loaded.

        Raises:
            SmearcountError: it has no model, other versions, or cannot be started.
        """
        actor = self._starting.pop(ref)
        try:
            self._answer(ref)
        except self._ray.exceptions.RayError as error:
            self._failed += 1
            if self._failed < _MOST_FAILED:
                self._start()
                return
            raise SourceError(
                f"workers cannot be started ({_line(error)}); install the same smearcount and Ray on each machine of the cluster"
            ) from None
        self._failed = 0
        self._free.append(actor)

    def _answer(self, ref: Any) -> Any:
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SmearcountError):
                raise error.cause from None
            raise SmearcountError(f"a worker failed ({_line(error.cause or error)}); what was counted is kept") from None


class _Actor:
    """A process of the cluster."""

    def load(self, setup: Setup) -> None:
        """Load the model."""
        self._worker = ShardWorker(setup)

    def do(self, method: str, *arguments: Any) -> Any:
        """Do a task."""
        return getattr(self._worker, method)(*arguments)


@contextmanager
def _restored(*names: str) -> Iterator[None]:
    """Leave these variables of the environment as they were, however the block ends."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at an address, or to one of its own on the loopback interface."""
    os.environ.update(_QUIET)
    if address is None:
        # Else Ray takes the address of a network, and is open to it.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Else Ray leaves a token in the home folder, and each cluster that is started later wants it.
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault(_TOKEN, _OWN_TOKEN)
    else:
        _reach(address)
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise MissingExtraError("Ray", "ray", "--engine ray") from None
    if address is None:
        _leave_out_usage(ray)
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    here: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": _LOOPBACK, "object_store_memory": _OBJECTS_BYTES}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address or "local", **quiet, **({} if address else here))
    except Exception as error:
        where = f"{address}: cannot be joined" if address else "Ray cannot be started on this machine"
        remedy = (
            f"give all machines the same versions of Python and Ray; {_WANTS_TOKEN}" if address else "count with --engine local"
        )
        raise SourceError(f"{where} ({_line(error)}); {remedy}") from None
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _leave_out_usage(ray: Any) -> None:
    """Start no process for Ray's dashboard, which is left with the reports of usage alone.

    With reports off as well, it asks the metadata services of three clouds which of them this computer is in.
    """
    ray._private.services.start_api_server = lambda *_, **__: ("", None)


def _reach(address: str) -> None:
    """Refuse an address at which nothing listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(f"--ray-address {address}: give host:port of the cluster's head, as `ray start --head` prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise SourceError(
            f"--ray-address {address}: no cluster answers there ({getattr(error, 'strerror', None) or error}); start one with "
            "`ray start --head`, or leave the option out to count on this machine"
        ) from None


def _line(error: BaseException) -> str:
    """What an error says in one line; of those of Ray, which begin with what all have in common, the end."""
    return _COLOURS.sub("", " ".join(str(error).split()))[-300:] or type(error).__name__
