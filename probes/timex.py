"""What the kernel says of its own clock: whether something disciplines it, and how wrong it may be."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import NamedTuple

_TIMEX = Struct("@Illlli")
"""Head of struct timex (adjtimex(2)): modes, offset, freq, maxerror, esterror, status."""
_TIMEX_BYTES = 256
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_MICROSECOND = 1e-6


class ClockState(NamedTuple):
    """What the kernel says of its clock. `max_error_us` is its own bound, which grows by 500 ppm from one correction
    to the next (RFC 5905 section 11.2), and means nothing while nobody keeps the clock synchronised."""

    synchronised: bool
    max_error_us: int


def read_clock_state() -> ClockState | None:
    """The kernel's word on its clock; only reads (modes 0), needs no right. None where there is no such call."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state: int = ctypes.CDLL(None).adjtimex(timex)
    except (AttributeError, OSError):
        return None
    if state < 0:
        return None
    _, _, _, max_error_us, _, status = _TIMEX.unpack_from(timex)
    return ClockState(state != _TIME_ERROR and not status & _STA_UNSYNC, max_error_us)


def clock_error_s() -> float | None:
    """The largest error of the machine's clock against UTC in seconds; None while nobody keeps it synchronised."""
    state = read_clock_state()
    return state.max_error_us * _MICROSECOND if state is not None and state.synchronised else None
