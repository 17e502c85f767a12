from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import cv2
import pytest

from detector.engines.pool import handed_on, in_order


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_inputs(workers: int) -> None:
    def late(number: int) -> int:
        time.sleep(0.002 * (9 - number))
        return number

    assert list(in_order(late, range(10), workers)) == list(range(10))


def test_no_more_than_twice_the_workers_are_begun_before_one_is_taken() -> None:
    begun: list[int] = []
    results = in_order(begun.append, range(100), 2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 4


def test_opencv_works_on_one_thread_meanwhile_and_as_before_afterwards() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        assert list(in_order(lambda _: cv2.getNumThreads(), range(3), 2)) == [1, 1, 1]
        assert cv2.getNumThreads() == 3
        with pytest.raises(ZeroDivisionError):
            list(in_order(lambda one: 1 // one, [1, 0, 1], 2))
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_failure_ends_the_work_and_leaves_no_thread() -> None:
    threads = threading.active_count()
    results = in_order(lambda one: 1 // one, [1, 0, *[1] * 50], 2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert threading.active_count() == threads


def test_things_are_handed_on_in_order_while_the_block_runs() -> None:
    seen: list[int] = []
    first = threading.Event()

    def take(things: Iterator[int]) -> None:
        for one in things:
            seen.append(one)
            first.set()

    with handed_on(take) as hand:
        hand(1)
        assert first.wait(10)
        assert seen == [1]
        for one in range(2, 50):
            hand(one)
    assert seen == list(range(1, 50))


def test_what_takes_them_fails_by_what_the_block_fails_by() -> None:
    failures: list[BaseException] = []

    def take(things: Iterator[int]) -> None:
        try:
            list(things)
        except BaseException as error:
            failures.append(error)
            raise

    with pytest.raises(KeyboardInterrupt), handed_on(take) as hand:  # noqa: PT012
        hand(1)
        raise KeyboardInterrupt
    assert [type(one) for one in failures] == [KeyboardInterrupt]


@pytest.mark.parametrize("more", [0, 1000])
def test_where_what_takes_them_fails_the_block_learns_of_it(more: int) -> None:
    failed = threading.Event()

    def take(things: Iterator[int]) -> None:
        try:
            next(things)
            raise OSError("no space")
        finally:
            failed.set()

    with pytest.raises(OSError, match="no space"), handed_on(take) as hand:  # noqa: PT012
        hand(1)
        assert failed.wait(10)
        for one in range(more):
            hand(one)
