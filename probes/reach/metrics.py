"""What the centre can measure of a site that has no device yet: does its router answer, and how fast."""

from __future__ import annotations

from probes.metric import FailureCode, Meaning, Metric, Text, Unit, declaring

PROBE = "reach"
STALE_AFTER_S = 60


one = declaring(PROBE, STALE_AFTER_S)
"""One metric of this probe."""

METRICS: list[Metric] = [
    one(
        "up",
        Unit.YES_NO,
        Text("Bộ định tuyến có trả lời", "The router answers"),
        Text("Đo từ trung tâm: có ít nhất một gói trở về.", "Measured from the centre: at least one packet came back."),
    ),
    one(
        "rtt_p50_ms",
        Unit.MS,
        Text("Trễ khứ hồi từ trung tâm", "Round-trip time from the centre"),
        Text("Trung vị tới bộ định tuyến của điểm cầu.", "Median to the site's router."),
    ),
    one(
        "sent_packets",
        Unit.PACKETS,
        Text("Gói đã gửi từ trung tâm", "Packets sent from the centre"),
        Text("Số gói thử đã gửi trong lần đo này.", "Test packets sent in this run."),
    ),
    one(
        "lost_packets",
        Unit.PACKETS,
        Text("Gói mất, đo từ trung tâm", "Packets lost, seen from the centre"),
        Text("Gói bộ định tuyến không trả lời.", "Packets the router did not answer."),
    ),
    one(
        "loss_ratio",
        Unit.RATIO,
        Text("Mất gói, đo từ trung tâm", "Packet loss, seen from the centre"),
        Text("Cả vòng; bộ định tuyến có thể giới hạn trả lời.", "Round trip; a router may limit its answers."),
    ),
]

FAILURES: list[FailureCode] = [
    FailureCode(
        PROBE,
        "no_permission",
        Meaning.NOT_MEASURED,
        Text("Trung tâm không được phép gửi ICMP", "The centre may not send ICMP"),
    ),
    FailureCode(
        PROBE,
        "no_route",
        Meaning.NOT_MEASURED,
        Text("Trung tâm không có đường mạng tới điểm cầu", "The centre has no route to the site"),
    ),
    FailureCode(
        PROBE,
        "not_sent",
        Meaning.NOT_MEASURED,
        Text("Trung tâm không gửi được gói thử", "The centre could not send test packets"),
    ),
    FailureCode(
        PROBE,
        "name_unknown",
        Meaning.NOT_MEASURED,
        Text("Không tra được tên bộ định tuyến", "The router's name cannot be resolved"),
    ),
]
