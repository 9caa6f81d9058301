"""Files of a log, plain or gzipped, so that every reader takes both and none takes a part of one for the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from rec_platform.errors import InputError

GZIP_SUFFIX = ".gz"
GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[pa.NativeFile]:
    """The bytes of a file, unpacked where its name ends in ``.gz``.

    What goes wrong while the caller reads from it is told as bad input too.

    Raises:
        InputError: not readable, named ``.gz`` and not gzipped or the other way round, or cut short or damaged.
    """
    gzipped = path.suffix.lower() == GZIP_SUFFIX
    try:
        with path.open("rb") as file:
            magic = file.read(len(GZIP_MAGIC))
        if gzipped and magic != GZIP_MAGIC:
            problem = "the file is empty" if not magic else "its name ends in .gz and it is not gzipped"
            raise InputError(str(path), problem, "pack it again, or take .gz off the name of a plain file")
        if magic == GZIP_MAGIC and not gzipped:
            raise InputError(str(path), "it is gzipped and its name does not end in .gz", "rename or unpack it")
        with pa.input_stream(str(path), compression="gzip" if gzipped else None) as stream:
            yield stream
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        fix = "the gzip file is cut short or damaged: fetch or pack it again" if gzipped else "check the file"
        raise InputError(str(path), f"not readable: {reason}", fix) from error


def read_whole(path: Path) -> pa.Buffer:
    """All bytes of a file, unpacked.

    Raises:
        InputError: see `opened`.
    """
    with opened(path) as stream:
        return stream.read_buffer()


def bare_suffix(path: Path) -> str:
    """The last suffix in lower case, that of ``x.csv.gz`` being ``.csv``."""
    return (path.with_suffix("") if path.suffix.lower() == GZIP_SUFFIX else path).suffix.lower()


class Replaced:
    """A stream of bytes in which ``new`` stands for every ``old``, found from the left as `bytes.replace` finds it.

    What Arrow asks of a Python file to read from; at no time more than a block is held.
    """

    def __init__(self, stream: pa.NativeFile, old: bytes, new: bytes) -> None:
        self.closed = False
        self._stream, self._old, self._new = stream, old, new
        self._ready = self._open = b""  # replaced; and a tail that may be the beginning of an ``old``

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, all where it is negative; none at the end only."""
        while not self._ready or size < 0:
            block = self._stream.read(size if size >= 0 else None)
            if not block:
                self._ready, self._open = self._ready + self._open, b""
                break
            block = (self._open + block).replace(self._old, self._new)
            begun = next((n for n in range(len(self._old) - 1, 0, -1) if block.endswith(self._old[:n])), 0)
            self._open = block[len(block) - begun :]
            self._ready += block[: len(block) - begun]
        size = size if size >= 0 else len(self._ready)
        out, self._ready = self._ready[:size], self._ready[size:]
        return out
