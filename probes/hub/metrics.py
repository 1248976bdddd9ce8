"""How well the far end at a main bridge feels: a hub too busy to measure must say so itself."""

from __future__ import annotations

from probes.metric import Direction, FailureCode, Limits, Meaning, Metric, Remedy, Text, Unit, declaring

PROBE = "hub"
STALE_AFTER_S = 30
OWN = "our own judgement, to be tuned on site"


one = declaring(PROBE, STALE_AFTER_S)
"""One metric of this probe."""


METRICS: list[Metric] = [
    one(
        "sessions",
        Unit.COUNT,
        Text("Phiên đo đang mở", "Open sessions"),
        Text("Số thiết bị đang đo đường truyền tới đây.", "Devices measuring the line to this hub."),
    ),
    one(
        "calls",
        Unit.COUNT,
        Text("Cuộc gọi thử đang chạy", "Test calls running"),
        Text("Số cuộc gọi thử đang được trả lời.", "Test calls being answered."),
    ),
    one(
        "busy_refusals",
        Unit.COUNT,
        Text("Cuộc gọi phải hẹn lại", "Calls put off"),
        Text("Số lần báo bận trong lần đo này.", "Calls told to come back in this run."),
    ),
    one(
        "loop_lag_p99_ms",
        Unit.MS,
        Text("Độ chậm của máy chủ đo", "Loop lag"),
        Text(
            "99 % lần chờ của vòng điều phối ngắn hơn mức này.",
            "99 % of the waits of the event loop are shorter than this.",
        ),
        direction=Direction.LOWER,
        limits=Limits.at_most(20, 100),
        remedy=Remedy.DEVICE,
        source="A frame lasts 33 ms; " + OWN,
    ),
    one(
        "wait_p99_ms",
        Unit.MS,
        Text("Thời gian gói chờ trả lời", "Wait of a packet in the hub"),
        Text(
            "99 % gói được trả lời nhanh hơn mức này; thời gian này không tính vào độ trễ của đường truyền.",
            "99 % of the packets are answered sooner; this time is not in the delay of any line.",
        ),
        direction=Direction.LOWER,
        limits=Limits.at_most(20, 100),
        remedy=Remedy.DEVICE,
        source="RFC 8762: a sender takes T3 − T2 off its round trip; " + OWN,
    ),
    one(
        "drops_packets",
        Unit.PACKETS,
        Text("Gói máy chủ đo tự bỏ", "Packets dropped by the hub's own socket"),
        Text("Máy quá bận để đọc; không phải mất gói trên đường truyền.", "Too busy to read; not loss on the line."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0, 100, 0),
        remedy=Remedy.DEVICE,
        source=OWN,
    ),
    one(
        "answered_packets",
        Unit.PACKETS,
        Text("Gói đã trả lời", "Packets answered"),
        Text("Trong lần đo này.", "In this run."),
    ),
    one(
        "refused_packets",
        Unit.PACKETS,
        Text("Gói đã từ chối", "Packets refused"),
        Text(
            "Nguồn lạ, sai chữ ký, quá nhịp hoặc sai khuôn dạng.",
            "Strange, badly signed, too fast or malformed.",
        ),
    ),
    one(
        "worker_restarts",
        Unit.COUNT,
        Text("Tiến trình đo phải chạy lại", "Workers that died and were replaced"),
        Text("Trong lần đo này; không được có.", "In this run; there should be none."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0, 3, 0),
        remedy=Remedy.DEVICE,
        source=OWN,
    ),
    one(
        "session_silent",
        Unit.YES_NO,
        Text("Phiên đo im lặng", "The session is silent"),
        Text(
            "Không còn gói nào của điểm cầu này tới trong 3 giây; nói ngay, kèm mã điểm cầu.",
            "No packet of this site for 3 s; said at once, with the site's id.",
        ),
    ),
]

FAILURES: list[FailureCode] = [
    FailureCode(
        PROBE,
        "cannot_listen",
        Meaning.NOT_MEASURED,
        Text("Máy chủ đo không mở được cổng", "The hub cannot open its port"),
    ),
]
