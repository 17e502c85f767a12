"""What the service tells of itself: metrics for Prometheus, and a log of JSON lines without names of patients, smears or files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from detector.service.lanes import Lane

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class EventLog:
    """Writes events as lines of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def note(self, event: str, level: str = "info", **told: object) -> None:
        """Write one line; what is told are numbers, and words of this program's own."""
        head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
        with self._lock:
            self._stream.write(json.dumps({**head, **told}) + "\n")
            self._stream.flush()


class Metrics:
    """What is counted while the service runs."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Lanes(lanes))
        self._requests = Counter(
            "smearcount_requests", "Requests answered", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "smearcount_request_seconds", "Time to an answer", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._fields = Counter("smearcount_fields", "Fields worked through", ("status",), registry=self._registry)
        self._jobs = Counter("smearcount_jobs", "Jobs that ended", ("state",), registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def counted(self, end: Mapping[str, object]) -> None:
        """Count the fields of a request that ended."""
        for status in ("read", "unread"):
            self._fields.labels(status).inc(int(str(end.get(status, 0))))

    def job_ended(self, state: str) -> None:
        """Count a job."""
        self._jobs.labels(state).inc()

    def exposition(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


class _Lanes(Collector):
    """Queues and workers, as they are when asked for."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    def collect(self) -> Iterable[Metric]:
        """A value of each lane."""
        figures = {lane.plan.name: lane.figures() for lane in self._lanes}
        for name, about in (
            ("waiting", "Requests that wait or come in"),
            ("running", "Requests that are worked on"),
            ("capacity", "Requests that may wait"),
        ):
            yield self._gauge(f"smearcount_queue_{name}", about, {lane: own[name] for lane, own in figures.items()})
        memory = {lane: own["memory_bytes"] for lane, own in figures.items()}
        yield self._gauge("smearcount_worker_memory_bytes", "Resident memory of the worker", memory)
        restarts = CounterMetricFamily("smearcount_worker_restarts", "Workers that ended and were replaced", labels=("lane",))
        for lane, own in figures.items():
            restarts.add_metric((lane,), own["restarts"])
        yield restarts

    def _gauge(self, name: str, about: str, values: Mapping[str, float]) -> Metric:
        gauge = GaugeMetricFamily(name, about, labels=("lane",))
        for lane, value in values.items():
            gauge.add_metric((lane,), value)
        return gauge
