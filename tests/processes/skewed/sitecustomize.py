"""On PYTHONPATH of one process: its clock is as many seconds off as the file TEST_CLOCK says now.

Python reads the time of day in C, so the names that programs use are put in its place: time.time
and datetime.datetime, whose instances stay the real ones.
"""

import datetime
import mmap
import os
import struct
import time
from typing import Any

with open(os.environ["TEST_CLOCK"], "rb") as file:
    said = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

real, real_time, real_time_ns = datetime.datetime, time.time, time.time_ns


def off() -> float:
    return struct.unpack("d", said[:8])[0]


class Meta(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, real)


class Skewed(real, metaclass=Meta):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return real(*args, **kwargs)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return real.now(tz) + datetime.timedelta(seconds=off())

    @classmethod
    def utcnow(cls) -> Any:
        return real.utcnow() + datetime.timedelta(seconds=off())

    today = now


datetime.datetime = Skewed  # type: ignore[misc]
time.time = lambda: real_time() + off()
time.time_ns = lambda: real_time_ns() + round(off() * 1e9)
