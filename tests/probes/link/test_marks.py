"""Marks (DSCP) changed on one way must not be told of the other."""

from __future__ import annotations

from probes.link.measure import Answer, Memory, Sent, Window, measure

MS = 1_000_000


def answer(sseq: int, dscp_up: int | None, dscp_down: int | None) -> Answer:
    t1 = sseq * 100 * MS
    return Answer(sseq, sseq, t1 + 5 * MS, t1 + 5 * MS, t1 + 10 * MS, kernel=True, dscp_up=dscp_up, dscp_down=dscp_down)


def marks(answers: list[Answer], sent_as: int) -> tuple[float | None, float | None]:
    sent = [Sent(one.sseq, one.sseq * 100 * MS, True, 44, sent_as) for one in answers]
    values = measure(Window(sent, answers, len(sent), 1.0, sent_as), Memory())[0].values
    return values.get("dscp_up"), values.get("dscp_down")


def test_a_reflector_that_copies_the_changed_mark_does_not_accuse_the_way_down() -> None:
    copied = [answer(n, None, 8) for n in range(9)]
    asked = [answer(9, 8, 46)]
    assert marks(copied + asked, sent_as=46) == (8, 46)


def test_without_class_of_service_the_mark_seen_back_is_all_there_is() -> None:
    assert marks([answer(n, None, 8) for n in range(5)], sent_as=46) == (None, 8)
