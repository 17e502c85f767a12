"""The simulated archive is limited by what it should be limited by."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("fsspec", reason="needs the ray extra: pip install -e '.[ray]'")

from benchmarks.simulated_archive import IN_SMEAR, LOOKED_AT, Costs, archive_of, simulate

FREE = Costs(field_s=0.1, tile_s=0.1, task_s=0.0, request_s=0.0, field_bytes=50_000, tile_bytes=50_000, bytes_per_s=1e15)
"""All but computing takes no time."""
FIELDS = 6400
TASKS = FIELDS // IN_SMEAR * 5
"""A scale and four slices for each smear, without the sums."""


def test_all_workers_compute_where_nothing_else_takes_time() -> None:
    computed_s = 0.1 * FIELDS * (1 + LOOKED_AT / IN_SMEAR)
    for workers in (1, 8):
        outcome = simulate(archive_of(FIELDS, 0, 1), workers, FREE)
        # The last ones end one after the other.
        assert computed_s <= outcome.seconds * workers < computed_s * 1.06
        assert outcome.tasks >= TASKS


@pytest.mark.parametrize("workers", [8, 32])
def test_the_network_is_shared_and_never_carries_more_than_it_can(workers: int) -> None:
    outcome = simulate(archive_of(FIELDS, 0, 1), workers, replace(FREE, field_s=0.0, bytes_per_s=1e6))
    assert outcome.seconds == pytest.approx(FIELDS * (1 + LOOKED_AT / IN_SMEAR) * 50_000 / 1e6, rel=0.01)
    assert outcome.network == pytest.approx(1, abs=0.01)


def test_the_driver_takes_one_answer_at_a_time() -> None:
    few, many = (simulate(archive_of(FIELDS, 0, 1), workers, replace(FREE, task_s=0.5)) for workers in (64, 256))
    for outcome in (few, many):
        assert outcome.seconds >= 0.5 * TASKS
        assert outcome.driver > 0.9
    assert many.seconds == pytest.approx(few.seconds, rel=0.1)


def test_requests_for_fields_are_hidden_behind_computing_and_others_are_not() -> None:
    plain = simulate(archive_of(FIELDS, 0, 1), 4, FREE)
    slow = simulate(archive_of(FIELDS, 0, 1), 4, replace(FREE, request_s=0.05))
    ahead = FIELDS * (1 + LOOKED_AT / IN_SMEAR) - TASKS
    waits = (slow.requests - ahead) * 0.05 / 4
    assert plain.seconds + waits == pytest.approx(slow.seconds, rel=0.01)
    # Where an answer takes longer than two fields, it is what all wait for.
    slowest = simulate(archive_of(FIELDS, 0, 1), 4, replace(FREE, request_s=0.4))
    assert slowest.seconds > 1.9 * plain.seconds


def test_one_slide_spreads_over_workers() -> None:
    alone, spread = (simulate(archive_of(0, 1, 320), workers, FREE) for workers in (1, 10))
    assert alone.seconds == pytest.approx(0.1 * 323, rel=0.01)
    assert spread.seconds == pytest.approx(0.1 * 35, rel=0.01)
