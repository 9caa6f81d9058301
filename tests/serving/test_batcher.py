"""What waits is decided together, one batch at a time, whichever thread decides."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rec_platform.serving.batcher import Batcher


class Doubler:
    """Doubles numbers, refuses negative ones, and remembers its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.at_once = 0
        self._seconds = seconds

    def __call__(self, asks: Sequence[int]) -> list[int]:
        self.at_once += 1
        assert self.at_once == 1
        self.batches.append(list(asks))
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds)
        self.at_once -= 1
        if min(asks) < 0:
            raise ValueError("negative")
        return [2 * ask for ask in asks]


@pytest.mark.parametrize("on_the_loop", [True, False])
def test_everybody_gets_his_own_answer(on_the_loop: bool) -> None:
    double = Doubler(0.001)

    async def ask() -> tuple[list[int], list[int]]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(double, executor, at_once=lambda: on_the_loop, most=8)
            first = await asyncio.gather(*[batcher(n) for n in range(20)])
            return first, await asyncio.gather(*[batcher(n) for n in range(3)])

    first, second = asyncio.run(ask())
    assert first == [2 * n for n in range(20)]
    assert second == [0, 2, 4]
    assert [len(batch) for batch in double.batches] == [8, 8, 4, 3]
    assert (threading.get_ident() in double.threads) == on_the_loop


@pytest.mark.parametrize("on_the_loop", [True, False])
def test_an_error_is_told_to_those_of_its_batch(on_the_loop: bool) -> None:
    async def ask() -> tuple[list[int | BaseException], int]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(Doubler(), executor, at_once=lambda: on_the_loop)
            failed = await asyncio.gather(batcher(-1), batcher(1), return_exceptions=True)
            return failed, await batcher(4)

    failed, after = asyncio.run(ask())
    assert [type(one) for one in failed] == [ValueError, ValueError]
    assert after == 8


def test_who_has_gone_harms_nobody() -> None:
    async def ask() -> int:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(Doubler(0.02), executor)
            gone = asyncio.ensure_future(batcher(1))
            stays = asyncio.ensure_future(batcher(2))
            await asyncio.sleep(0.005)
            gone.cancel()
            return await stays

    assert asyncio.run(ask()) == 4


def test_what_comes_while_a_batch_is_decided_waits_for_the_next() -> None:
    double = Doubler(0.05)

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(double, executor)
            first = asyncio.ensure_future(batcher(1))
            await asyncio.sleep(0.02)
            await asyncio.gather(first, *[batcher(n) for n in (2, 3, 4)])

    asyncio.run(ask())
    assert double.batches == [[1], [2, 3, 4]]


def test_nothing_hangs_when_the_threads_are_gone() -> None:
    async def ask() -> None:
        executor = ThreadPoolExecutor(1)
        batcher = Batcher(Doubler(), executor)
        executor.shutdown()
        with pytest.raises(RuntimeError):
            await batcher(1)

    asyncio.run(ask())
