"""What the first hop is measured by: so that nobody can say "it is the commune's own network" without proof."""

from __future__ import annotations

from probes.metric import (
    AT_ONCE,
    Direction,
    FailureCode,
    Judging,
    Limits,
    Mark,
    Meaning,
    Metric,
    Pool,
    Remedy,
    Text,
    Unit,
    declaring,
)

PROBE = "lan"
STALE_AFTER_S = 30
OWN = "our own judgement, to be tuned on site"

CHECK_CABLE = Text(
    "Kiểm tra dây mạng và bộ định tuyến trong phòng; cắm lại hai đầu dây.",
    "Check the network cable and the router in the room; plug both ends in again.",
)


one = declaring(PROBE, STALE_AFTER_S)
"""One metric of this probe."""


METRICS: list[Metric] = [
    one(
        "gateway_up",
        Unit.YES_NO,
        Text("Bộ định tuyến trong phòng hoạt động", "The room's router is there"),
        Text(
            "Trả lời gói thử, hoặc còn trong bảng ARP khi nó không trả lời gói thử.",
            "It answers test packets or, where it never does, is found by ARP.",
        ),
        direction=Direction.HIGHER,
        limits=Limits.at_least(1, 1, 0),
        hold=AT_ONCE,
        mark=Mark.LINE,
        advice=CHECK_CABLE,
        remedy=Remedy.LOCAL_NETWORK,
        source="RFC 826, RFC 4861 section 7.3: without its hardware address nothing leaves the room",
    ),
    one(
        "gateway_rtt_p50_ms",
        Unit.MS,
        Text("Trễ tới bộ định tuyến trong phòng", "Round-trip time to the room's router"),
        Text("Trung vị, đo mỗi giây.", "Median, measured each second."),
        direction=Direction.LOWER,
        limits=Limits.at_most(5, 20),
        mark=Mark.LINE,
        advice=CHECK_CABLE,
        remedy=Remedy.LOCAL_NETWORK,
        source="A wired first hop answers below 1 ms, a good Wi-Fi below 5; " + OWN,
    ),
    one(
        "gateway_sent_packets",
        Unit.PACKETS,
        Text("Gói đã gửi tới bộ định tuyến", "Packets sent to the router"),
        Text("Số gói thử đã gửi trong lần đo này.", "Test packets sent in this run."),
    ),
    one(
        "gateway_lost_packets",
        Unit.PACKETS,
        Text("Gói mất trong phòng", "Packets lost inside the room"),
        Text("Gói bộ định tuyến không trả lời.", "Packets the router did not answer."),
    ),
    one(
        "gateway_loss_ratio",
        Unit.RATIO,
        Text("Mất gói trong phòng", "Packet loss inside the room"),
        Text("Phần gói bộ định tuyến không trả lời.", "Share of packets the router did not answer."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.01, 0.03),
        judging=Judging.LOSS_60S,
        pool=Pool("gateway_lost_packets", "gateway_sent_packets"),
        mark=Mark.LINE,
        shows_on="link",  # routers answer test packets when they have time (RFC 1812 section 4.3.2.8)
        advice=CHECK_CABLE,
        remedy=Remedy.LOCAL_NETWORK,
        source="The whole way may lose 1 %; " + OWN,
    ),
    one(
        "nic_speed_mbps",
        Unit.MBPS,
        Text("Tốc độ cổng mạng", "Cable speed"),
        Text("Tốc độ hai đầu dây đã thỏa thuận.", "The rate both ends of the cable agreed on."),
        direction=Direction.HIGHER,
        limits=Limits.at_least(100, 10),
        mark=Mark.LINE,
        advice=Text(
            "Thay dây mạng: cổng chỉ chạy 10 Mbit/s là dây hoặc đầu cắm hỏng.",
            "Replace the cable: a port at 10 Mbit/s has a broken cable or plug.",
        ),
        remedy=Remedy.LOCAL_NETWORK,
        source="IEEE 802.3 auto-negotiation falls to 10 Mbit/s on a damaged pair; " + OWN,
    ),
    one(
        "nic_full_duplex",
        Unit.YES_NO,
        Text("Cổng mạng song công", "Cable runs full duplex"),
        Text("Bán song công gây mất gói khi hai chiều cùng gửi.", "Half duplex loses packets when both ends send."),
        direction=Direction.HIGHER,
        limits=Limits.at_least(1, 1, 0),
        mark=Mark.LINE,
        advice=Text(
            "Đặt cả hai đầu dây ở chế độ tự động thỏa thuận.",
            "Set both ends of the cable to auto-negotiation.",
        ),
        remedy=Remedy.LOCAL_NETWORK,
        source="Duplex mismatch loses packets under load (IEEE 802.3 clause 28)",
    ),
    one(
        "nic_errors",
        Unit.COUNT,
        Text("Gói lỗi trên cổng mạng", "Cable errors"),
        Text("Gói hỏng cổng mạng đếm được trong lần đo này.", "Damaged packets the port counted in this run."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0, 10, 0),
        mark=Mark.LINE,
        advice=Text("Thay dây mạng.", "Replace the network cable."),
        remedy=Remedy.LOCAL_NETWORK,
        source="A healthy cable has none (bit error ratio 1e-10 or better, IEEE 802.3); " + OWN,
    ),
    one(
        "nic_carrier_losses_count",
        Unit.COUNT,
        Text("Số lần đứt tín hiệu dây mạng", "Times the cable was lost"),
        Text("Cổng mạng mất tín hiệu rồi có lại trong lần đo này.", "The port lost its carrier during this run."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0, 1, 0),
        mark=Mark.LINE,
        advice=CHECK_CABLE,
        remedy=Remedy.LOCAL_NETWORK,
        source="A plugged cable never loses its carrier; " + OWN,
    ),
    one(
        "wifi",
        Unit.YES_NO,
        Text("Đang dùng Wi-Fi", "Wi-Fi in use"),
        Text("Thiết bị ra mạng bằng Wi-Fi chứ không bằng dây.", "The way out is Wi-Fi and not a cable."),
    ),
    one(
        "wifi_signal_dbm",
        Unit.DB,
        Text("Sóng Wi-Fi", "Wi-Fi signal"),
        Text("Mức thu; dưới −75 dBm là yếu.", "Received level; below −75 dBm is weak."),
    ),
    one(
        "gateway_changed",
        Unit.YES_NO,
        Text("Bộ định tuyến đã đổi", "The router has changed"),
        Text(
            "Địa chỉ hoặc mã phần cứng của bộ định tuyến khác lần đo trước.",
            "Its address or hardware address differs from the last run.",
        ),
    ),
]

FAILURES: list[FailureCode] = [
    FailureCode(
        PROBE,
        "no_gateway",
        Meaning.POOR,
        Text("Thiết bị không có bộ định tuyến", "The device has no router"),
        Mark.LINE,
        CHECK_CABLE,
    ),
    FailureCode(
        PROBE,
        "cable_unplugged",
        Meaning.POOR,
        Text("Dây mạng bị rút", "The network cable is unplugged"),
        Mark.LINE,
        Text("Cắm lại dây mạng.", "Plug the network cable back in."),
    ),
    FailureCode(
        PROBE,
        "gateway_silent",
        Meaning.NOT_MEASURED,
        Text("Bộ định tuyến không trả lời gói thử", "The router does not answer test packets"),
    ),
    FailureCode(
        PROBE,
        "no_permission",
        Meaning.NOT_MEASURED,
        Text("Thiết bị không được phép gửi ICMP", "The device may not send ICMP"),
    ),
]
