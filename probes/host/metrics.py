"""How the device itself feels: its clock, its disk, and what waits to be sent."""

from __future__ import annotations

from probes.metric import Direction, FailureCode, Limits, Meaning, Metric, Remedy, Text, Unit, declaring

PROBE = "host"
STALE_AFTER_S = 120
OWN = "our own judgement, to be tuned on site"


one = declaring(PROBE, STALE_AFTER_S)
"""One metric of this probe."""


METRICS: list[Metric] = [
    one(
        "clock_error_ms",
        Unit.MS,
        Text("Sai số đồng hồ lớn nhất", "Largest clock error"),
        Text("Theo nhân hệ điều hành, khi đã đồng bộ.", "As the kernel states it, when synchronised."),
    ),
    one(
        "clock_synchronised",
        Unit.YES_NO,
        Text("Đồng hồ đã đồng bộ", "Clock synchronised"),
        Text("Đồng hồ đang được máy chủ giờ điều chỉnh.", "A time server is steering the clock."),
    ),
    one(
        "clock_step_ms",
        Unit.MS,
        Text("Đồng hồ nhảy", "Clock step"),
        Text(
            "Giờ của máy vừa nhảy chừng này; phép đo không bị ảnh hưởng.",
            "The wall clock jumped by this; measuring goes on undisturbed.",
        ),
    ),
    one(
        "cpu_ratio",
        Unit.RATIO,
        Text("Bộ xử lý", "CPU in use"),
        Text("Phần thời gian bộ xử lý bận.", "Share of time the processors were busy."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.7, 0.9),
        remedy=Remedy.DEVICE,
        source=OWN,
    ),
    one(
        "memory_ratio",
        Unit.RATIO,
        Text("Bộ nhớ đã dùng", "Memory in use"),
        Text("Phần bộ nhớ không còn trống.", "Share of memory not available."),
        direction=Direction.LOWER,
        limits=Limits.at_most(0.85, 0.95),
        remedy=Remedy.DEVICE,
        source=OWN,
    ),
    one(
        "disk_free_ratio",
        Unit.RATIO,
        Text("Đĩa còn trống", "Disk free"),
        Text("Nơi giữ các báo cáo chờ gửi.", "Where reports wait to be sent."),
        direction=Direction.HIGHER,
        limits=Limits.at_least(0.1, 0.03),
        remedy=Remedy.DEVICE,
        source=OWN,
    ),
    one(
        "spool_reports",
        Unit.REPORTS,
        Text("Báo cáo chờ gửi", "Reports waiting"),
        Text("Chưa được trung tâm xác nhận.", "Not yet acknowledged by the centre."),
    ),
    one(
        "spool_age_s",
        Unit.SECONDS,
        Text("Báo cáo chờ lâu nhất", "Oldest report waiting"),
        Text("Tuổi của báo cáo cũ nhất chưa gửi.", "Age of the oldest report not yet acknowledged."),
    ),
    one(
        "off",
        Unit.YES_NO,
        Text("Thiết bị tắt theo lệnh", "Orderly shutdown"),
        Text("1: thiết bị được tắt đúng cách, không phải mất liên lạc.", "1: switched off in order, not lost."),
    ),
]

FAILURES: list[FailureCode] = [
    FailureCode(
        PROBE,
        "switched_off",
        Meaning.OFF,
        Text("Thiết bị đã tắt đúng cách", "The device was switched off in order"),
    ),
    FailureCode(
        PROBE,
        "part_failed",
        Meaning.NOT_MEASURED,
        Text("Một phần của thiết bị đo gặp lỗi, đang khởi động lại", "A part of the agent failed and is started again"),
    ),
]
