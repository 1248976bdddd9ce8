"""What the line is measured by: loss, delay and its variation, each direction apart (RFC 8762 STAMP)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from probes.metric import (
    EACH_RUN,
    Baseline,
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

PROBE = "link"
STALE_AFTER_S = 30

TEAMS = "Microsoft Teams network requirements, client to edge: <100 ms, <1 % loss in 15 s, <30 ms jitter"
DAILY_STALE_AFTER_S = 93_600
"""Of figures measured once a day, with the path run: a day and two hours."""
OWN = "our own judgement, to be tuned on site"

CALL_CARRIER = Text(
    "Gọi nhà mạng, báo số mạch và thời điểm bắt đầu; nếu có đường dự phòng đang tốt thì chuyển sang.",
    "Call the carrier with the circuit number and the start time; switch to the backup line if it is good.",
)
LOOK_FOR_LOAD = Text(
    "Tạm dừng tải tệp lớn, cập nhật máy tính trong giờ họp; nếu vẫn trễ thì gọi nhà mạng.",
    "Pause large downloads and updates during the meeting; if it stays slow, call the carrier.",
)

UP = Text("chiều gửi về trung tâm", "sending to the centre")
DOWN = Text("chiều nhận từ trung tâm", "receiving from the centre")
DIRECTIONS = {"up": UP, "down": DOWN}

# What goes up is what was sent; what goes down is what the hub sent back.
LOSS_POOLS = {
    "up": Pool("lost_up_packets", "sent_packets", "loss_runs_up_count"),
    "down": Pool("lost_down_packets", "reflected_packets", "loss_runs_down_count"),
}
REORDER_POOLS = {
    "up": Pool("reordered_up_packets", "reflected_packets"),
    "down": Pool("reordered_down_packets", "received_packets"),
}


one = declaring(PROBE, STALE_AFTER_S)
"""One metric of this probe."""

daily = declaring(PROBE, DAILY_STALE_AFTER_S, hold=EACH_RUN)
"""One metric of the path run, once a day and on demand: each run is believed."""


def both(
    name: str, unit: Unit, label: Text, meaning: Text, pools: Mapping[str, Pool] | None = None, **more: Any
) -> list[Metric]:
    """The same metric for up (site → hub) and down (hub → site); `{}` in the name is the direction."""
    return [
        one(
            name.format(direction),
            unit,
            Text(f"{label.vi}, {words.vi}", f"{label.en}, {words.en}"),
            meaning,
            pool=pools[direction] if pools else None,
            **more,
        )
        for direction, words in DIRECTIONS.items()
    ]


METRICS: list[Metric] = [
    one(
        "sent_packets",
        Unit.PACKETS,
        Text("Gói đã gửi", "Packets sent"),
        Text("Số gói đo đã gửi trong lần đo này.", "Test packets sent in this run."),
    ),
    one(
        "reflected_packets",
        Unit.PACKETS,
        Text("Gói tới điểm cầu chính", "Packets that reached the hub"),
        Text("Không tính bản sao; có khi thiết bị phản hồi đếm theo phiên.", "Copies left out; where the hub counts."),
    ),
    one(
        "received_packets",
        Unit.PACKETS,
        Text("Gói trở về", "Packets that came back"),
        Text("Không tính bản sao.", "Copies left out."),
    ),
    one(
        "rate_pps",
        Unit.HZ,
        Text("Nhịp gửi", "Packet rate"),
        Text("Số gói đo gửi mỗi giây.", "Test packets sent each second."),
    ),
    *both(
        "lost_{}_packets",
        Unit.PACKETS,
        Text("Gói mất", "Packets lost"),
        Text(
            "Gói không tới nơi trong 3 giây; gói trùng không che gói mất.",
            "Packets not there within 3 s; a duplicate does not hide a loss.",
        ),
    ),
    one(
        "lost_round_packets",
        Unit.PACKETS,
        Text("Gói mất cả vòng", "Packets lost on the round trip"),
        Text(
            "Chỉ khi thiết bị phản hồi không cho biết chiều nào mất.",
            "Only where the reflector cannot tell which direction lost them.",
        ),
    ),
    *both(
        "dup_{}_packets",
        Unit.PACKETS,
        Text("Gói trùng", "Packets duplicated"),
        Text("Bản sao thừa của một gói đã tới.", "Extra copies of a packet that had arrived."),
    ),
    *both(
        "reordered_{}_packets",
        Unit.PACKETS,
        Text("Gói sai thứ tự", "Packets reordered"),
        Text("Gói tới sau gói gửi sau nó (RFC 4737).", "Packets that arrived after a later one (RFC 4737)."),
    ),
    *both(
        "loss_{}_ratio",
        Unit.RATIO,
        Text("Tỷ lệ mất gói", "Packet loss"),
        Text("Phần gói không tới nơi.", "Share of packets that did not arrive."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.01, 0.03),
        judging=Judging.LOSS_60S,
        pools=LOSS_POOLS,
        mark=Mark.LINE,
        advice=CALL_CARRIER,
        remedy=Remedy.CARRIER,
        source=TEAMS + "; poor above 3 % (Twilio: 3 % over 7 samples)",
    ),
    one(
        "loss_round_ratio",
        Unit.RATIO,
        Text("Tỷ lệ mất gói cả vòng", "Packet loss, round trip"),
        Text(
            "Chỉ khi thiết bị phản hồi không cho biết chiều nào mất.",
            "Only where the reflector cannot tell the direction.",
        ),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.01, 0.03),
        judging=Judging.LOSS_60S,
        pool=Pool("lost_round_packets", "sent_packets"),
        mark=Mark.LINE,
        advice=CALL_CARRIER,
        remedy=Remedy.CARRIER,
        source=TEAMS,
    ),
    *both(
        "loss_{}_low_ratio",
        Unit.RATIO,
        Text("Mất gói, cận dưới 95 %", "Packet loss, 95 % lower bound"),
        Text(
            "Cận dưới của khoảng tin cậy Wilson, tính trên số mẫu hữu hiệu (mất gói theo chùm làm mẫu nhỏ đi).",
            "Lower end of the Wilson interval on the effective sample (bursts make it smaller).",
        ),
    ),
    *both(
        "loss_{}_high_ratio",
        Unit.RATIO,
        Text("Mất gói, cận trên 95 %", "Packet loss, 95 % upper bound"),
        Text(
            "Cận trên của khoảng tin cậy Wilson, tính trên số mẫu hữu hiệu.",
            "Upper end of the Wilson interval on the effective sample.",
        ),
    ),
    *both(
        "loss_runs_{}_count",
        Unit.COUNT,
        Text("Số chùm mất gói", "Runs of loss"),
        Text("Số đoạn gói mất liền nhau.", "How many runs of consecutive lost packets there were."),
    ),
    *both(
        "longest_loss_{}_ms",
        Unit.MS,
        Text("Đoạn mất gói dài nhất", "Longest run of loss"),
        Text("Thời gian dài nhất không gói nào tới.", "Longest time in which no packet arrived."),
        direction=Direction.LOWER,
        limits=Limits.at_most(60, 80),
        judging=Judging.AT_50_PER_SECOND,
        mark=Mark.LINE,
        advice=CALL_CARRIER,
        remedy=Remedy.CARRIER,
        source="Concealment holds 2-3 lost 20 ms packets, then speech breaks (Jiang/Koguchi/Schulzrinne)",
    ),
    *both(
        "worst_200ms_{}_ratio",
        Unit.RATIO,
        Text("Mất gói trong 200 ms xấu nhất", "Loss in the worst 200 ms"),
        Text("Tỷ lệ mất gói của khoảng 200 ms xấu nhất.", "Packet loss of the worst 200 ms."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.10, 0.20),
        judging=Judging.AT_50_PER_SECOND,
        mark=Mark.LINE,
        advice=CALL_CARRIER,
        remedy=Remedy.CARRIER,
        source="Microsoft Teams: <10 % in any 200 ms; upper limit " + OWN,
    ),
    *both(
        "burst_density_{}_ratio",
        Unit.RATIO,
        Text("Mất gói trong chùm", "Loss inside bursts"),
        Text(
            "Tỷ lệ mất gói bên trong các chùm (RFC 3611, Gmin 16).",
            "Loss inside bursts (RFC 3611 section 4.7.2, Gmin 16).",
        ),
    ),
    *both(
        "gap_density_{}_ratio",
        Unit.RATIO,
        Text("Mất gói giữa các chùm", "Loss between bursts"),
        Text("Tỷ lệ mất gói ngoài các chùm (RFC 3611).", "Loss outside bursts (RFC 3611 section 4.7.2)."),
    ),
    *both(
        "burst_{}_ms",
        Unit.MS,
        Text("Độ dài chùm trung bình", "Mean burst length"),
        Text("Độ dài trung bình của chùm mất gói (RFC 3611).", "Mean length of a burst (RFC 3611 section 4.7.2)."),
    ),
    *both(
        "reordered_{}_ratio",
        Unit.RATIO,
        Text("Tỷ lệ gói sai thứ tự", "Reordered packets"),
        Text("Phần gói tới sai thứ tự (RFC 4737).", "Share of packets that arrived out of order (RFC 4737)."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.0005, 0.01),
        judging=Judging.LOSS_60S,
        pools=REORDER_POOLS,
        mark=Mark.LINE,
        advice=CALL_CARRIER,
        remedy=Remedy.CARRIER,
        source="Microsoft Teams: <0.05 %; upper limit " + OWN,
    ),
    one(
        "rtt_min_ms",
        Unit.MS,
        Text("Trễ khứ hồi nhỏ nhất", "Smallest round-trip time"),
        Text("Không tính thời gian xử lý ở điểm cầu chính.", "Time inside the hub is taken out."),
    ),
    one(
        "rtt_p50_ms",
        Unit.MS,
        Text("Trễ khứ hồi", "Round-trip time"),
        Text(
            "Trung vị thời gian đi và về tới điểm cầu chính, không tính thời gian xử lý ở đó.",
            "Median time to the main bridge and back, without the time inside it.",
        ),
        direction=Direction.LOWER,
        limits=Limits.at_most(100, 300),
        by_class={"satellite": Limits.at_most(700, 900), "island": Limits.at_most(150, 350)},
        judging=Judging.BASELINE_7D,
        baseline=Baseline(Limits.at_most(2, 3), floor=10),
        mark=Mark.LINE,
        advice=LOOK_FOR_LOAD,
        remedy=Remedy.CARRIER,
        source=TEAMS + "; poor above 300 ms (Sinch, Circuit); satellite and island: " + OWN,
    ),
    one(
        "rtt_p95_ms",
        Unit.MS,
        Text("Trễ khứ hồi, 95 %", "Round-trip time, 95th percentile"),
        Text("95 % số gói nhanh hơn mức này.", "95 % of packets are faster than this."),
    ),
    one(
        "rtt_p99_ms",
        Unit.MS,
        Text("Trễ khứ hồi, 99 %", "Round-trip time, 99th percentile"),
        Text("99 % số gói nhanh hơn mức này.", "99 % of packets are faster than this."),
    ),
    one(
        "rtt_max_ms",
        Unit.MS,
        Text("Trễ khứ hồi lớn nhất", "Largest round-trip time"),
        Text("Gói chậm nhất trong lần đo.", "The slowest packet of the run."),
    ),
    *both(
        "dv_{}_mean_ms",
        Unit.MS,
        Text("Độ trễ không đều, trung bình", "Delay variation, mean"),
        Text(
            "Trung bình chênh lệch độ trễ giữa hai gói liền nhau.",
            "Mean difference in delay between one packet and the next.",
        ),
    ),
    *both(
        "dv_{}_p99_ms",
        Unit.MS,
        Text("Độ trễ không đều", "Delay variation"),
        Text(
            "Phần bộ đệm phải chờ: 99 % trừ nhỏ nhất (RFC 5481).",
            "What a receiver's buffer must hold: 99th percentile minus minimum (RFC 5481).",
        ),
        direction=Direction.LOWER,
        limits=Limits.at_most(30, 50),
        by_class={"satellite": Limits.at_most(50, 100), "island": Limits.at_most(50, 100)},
        mark=Mark.LINE,
        advice=LOOK_FOR_LOAD,
        remedy=Remedy.CARRIER,
        source="Microsoft Teams and Cisco: jitter <30 ms; Circuit 50 ms; satellite and island: " + OWN,
    ),
    *both(
        "jitter_rfc3550_{}_ms",
        Unit.MS,
        Text("Jitter RFC 3550", "Jitter, RFC 3550"),
        Text(
            "Giá trị trượt cuối lần đo, chỉ để so với thiết bị khác.",
            "The moving value at the end of the run, for comparison with other equipment only.",
        ),
    ),
    *both(
        "owd_{}_ms",
        Unit.MS,
        Text("Trễ một chiều", "One-way delay"),
        Text(
            "Trung vị; chỉ có khi đồng hồ hai đầu được đồng bộ, đọc cùng sai số đồng hồ.",
            "Median; only where both clocks are synchronised; read it beside the clock error.",
        ),
    ),
    one(
        "clock_error_ms",
        Unit.MS,
        Text("Sai số đồng hồ", "Clock error"),
        Text("Sai số lớn nhất của trễ một chiều.", "The largest error of the one-way delays."),
    ),
    one(
        "mos_estimate",
        Unit.MOS,
        Text("MOS ước tính", "Estimated MOS"),
        Text(
            "Điểm chất lượng tiếng nói ước tính từ trễ và mất gói (ITU-T G.107), không đo trên tiếng thật.",
            "Speech quality estimated from delay and loss (ITU-T G.107), not measured on speech.",
        ),
        direction=Direction.HIGHER,
        limits=Limits.at_least(4.02, 3.60, 0.1),
        source="ITU-T G.109 classes: R 80 and R 70",
    ),
    one(
        "dscp_sent",
        Unit.DSCP,
        Text("Nhãn ưu tiên đã gửi", "DSCP sent"),
        Text("Nhãn ưu tiên (DSCP) của gói khi rời thiết bị.", "Priority mark (DSCP) of packets as they leave."),
    ),
    *both(
        "dscp_{}",
        Unit.DSCP,
        Text("Nhãn ưu tiên nhận được", "DSCP received"),
        Text("Nhãn ưu tiên (DSCP) khi gói tới nơi.", "Priority mark (DSCP) as packets arrive."),
    ),
    *both(
        "dscp_ef_{}",
        Unit.DSCP,
        Text("Nhãn EF khi tới nơi", "EF mark as received"),
        Text(
            "Gói gửi với nhãn tiếng nói EF (46) tới nơi mang nhãn nào.",
            "What a packet sent as voice, EF (46), carries on arrival.",
        ),
    ),
    *both(
        "dscp_af41_{}",
        Unit.DSCP,
        Text("Nhãn AF41 khi tới nơi", "AF41 mark as received"),
        Text(
            "Gói gửi với nhãn hình AF41 (34) tới nơi mang nhãn nào.",
            "What a packet sent as video, AF41 (34), carries on arrival.",
        ),
    ),
    *both(
        "ttl_{}",
        Unit.COUNT,
        Text("TTL khi tới nơi", "TTL on arrival"),
        Text("Đổi nghĩa là đường đi đã đổi.", "A change means that the path has changed."),
    ),
    one(
        "reflector_restarts_count",
        Unit.COUNT,
        Text("Điểm cầu chính khởi động lại", "Reflector restarts"),
        Text("Số lần bộ phản hồi đếm lại từ đầu.", "How often the reflector began counting anew."),
    ),
    one(
        "own_drops_packets",
        Unit.PACKETS,
        Text("Gói thiết bị tự bỏ", "Own receive drops"),
        Text(
            "Gói đã về tới thiết bị nhưng máy quá bận để đọc; không tính là mất gói.",
            "Packets that came back but the device was too busy to read; not counted as loss.",
        ),
    ),
    one(
        "foreign_packets",
        Unit.PACKETS,
        Text("Gói trả lời không khớp", "Answers that do not match"),
        Text(
            "Gói trả lời không lặp lại đúng số thứ tự và thời điểm đã gửi, hoặc sai khóa: bị bỏ qua.",
            "Answers that do not echo the number and stamp sent, or are of another key: ignored.",
        ),
    ),
    *both(
        "capacity_{}_mbps",
        Unit.MBPS,
        Text("Dung lượng đường truyền", "Line capacity"),
        Text(
            "Tốc độ nút hẹp nhất, đo bằng chùm gói; chiều nhận không thấy được phần rộng hơn chiều gửi.",
            "Rate of the narrowest hop, by packet trains; down, no more is seen than what up lets through.",
        ),
        stale_after_s=DAILY_STALE_AFTER_S,
        hold=EACH_RUN,
        direction=Direction.HIGHER,
        limits=Limits.at_least(4, 2),
        remedy=Remedy.CARRIER,
        source="2.5 Mbit/s of a 720p meeting and 20 % headroom; " + OWN,
    ),
    *both(
        "available_{}_mbps",
        Unit.MBPS,
        Text("Băng thông còn trống", "Free bandwidth"),
        Text("Tốc độ mà từ đó độ trễ bắt đầu tăng.", "The rate from which delay begins to grow."),
        stale_after_s=DAILY_STALE_AFTER_S,
        hold=EACH_RUN,
    ),
    daily(
        "capacity_spent_bytes",
        Unit.BYTES,
        Text("Dữ liệu dùng để đo dung lượng", "Bytes spent on the capacity test"),
        Text("Tổng số byte IP cả hai chiều của phép đo này.", "All IP bytes of that test, both directions."),
    ),
    daily(
        "path_mtu_bytes",
        Unit.BYTES,
        Text("MTU của đường truyền", "Path MTU"),
        Text(
            "Gói IP lớn nhất đi lọt nguyên vẹn cả hai chiều (tìm tới 1.500).",
            "The largest IP packet that passes whole both ways (searched up to 1,500).",
        ),
        direction=Direction.HIGHER,
        limits=Limits.at_least(1400, 1280),
        remedy=Remedy.CARRIER,
        source="WebRTC sends up to 1,200 bytes of payload; 1,280 is the least of IPv6 (RFC 8200 section 5)",
    ),
    daily(
        "path_mtu_icmp_bytes",
        Unit.BYTES,
        Text("MTU theo ICMP", "Path MTU told by ICMP"),
        Text(
            "Lớn hơn MTU đo được nghĩa là thông báo ICMP bị chặn (hố đen).",
            "Larger than the measured one: ICMP is filtered (a black hole).",
        ),
    ),
    daily(
        "path_mtu_black_hole",
        Unit.YES_NO,
        Text("Hố đen MTU", "MTU black hole"),
        Text(
            "Gói lớn mất mà không có thông báo: trang web và cuộc gọi treo nửa chừng.",
            "Large packets vanish without a word: pages and calls hang half-way.",
        ),
        direction=Direction.LOWER,
        limits=Limits.at_most(0, 0, 0),
        remedy=Remedy.CARRIER,
        advice=Text(
            "Báo nhà mạng: đường truyền chặn ICMP 'cần phân mảnh' (RFC 1191); tạm đặt MTU thiết bị bằng mức đo được.",
            "Tell the carrier: ICMP 'fragmentation needed' (RFC 1191) is blocked; set the device's MTU as measured.",
        ),
        source="RFC 8899 section 1.1: classic discovery fails where ICMP is filtered",
    ),
    daily(
        "path_hops_count",
        Unit.COUNT,
        Text("Số chặng", "Hops"),
        Text("Số bộ định tuyến trên đường tới điểm cầu chính.", "Routers on the way to the main bridge."),
    ),
    daily(
        "path_changed",
        Unit.YES_NO,
        Text("Đường đi đã đổi", "The path has changed"),
        Text("Các chặng khác với lần dò đường trước.", "The hops differ from those of the trace before."),
    ),
]

FAILURES: list[FailureCode] = [
    FailureCode(
        PROBE,
        "hub_unreachable",
        Meaning.POOR,
        Text("Không liên lạc được điểm cầu chính", "The main bridge cannot be reached"),
        Mark.LINE,
        CALL_CARRIER,
    ),
    FailureCode(
        PROBE,
        "no_route",
        Meaning.POOR,
        Text("Thiết bị không có đường mạng ra ngoài", "The device has no way out to the network"),
        Mark.LINE,
        Text(
            "Kiểm tra dây mạng và bộ định tuyến trong phòng.",
            "Check the network cable and the router in the room.",
        ),
    ),
    FailureCode(
        PROBE,
        "name_unknown",
        Meaning.POOR,
        Text("Không tra được tên máy của điểm cầu chính", "The main bridge's name cannot be resolved"),
        Mark.LINE,
    ),
    FailureCode(
        PROBE,
        "source_missing",
        Meaning.NO_DEVICE,
        Text("Địa chỉ hoặc cổng mạng của đường truyền không còn", "The line's address or interface is gone"),
        Mark.LINE,
        Text("Cắm lại dây mạng của đường truyền này.", "Plug this line's cable back in."),
    ),
    FailureCode(
        PROBE,
        "send_refused",
        Meaning.NOT_MEASURED,
        Text("Tường lửa của thiết bị đo không cho gửi", "A firewall on the device forbids sending"),
        Mark.LINE,
        Text("Cho phép gửi UDP tới cổng của điểm cầu chính.", "Allow UDP to the main bridge's port."),
    ),
    FailureCode(
        PROBE,
        "no_permission",
        Meaning.NOT_MEASURED,
        Text("Dịch vụ đo thiếu quyền dùng cổng mạng", "The service may not use the interface"),
        Mark.LINE,
        Text("Cấp quyền CAP_NET_RAW cho dịch vụ.", "Give the service CAP_NET_RAW."),
    ),
    FailureCode(
        PROBE,
        "nonconforming",
        Meaning.NOT_MEASURED,
        Text("Thiết bị phản hồi không theo chuẩn RFC 8762", "The reflector does not conform to RFC 8762"),
        Mark.LINE,
    ),
    FailureCode(
        PROBE,
        "own_drops",
        Meaning.NOT_MEASURED,
        Text("Thiết bị đo quá bận nên không đo được", "The device was too busy to measure"),
        Mark.LINE,
    ),
    FailureCode(
        PROBE,
        "path_unmeasured",
        Meaning.NOT_MEASURED,
        Text("Chưa đo được dung lượng và MTU", "Capacity and MTU could not be measured"),
    ),
    FailureCode(
        PROBE,
        "no_permission",
        Meaning.NOT_MEASURED,
        Text("Thiết bị không được phép dùng cổng mạng này", "The device may not bind to this interface"),
    ),
    FailureCode(
        PROBE,
        "meeting",
        Meaning.NOT_MEASURED,
        Text("Không đo dung lượng vì gần giờ họp", "Capacity not measured: a meeting is near"),
    ),
    FailureCode(
        PROBE,
        "time_limit",
        Meaning.NOT_MEASURED,
        Text("Phép đo quá thời gian", "The run passed its time limit"),
        Mark.LINE,
    ),
]
