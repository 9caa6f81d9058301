"""What is global in torch, set for a while: threads and the generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, where small networks train fastest; afterwards on as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch draws from ``seed``; afterwards as it would have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
