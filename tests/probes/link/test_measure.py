"""Figures of windows made by hand, where every time and number is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from probes.figures.sequence import Ledger
from probes.link.measure import AF41, EF, Answer, Measured, Memory, Sent, Window, measure
from probes.link.packet import SYNCHRONISED, error_estimate

MS = 1_000_000
SECOND = 1_000_000_000
SPACING = 100 * MS
STATEFUL = Memory(Ledger(stateful=True))


def sending(count: int, spacing: int = SPACING, **more: object) -> list[Sent]:
    return [Sent(i, i * spacing, True, 44, 0)._replace(**more) for i in range(count)]  # type: ignore[arg-type]


def answering(
    sent: Iterable[Sent],
    up_ms: Callable[[int], float] = lambda i: 5.0,
    down_ms: Callable[[int], float] = lambda i: 7.0,
    offset_ns: int = 0,
    lost: Iterable[int] = (),
    **more: object,
) -> list[Answer]:
    """Answers of a reflector whose clock is ahead by `offset_ns` and that takes 1 ms; `lost` were lost going down."""
    made = []
    for rseq, one in enumerate(sent):
        t2 = one.t1_ns + round(up_ms(one.sseq) * MS) + offset_ns
        t4 = t2 + MS - offset_ns + round(down_ms(one.sseq) * MS)
        answer = Answer(one.sseq, rseq, t2, t2 + MS, t4, True)._replace(**more)  # type: ignore[arg-type]
        if one.sseq not in set(lost):
            made.append(answer)
    return made


def window(sent: list[Sent], answers: list[Answer], guard: int = 0, **more: object) -> Window:
    kept = len(sent) - guard
    seconds = kept * (sent[1].t1_ns - sent[0].t1_ns) / SECOND
    return Window(sent, answers, kept, seconds)._replace(**more)  # type: ignore[arg-type]


def measured(one: Window, memory: Memory = STATEFUL) -> Measured:
    return measure(one, memory)[0]


def test_the_time_inside_the_reflector_is_no_round_trip() -> None:
    sent = sending(100)
    values = measured(window(sent, answering(sent, offset_ns=3600 * SECOND))).values
    assert values["rtt_min_ms"] == values["rtt_p50_ms"] == values["rtt_max_ms"] == pytest.approx(12)
    assert values["dv_up_mean_ms"] == values["dv_down_p99_ms"] == pytest.approx(0)


def test_variation_is_told_for_each_way_apart_and_needs_no_common_clock() -> None:
    sent = sending(101)
    answers = answering(sent, up_ms=lambda i: 5 + i % 2 * 3, offset_ns=-5 * 3600 * SECOND)
    values = measured(window(sent, answers)).values
    assert values["dv_up_mean_ms"] == values["dv_up_p99_ms"] == pytest.approx(3)
    assert values["dv_down_mean_ms"] == values["dv_down_p99_ms"] == pytest.approx(0)


def test_the_size_of_large_packets_is_no_variation_of_the_line() -> None:
    sent = [one._replace(size=1200) if one.sseq % 10 == 3 else one for one in sending(100)]
    values = measured(window(sent, answering(sent, up_ms=lambda i: 10.0 if i % 10 == 3 else 5.0))).values
    assert values["dv_up_mean_ms"] == pytest.approx(0)
    assert values["rtt_max_ms"] == pytest.approx(17), "but their delay is real"


def test_a_late_answer_is_a_loss_and_is_not_counted_twice() -> None:
    sent = sending(40)
    answers = answering(sent, down_ms=lambda i: 3100.0 if i == 5 else 7.0)
    values = measured(window(sent, sorted(answers, key=lambda one: one.t4_ns), guard=10)).values
    assert (values["sent_packets"], values["lost_down_packets"], values["lost_up_packets"]) == (30, 1, 0)
    assert values["rtt_max_ms"] == pytest.approx(12)


def test_losses_of_one_way_make_all_figures_of_that_way() -> None:
    sent = sending(500, spacing=20 * MS)
    lost = {100, 101, 102, 300}
    values = measured(window(sent, answering(sent, lost=lost))).values
    assert values["lost_down_packets"] == 4
    assert values["loss_runs_down_count"] == 2
    assert values["loss_down_ratio"] == pytest.approx(4 / 500)
    assert values["loss_down_low_ratio"] < 4 / 500 < values["loss_down_high_ratio"]
    assert values["longest_loss_down_ms"] == pytest.approx(60)
    assert values["worst_200ms_down_ratio"] == pytest.approx(0.3)
    assert values["burst_density_down_ratio"] == 1
    assert values["burst_down_ms"] == pytest.approx(60)
    assert values["loss_up_ratio"] == values["longest_loss_up_ms"] == 0


def test_copies_going_up_are_absent_where_the_hub_answers_each_proven_packet_once() -> None:
    sent = sending(100)
    plain = measured(window(sent, answering(sent)))
    sealed = measured(window(sent, answering(sent), sealed=True))
    assert plain.values["dup_up_packets"] == 0
    assert "dup_up_packets" not in sealed.values
    assert sealed.values["dup_down_packets"] == 0


def test_the_worst_200_ms_is_not_told_at_ten_packets_a_second() -> None:
    sent = sending(100)
    assert "worst_200ms_up_ratio" not in measured(window(sent, answering(sent))).values


def test_answers_our_own_socket_dropped_are_no_loss_of_the_line() -> None:
    sent = sending(100)
    values = measured(window(sent, answering(sent, lost=range(40, 45)), own_drops=4)).values
    assert (values["own_drops_packets"], values["lost_down_packets"]) == (4, 1)
    nothing = measured(window(sent, [], own_drops=100))
    assert nothing.failure is not None
    assert nothing.failure.code == "own_drops"


def test_user_space_stamps_are_named_and_kept_out_where_the_kernels_are_the_most() -> None:
    sent = sending(100)
    answers = answering(sent, down_ms=lambda i: 90.0 if i < 5 else 7.0)
    answers = [one._replace(kernel=one.sseq >= 5) for one in answers]
    mixed = measured(window(sent, answers))
    assert (mixed.labels["stamps"], mixed.values["rtt_max_ms"]) == ("mixed", pytest.approx(12))
    sent = sending(100, kernel=False)
    user = measured(window(sent, [one._replace(kernel=False) for one in answers]))
    assert (user.labels["stamps"], user.values["rtt_max_ms"]) == ("user", pytest.approx(95))


def test_one_way_delay_comes_with_the_error_of_both_clocks_and_may_be_negative() -> None:
    sent = sending(100)
    answers = answering(sent, error=error_estimate(0.002), offset_ns=1000 * SECOND - 6 * MS)
    values = measured(window(sent, answers, wall_ahead_ns=1000 * SECOND, clock_error_s=0.010)).values
    assert values["owd_up_ms"] == pytest.approx(-1)
    assert values["owd_down_ms"] == pytest.approx(13)
    assert values["clock_error_ms"] == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(
    "lacking",
    [{"wall_ahead_ns": None}, {"clock_error_s": None}, {"error": error_estimate(0.002) & ~SYNCHRONISED}],
)
def test_one_way_delay_is_absent_when_either_clock_follows_nobody(lacking: dict[str, object]) -> None:
    sent = sending(20)
    answers = answering(sent, error=lacking.pop("error", error_estimate(0.002)))
    values = measured(window(sent, answers, **{"wall_ahead_ns": 0, "clock_error_s": 0.01, **lacking})).values
    assert not {"owd_up_ms", "owd_down_ms", "clock_error_ms"} & values.keys()


def test_a_reflector_whose_clock_is_set_makes_no_variation() -> None:
    sent = sending(100)
    before, after = answering(sent), answering(sent, offset_ns=3600 * SECOND)
    values = measured(window(sent, before[:40] + after[40:])).values
    assert values["dv_up_p99_ms"] == values["dv_down_p99_ms"] == pytest.approx(0)
    assert values["rtt_p99_ms"] == pytest.approx(12)


def test_clocks_that_drift_apart_make_no_variation_once_the_drift_is_known() -> None:
    gain, memory, told = 200e-6, Memory(Ledger(stateful=True)), []
    rng = random.Random(2)
    for place in range(12):
        first = place * 100
        sent = [Sent(i, i * SPACING, True, 44, 0) for i in range(first, first + 100)]
        answers = [
            Answer(
                one.sseq,
                one.sseq,
                one.t1_ns + 5 * MS + round(gain * one.t1_ns) + rng.randrange(10_000),
                one.t1_ns + 6 * MS + round(gain * (one.t1_ns + 6 * MS)),
                one.t1_ns + 13 * MS + rng.randrange(10_000),
                True,
            )
            for one in sent
        ]
        figures, memory = measure(Window(sent, answers, first + 100, 10.0), memory)
        told.append(figures.values["dv_up_p99_ms"])
    assert told[0] > 1.9, "200 ppm over 10 s are 2 ms"
    assert told[-1] < 0.05


def test_remarking_is_told_apart_by_direction() -> None:
    marks = {10: EF, 50: AF41}
    sent = [one._replace(dscp=marks.get(one.sseq, 0)) for one in sending(100)]
    seen = {0: (0, 0), EF: (0, EF), AF41: (AF41, 10)}
    answers = [
        one._replace(dscp_up=seen[packet.dscp][0], dscp_down=seen[packet.dscp][1])
        for one, packet in zip(answering(sent), sent, strict=True)
    ]
    values = measured(window(sent, answers)).values
    assert (values["dscp_sent"], values["dscp_up"], values["dscp_down"]) == (0, 0, 0)
    assert (values["dscp_ef_up"], values["dscp_ef_down"]) == (0, EF)
    assert (values["dscp_af41_up"], values["dscp_af41_down"]) == (AF41, 10)


def test_a_reflector_that_does_not_tell_the_mark_it_saw_leaves_it_absent() -> None:
    sent = [one._replace(dscp=EF) if one.sseq == 10 else one for one in sending(100)]
    values = measured(window(sent, answering(sent, dscp_down=34))).values
    assert values["dscp_down"] == 34
    assert not {"dscp_up", "dscp_ef_up", "dscp_ef_down"} & values.keys()


def test_ttl_0_is_a_ttl_nobody_saw() -> None:
    sent = sending(10)
    values = measured(window(sent, answering(sent, ttl_up=0, ttl_down=57))).values
    assert "ttl_up" not in values
    assert values["ttl_down"] == 57


def test_mos_is_that_of_the_worse_way() -> None:
    sent = sending(200)
    clean = measured(window(sent, answering(sent))).values["mos_estimate"]
    lossy = measured(window(sent, answering(sent, lost=range(0, 180, 20)))).values["mos_estimate"]
    assert clean > 4.3
    assert lossy < 3.6


def test_losses_without_direction_count_against_both_ways() -> None:
    sent = sending(100)
    fates = measured(window(sent, answering(sent)[:90]))
    assert fates.values["lost_round_packets"] == 10
    assert fates.values["loss_round_ratio"] == pytest.approx(0.1)
    assert (fates.values["lost_up_packets"], fates.values["lost_down_packets"]) == (0, 0)
    assert fates.values["mos_estimate"] < 3.5


def test_while_the_reflector_may_be_stateless_a_loss_has_no_direction() -> None:
    sent = sending(100)
    values = measured(window(sent, answering(sent, lost=[50])), Memory()).values
    assert values["lost_round_packets"] == 1
    assert not {"lost_up_packets", "lost_down_packets", "loss_up_ratio"} & values.keys()


def test_of_packets_overtaken_going_up_whose_answers_were_lost_the_share_is_of_what_was_reflected() -> None:
    sent = sending(40)
    order = [ten + place for ten in range(0, 40, 10) for place in (9, 0, 1, 2, 3, 4, 5, 6, 7, 8)]
    t2 = {sseq: sent[sseq // 10 * 10 + 9].t1_ns + 5 * MS + rseq for rseq, sseq in enumerate(order)}
    answers = [Answer(s, r, t2[s], t2[s] + MS, t2[s] + 8 * MS, True) for r, s in enumerate(order) if s % 10 in (9, 0)]
    values = measured(window(sent, answers)).values
    assert values["received_packets"] == 8
    assert values["reordered_up_packets"] > 8, "seen by the reflector's numbers alone"
    assert values["reordered_up_ratio"] == values["reordered_up_packets"] / values["reflected_packets"] <= 1


def test_no_figure_is_ever_nan_or_infinite() -> None:
    rng = random.Random(11)
    for _ in range(300):
        sent = sending(rng.randrange(2, 60))
        answers = answering(sent, lost=[i for i in range(60) if rng.random() < 0.5])
        rng.shuffle(answers)
        values = measured(window(sent, answers), Memory(Ledger(rng.choice([None, True, False])))).values
        assert all(abs(value) < float("inf") for value in values.values())
