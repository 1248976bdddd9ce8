"""Which packets were lost, doubled or overtaken, and on which way: from sequence numbers alone.

A stateful reflector (RFC 8762 section 4.3) numbers what it reflects. Up (to the reflector) is the stream of the
sender's numbers, down the stream of the reflector's. A packet without answer was lost on the way up, unless a number is
missing among the reflector's: then its answer was lost on the way down. One number of the sender under two of the
reflector is a duplicate made on the way up, and must not hide a loss; the same pair twice one made on the way down.

A stateless reflector copies the sender's number: duplicates and order are then told by its receive stamps, but the
direction of a loss is unknown, and is said to be so. Only a number that the sender skipped tells it from a stateful
one that has missed nothing yet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

MADE_BY_DUPLICATES = 16
"""A numbering that runs ahead of what was sent by more than this is not explained by duplicates: it is another one."""
IDLE_RESET_NS = 30_000_000_000
"""A reflector may forget a session after this silence; to begin anew then is no restart."""


class Echo(NamedTuple):
    """One answer. `reflected_ns` is the reflector's receive stamp, on its own clock."""

    sseq: int
    rseq: int
    reflected_ns: int


class Ledger(NamedTuple):
    """What one session must remember from window to window so that every packet is counted once."""

    stateful: bool | None = None
    """None until an answer's two numbers differ (or must have differed and did not)."""
    next_sseq: int = 0
    """The number after the last one judged; more than that was skipped."""
    next_rseq: int = 0
    """Every answer numbered below is accounted for."""
    ahead: frozenset[int] = frozenset()
    """Answers numbered above `next_rseq` that are accounted for too (overtaken across the window's end)."""
    pending: int = 0
    """Packets of earlier windows without answer that no later answer has given a direction yet."""
    last: Echo | None = None
    """The answer to the highest number judged so far."""


class Fates(NamedTuple):
    """What became of the packets of one window.

    `up` and `down` hold (sender's number, lost) in the order of sending and of reflecting; a duplicate's answer is a
    packet of its own on the way down. `unknown` are lost without a direction.
    """

    up: list[tuple[int, bool]]
    down: list[tuple[int, bool]]
    unknown: list[int]
    dup_up: int
    dup_down: int
    reordered_up: int
    reordered_down: int
    restarts: int
    stateful: bool | None


class _Epoch(NamedTuple):
    """Answers under one numbering of the reflector, and the first number of it (`base`) that can be missing."""

    echoes: list[Echo]
    base: int


class _Segment(NamedTuple):
    """Between two answers that nothing overtook: packets without answer, numbers missing, and the sender's number at
    its right end."""

    unanswered: list[int]
    missing: list[int]
    right: int


class _Account(NamedTuple):
    """One numbering's part of the fates."""

    lost_up: list[int]
    down: list[tuple[int, int, bool]]
    """(rseq, sseq, lost)"""
    hidden_dups: int
    hidden_reorders: int
    spoken_for: set[int]


def unwrapped(value: int, near: int) -> int:
    """The number whose low 32 bits are `value` and which lies nearest to `near`."""
    return near + ((value - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def _unwrapped_echo(echo: Echo, near: int) -> Echo:
    rseq = unwrapped(echo.rseq, near)
    return echo if rseq == echo.rseq else echo._replace(rseq=rseq)


def judge(sent: Sequence[int], echoes: Sequence[Echo], end: int, ledger: Ledger) -> tuple[Fates, Ledger]:
    """The fates of one window, and the ledger for the next.

    Args:
        sent: numbers sent, ascending, from the window's first to the last guard packet; numbers may be skipped.
        echoes: answers in the order of arrival, late ones left out; those of guard packets too.
        end: the first number that is not of this window.
        ledger: what the window before left.
    """
    mine = set(sent)
    near = ledger.last.rseq if ledger.last else 0
    heard = [_unwrapped_echo(echo, near) for echo in echoes if echo.sseq in mine]
    stateful = _stateful(sent, heard, ledger)
    judged = [s for s in sent if s < end]
    after = ledger._replace(stateful=stateful, next_sseq=judged[-1] + 1 if judged else ledger.next_sseq)
    if stateful is False:
        return _without_numbers(judged, heard, end), after
    epochs, restarts = _epochs(heard, ledger, sent, end)
    fates, after = _with_numbers(sent, epochs, end, after)
    if stateful is None:
        fates = _directions_withheld(fates)
    order = {echo: (i, echo.rseq) for i, epoch in enumerate(epochs) for echo in epoch.echoes}
    counts = _copies_and_order([echo for echo in heard if echo in order], order, end)
    dup_up, dup_down, reordered_up, reordered_down = counts
    newest = max((echo for echo in heard if echo.sseq < end), key=lambda echo: echo.sseq, default=ledger.last)
    fates = fates._replace(
        dup_up=fates.dup_up + dup_up,
        dup_down=dup_down,
        reordered_up=fates.reordered_up + reordered_up,
        reordered_down=reordered_down,
        restarts=restarts,
        stateful=stateful,
    )
    return fates, after._replace(last=newest)


def _directions_withheld(fates: Fates) -> Fates:
    """Every answer so far carries the sender's number, as a stateless reflector's would: no loss has a direction."""
    lost = {s for s, gone in (*fates.up, *fates.down) if gone}
    return fates._replace(
        up=[(s, gone) for s, gone in fates.up if s not in lost],
        down=[(s, gone) for s, gone in fates.down if not gone],
        unknown=sorted(lost.union(fates.unknown)),
    )


def _stateful(sent: Sequence[int], heard: Sequence[Echo], ledger: Ledger) -> bool | None:
    """Whether the reflector counts for itself; only a number that was skipped can prove that it does not."""
    if any(echo.rseq != echo.sseq for echo in heard):
        return True
    if ledger.stateful is not None:
        return ledger.stateful
    after_skips = (after for before, after in pairwise((ledger.next_sseq - 1, *sent)) if after - before > 1)
    skip = next(after_skips, None)
    if skip is not None and any(echo.sseq >= skip for echo in heard):
        return False
    return None


def _epochs(heard: Sequence[Echo], ledger: Ledger, sent: Sequence[int], end: int) -> tuple[list[_Epoch], int]:
    """The answers by numbering: a later packet, reflected later, under a lower number is a new numbering."""
    epochs = [_Epoch([], ledger.next_rseq)]
    newest = ledger.last
    restarts = 0
    for echo in heard:
        if newest is None or echo.sseq > newest.sseq:
            known_to = newest.rseq if newest else ledger.next_rseq - 1
            back = newest is not None and echo.rseq <= known_to and echo.reflected_ns > newest.reflected_ns
            reach = echo.sseq - (newest.sseq if newest else sent[0] - 1) + ledger.pending + MADE_BY_DUPLICATES
            if back or echo.rseq - known_to > reach:
                epochs.append(_Epoch([], 0 if back and echo.rseq <= reach else echo.rseq))
                silent = newest is not None and echo.reflected_ns - newest.reflected_ns >= IDLE_RESET_NS
                restarts += newest is not None and not silent and echo.sseq < end
            newest = echo
        epoch = _epoch_of(echo, epochs)
        near = epoch.echoes[-1].rseq if epoch.echoes else epoch.base
        if abs(echo.rseq - near) <= len(sent) + ledger.pending + MADE_BY_DUPLICATES:
            epoch.echoes.append(echo)  # else a number out of all proportion: no reflector that counts gives it
    return epochs, restarts


def _epoch_of(echo: Echo, epochs: list[_Epoch]) -> _Epoch:
    """The newest numbering, unless this answer was overtaken by the first of it."""
    newest = epochs[-1]
    if len(epochs) > 1 and newest.echoes and echo.sseq < newest.echoes[0].sseq and echo.rseq > newest.echoes[0].rseq:
        return epochs[-2]
    return newest


def _with_numbers(sent: Sequence[int], epochs: list[_Epoch], end: int, ledger: Ledger) -> tuple[Fates, Ledger]:
    answered = {echo.sseq for epoch in epochs for echo in epoch.echoes}
    unanswered = [s for s in sent if s not in answered]
    total = _Account([], [], 0, 0, set())
    unknown: list[int] = []
    after, within = ledger, ledger
    resolved = sent[0] - 1 if sent else end - 1
    for i, epoch in enumerate(epochs):
        if not epoch.echoes:
            continue
        if i > 0:
            within, lost_track = _renumbered(epoch, [s for s in unanswered if s > resolved], within)
            unknown += [s for s in lost_track if s < end]
            resolved = max([resolved, *lost_track])
        account = _account(epoch, [s for s in unanswered if s > resolved], resolved, end, within)
        total = _Account(
            total.lost_up + account.lost_up,
            total.down + sorted(account.down),
            total.hidden_dups + account.hidden_dups,
            total.hidden_reorders + account.hidden_reorders,
            set(),
        )
        if i == 0 or epoch.echoes[0].sseq < end:  # a numbering that begins after the window is the next one's business
            after = _moved_on(within, account.spoken_for)
        resolved = max(resolved, *(echo.sseq for echo in epoch.echoes))
    tail = [s for s in unanswered if resolved < s < end]
    unknown += tail
    pending = len(tail) + (0 if answered else ledger.pending)
    nowhere, gone = set(unknown), set(total.lost_up)
    up = [(s, s in gone) for s in sent if s < end and s not in nowhere]
    down = [(s, lost) for _, s, lost in total.down]
    fates = Fates(up, down, unknown, total.hidden_dups, 0, total.hidden_reorders, 0, 0, None)
    return fates, after._replace(pending=pending)


def _renumbered(epoch: _Epoch, unanswered: list[int], ledger: Ledger) -> tuple[Ledger, list[int]]:
    """Where a new numbering begins: its ledger, and the packets before it that neither numbering can tell of."""
    first = min(echo.sseq for echo in epoch.echoes)
    first_number = min(echo.rseq for echo in epoch.echoes)
    between = [s for s in unanswered if s < first]
    counted = min(first_number - epoch.base, len(between))
    fresh = ledger._replace(next_rseq=first_number - counted, ahead=frozenset(), pending=0)
    return fresh, between[: len(between) - counted]


def _account(epoch: _Epoch, unanswered: list[int], resolved: int, end: int, ledger: Ledger) -> _Account:
    """Give every packet without answer its direction, segment by segment; mixed ones: the first were lost going up."""
    segments = _segments(epoch, unanswered, resolved, ledger)
    account = _Account([], [], 0, 0, set())
    dups, overtakes = _seen_going_up(epoch.echoes)
    if overtakes > dups:
        segments, moved = _overtaken_and_lost(segments, end)
        account = account._replace(hidden_reorders=moved)
    hidden = 0
    pending = ledger.pending
    for segment in segments:
        lost_up = max(0, pending + len(segment.unanswered) - len(segment.missing))
        earlier_up = min(pending, lost_up)
        up = lost_up - earlier_up
        numbers = iter(segment.missing)
        account.spoken_for.update(islice(numbers, pending - earlier_up))
        pending = 0
        account.lost_up.extend(s for s in segment.unanswered[:up] if s < end)
        for s, r in zip(segment.unanswered[up:], numbers, strict=False):
            if s < end:
                account.down.append((r, s, True))
                account.spoken_for.add(r)
        if segment.right < end:
            for r in numbers:  # more answers than packets: copies made going up whose answers were lost
                account.down.append((r, segment.right, True))
                account.spoken_for.add(r)
                hidden += 1
    for r, s in {(echo.rseq, echo.sseq) for echo in epoch.echoes}:
        if s < end:
            account.down.append((r, s, False))
            account.spoken_for.add(r)
    return account._replace(hidden_dups=hidden)


def _segments(epoch: _Epoch, unanswered: list[int], resolved: int, ledger: Ledger) -> list[_Segment]:
    """Cut both numberings wherever no answer on one side was overtaken by one on the other; only parts with a gap."""
    anchors = sorted({(echo.rseq, echo.sseq) for echo in epoch.echoes})
    known = {r for r, _ in anchors} | ledger.ahead
    missing = [r for r in range(ledger.next_rseq, anchors[-1][0]) if r not in known]
    if not unanswered and not missing and not ledger.pending:
        return []
    segments: list[_Segment] = []
    low_s, low_r = resolved, ledger.next_rseq - 1
    for high_s, high_r in _ends(anchors):
        ours = unanswered[bisect_right(unanswered, low_s) : bisect_left(unanswered, high_s)]
        theirs = missing[bisect_right(missing, low_r) : bisect_left(missing, high_r)]
        if ours or theirs or not segments:  # the first one answers for what is pending
            segments.append(_Segment(ours, theirs, high_s))
        low_s, low_r = high_s, high_r
    return segments


def _ends(anchors: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """(sender's, reflector's) number at the right end of each part: a lone answer ends the part before it; answers that
    overtook one another are a part of their own, from its least numbers to its highest.
    """
    least_after = [s for _, s in anchors]
    for i in range(len(least_after) - 2, -1, -1):
        least_after[i] = min(least_after[i], least_after[i + 1])
    high_s = -1
    is_inside = False
    for i, (r, s) in enumerate(anchors):
        high_s = max(high_s, s)
        was_inside = is_inside
        if not was_inside:
            yield least_after[i], r
        is_inside = i + 1 < len(anchors) and least_after[i + 1] <= high_s
        if was_inside and not is_inside:
            yield high_s, r


def _seen_going_up(echoes: list[Echo]) -> tuple[int, int]:
    """(duplicates, overtaken packets) among the answers, in the order of reflection."""
    dups = overtakes = 0
    high = -1
    seen: set[int] = set()
    for _, s in sorted({(echo.rseq, echo.sseq) for echo in echoes}):
        if s in seen:
            dups += 1
        elif s < high:
            overtakes += 1
        seen.add(s)
        high = max(high, s)
    return dups, overtakes


def _overtaken_and_lost(segments: list[_Segment], end: int) -> tuple[list[_Segment], int]:
    """A packet overtaken going up whose answer was lost leaves a number too many just after a number too few.

    The same would be a loss beside a duplicate; so it is read this way only where overtaking is the more common.
    """
    mended = list(segments)
    moved = 0
    for i in range(1, len(mended)):
        for j in range(i):
            few, many = mended[j], mended[i]
            if many.right - few.right > MADE_BY_DUPLICATES:
                continue
            spare = min(len(few.unanswered) - len(few.missing), len(many.missing) - len(many.unanswered))
            if spare > 0 and many.right < end:
                mended[j] = few._replace(missing=few.missing + many.missing[-spare:])
                mended[i] = many._replace(missing=many.missing[:-spare])
                moved += spare
    return mended, moved


def _moved_on(ledger: Ledger, spoken_for: set[int]) -> Ledger:
    taken = ledger.ahead | spoken_for
    following = ledger.next_rseq
    while following in taken:
        following += 1
    return ledger._replace(next_rseq=following, ahead=frozenset(r for r in taken if r > following), pending=0)


def _copies_and_order(heard: Sequence[Echo], order: dict[Echo, tuple[int, int]], end: int) -> tuple[int, int, int, int]:
    """(dup up, dup down, reordered up, reordered down) among the packets before `end`.

    Reordered is RFC 4737 section 4.2.1: a packet that comes when a later one has been seen already.
    """
    unique: dict[tuple[int, tuple[int, int]], None] = {}
    dup_down = 0
    for echo in heard:
        key = (echo.sseq, order[echo])
        dup_down += key in unique and echo.sseq < end
        unique[key] = None
    reordered_down = 0
    newest = (-1, -1)
    for s, place in unique:
        reordered_down += place < newest and s < end
        newest = max(newest, place)
    dup_up = reordered_up = 0
    high = -1
    seen: set[int] = set()
    for s, _ in sorted(unique, key=lambda pair: pair[1]):
        if s in seen:
            dup_up += s < end
        elif s < high:
            reordered_up += s < end
        seen.add(s)
        high = max(high, s)
    return dup_up, dup_down, reordered_up, reordered_down


def _without_numbers(judged: Sequence[int], heard: Sequence[Echo], end: int) -> Fates:
    """A stateless reflector: its receive stamps tell copies and order, nothing tells the direction of a loss."""
    order = {echo: (0, echo.reflected_ns) for echo in heard}
    answered = {echo.sseq for echo in heard}
    counts = _copies_and_order(heard, order, end)
    first_copies = sorted({echo.sseq: echo for echo in reversed(heard)}.values(), key=lambda echo: echo.reflected_ns)
    return Fates(
        [(s, False) for s in judged if s in answered],
        [(echo.sseq, False) for echo in first_copies if echo.sseq < end],
        [s for s in judged if s not in answered],
        *counts,
        0,
        False,
    )
