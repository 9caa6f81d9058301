"""What comes in while a batch is decided is decided together next: no request waits for others, and none alone is slow.

Serve's own ``@serve.batch`` does the same for ten times the work a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from concurrent.futures import Future as ThreadFuture
from typing import Generic, TypeAlias, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
Batch: TypeAlias = list[tuple[In, "asyncio.Future[Out]"]]


class Batcher(Generic[In, Out]):
    """Calls ``decide`` with what waits, one batch at a time, never two at once.

    Args:
        decide: answers several, in order; what it raises all of them raise.
        executor: has one thread, for batches that take long.
        at_once: whether a batch now is so quick that it is decided on the event loop: two threads that take turns at
            Python's one lock lose more than half of their time to it.
        most: of a batch.
    """

    def __init__(
        self,
        decide: Callable[[Sequence[In]], Sequence[Out]],
        executor: Executor,
        *,
        at_once: Callable[[], bool] = lambda: False,
        most: int = 32,
    ) -> None:
        self._decide = decide
        self._executor = executor
        self._at_once = at_once
        self._most = most
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._busy = False

    async def __call__(self, ask: In) -> Out:
        """The answer to one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Out] = loop.create_future()
        self._waiting.append((ask, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._gather, loop, 0)
        return await future

    def _gather(self, loop: asyncio.AbstractEventLoop, known: int) -> None:
        """Begin once a round of the loop, in which it reads what has arrived, has brought nothing new."""
        if known < len(self._waiting) < self._most:
            loop.call_soon(self._gather, loop, len(self._waiting))
        else:
            self._start(loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        asks = [ask for ask, _ in batch]
        if self._at_once():
            try:
                self._finish(batch, self._decide(asks), None)
            except Exception as error:
                self._finish(batch, (), error)
            self._go_on(loop)
            return
        try:
            running = self._executor.submit(self._decide, asks)
        except RuntimeError as error:  # it is being shut down
            self._finish(batch, (), error)
            self._go_on(loop)
            return
        running.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finished, loop, batch, done))

    def _finished(self, loop: asyncio.AbstractEventLoop, batch: Batch[In, Out], done: ThreadFuture) -> None:
        error = done.exception()
        self._finish(batch, () if error is not None else done.result(), error)
        self._go_on(loop)

    def _finish(self, batch: Batch[In, Out], answers: Sequence[Out], error: BaseException | None) -> None:
        for number, (_, future) in enumerate(batch):
            if future.done():
                continue  # whoever asked has gone
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(answers[number])

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting:
            loop.call_soon(self._gather, loop, 0)
        else:
            self._busy = False
