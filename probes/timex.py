"""What the kernel says of its own clock: whether something disciplines it, and how wrong it may be."""

from __future__ import annotations

import ctypes
from struct import Struct

_TIMEX = Struct("@Illlli")
"""Head of struct timex (adjtimex(2)): modes, offset, freq, maxerror, esterror, status."""
_TIMEX_BYTES = 256
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_MICROSECOND = 1e-6


def clock_error_s() -> float | None:
    """The largest error of the machine's clock against UTC in seconds; None while nobody keeps it synchronised.

    The kernel's own bound (maxerror), which grows by 500 ppm from one correction to the next (RFC 5905 section 11.2).
    """
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = ctypes.CDLL(None).adjtimex(timex)
    _, _, _, maxerror, _, status = _TIMEX.unpack_from(timex)
    if state < 0 or state == _TIME_ERROR or status & _STA_UNSYNC:
        return None
    return float(maxerror * _MICROSECOND)
