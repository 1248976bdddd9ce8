"""The metric pages: every declaration in two languages, as tables that read well on paper and on a code host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.derive.names import prometheus_name
from monitor.derive.numbers import figure, limits_row
from probes.catalog import FAILURES, METRICS, PROBES
from probes.metric import FailureCode, Hold, Judging, Limits, Mark, Meaning, Metric, Remedy, Side, Text, Unit

TITLE = Text("Các chỉ số và giới hạn", "Metrics and limits")
MADE = Text(
    "Trang này được tạo từ khai báo của từng phép đo (`diemcau-monitor derive`); đừng sửa bằng tay.",
    "This page is derived from the probes' declarations (`diemcau-monitor derive`); do not edit it by hand.",
)
INTRO = Text(
    "**Đạt** khi còn trong giới hạn thứ nhất, **Cần chú ý** khi còn trong giới hạn thứ hai, ngoài ra là **Không đạt**. "
    "Chỉ số không đo được thì không có mặt, và mục của nó là **Chưa đo được** kèm lý do.",
    "**Good** within the first limit, **fair** within the second, **poor** outside it. "
    "What was not measured is absent, and its mark is **unknown** with the reason.",
)
DIRECTIONS = Text(
    "*chiều gửi*: từ điểm cầu về trung tâm (`up`); *chiều nhận*: từ trung tâm về điểm cầu (`down`).",
    "*sending*: from the site to the centre (`up`); *receiving*: from the centre to the site (`down`).",
)

PROBE_WORDS: dict[str, Text] = {
    "link": Text("Đường truyền", "The line"),
    "lan": Text("Mạng trong phòng", "The network inside the room"),
    "reach": Text("Đo từ trung tâm", "Measured from the centre"),
    "hub": Text("Máy chủ đo ở điểm cầu chính", "The hub at a main bridge"),
    "host": Text("Thiết bị đo", "The device itself"),
}
MARK_WORDS: dict[Mark, Text] = {
    Mark.LINE: Text("đường truyền", "line"),
    Mark.PICTURE: Text("hình", "picture"),
    Mark.SOUND: Text("tiếng", "sound"),
    Mark.LIGHT: Text("ánh sáng", "light"),
    Mark.POWER: Text("nguồn", "power"),
    Mark.NONE: Text("–", "–"),
}
REMEDY_WORDS: dict[Remedy, Text] = {
    Remedy.CARRIER: Text("nhà mạng", "carrier"),
    Remedy.LOCAL_NETWORK: Text("mạng trong phòng", "local network"),
    Remedy.LIGHT_AND_CURTAINS: Text("đèn và rèm", "light and curtains"),
    Remedy.MICROPHONE_AND_LOUDSPEAKER: Text("micro và loa", "microphone and loudspeaker"),
    Remedy.UPS: Text("UPS", "UPS"),
    Remedy.PEOPLE: Text("người trong phòng", "people"),
    Remedy.DEVICE: Text("thiết bị đo", "device"),
    Remedy.NONE: Text("–", "–"),
}
CLASS_WORDS: dict[str, Text] = {
    "radio": Text("vô tuyến", "radio"),
    "satellite": Text("vệ tinh", "satellite"),
    "island": Text("đảo", "island"),
}
UNIT_NAMES: dict[Unit, Text] = {
    Unit.MS: Text("mili giây", "milliseconds"),
    Unit.SECONDS: Text("giây", "seconds"),
    Unit.RATIO: Text("tỷ lệ 0…1", "ratio 0…1"),
    Unit.PACKETS: Text("gói", "packets"),
    Unit.REPORTS: Text("báo cáo", "reports"),
    Unit.BYTES: Text("byte", "bytes"),
    Unit.MBPS: Text("Mbit/s", "Mbit/s"),
    Unit.KBPS: Text("kbit/s", "kbit/s"),
    Unit.PX: Text("điểm ảnh", "pixels"),
    Unit.HZ: Text("mỗi giây", "per second"),
    Unit.KELVIN: Text("K", "K"),
    Unit.CELSIUS: Text("°C", "°C"),
    Unit.VOLT: Text("V", "V"),
    Unit.DB: Text("dB", "dB"),
    Unit.DBFS: Text("dBFS", "dBFS"),
    Unit.MOS: Text("MOS 1…5", "MOS 1…5"),
    Unit.DSCP: Text("DSCP 0…63", "DSCP 0…63"),
    Unit.COUNT: Text("số", "number"),
    Unit.YES_NO: Text("0 hoặc 1", "0 or 1"),
}
MEANING_WORDS: dict[Meaning, Text] = {
    Meaning.POOR: Text("Không đạt", "poor"),
    Meaning.OFF: Text("Chưa đo được: đã tắt đúng cách", "unknown: switched off in order"),
    Meaning.HUB_BUSY: Text("Chưa đo được: điểm cầu chính bận", "unknown: the hub is busy"),
    Meaning.NO_DEVICE: Text("Chưa đo được: không có thiết bị", "unknown: no device"),
    Meaning.DEVICE_IN_USE: Text("Chưa đo được: thiết bị đang được dùng", "unknown: the device is in use"),
    Meaning.CLOCK: Text("Chưa đo được: đồng hồ sai", "unknown: the clock is wrong"),
    Meaning.NOT_MEASURED: Text("Chưa đo được", "unknown"),
}
JUDGING_WORDS: dict[Judging, Text] = {
    Judging.LATEST: Text("từng lần đo", "each reading"),
    Judging.LOSS_60S: Text("60 giây gần nhất, cận dưới của khoảng tin cậy", "last 60 s, lower bound of the interval"),
    Judging.AT_50_PER_SECOND: Text("chỉ khi đo ≥ 50 gói/giây", "only at ≥ 50 packets/s"),
    Judging.BASELINE_7D: Text("từng lần đo, và so với 7 ngày của chính nó", "each reading, and its own last 7 days"),
}

JUDGED_HEAD = Text(
    "Chỉ số | Đạt | Cần chú ý | Không đạt | Mục | Xét trên | Xác nhận sau | Làm gì | Nguồn của giới hạn",
    "Metric | Good | Fair | Poor | Mark | Judged on | Believed after | What to do | Source of the limit",
)
ALL_HEAD = Text(
    "Tên | Nghĩa | Đơn vị | Cũ sau | Tính ở | Prometheus | Influx",
    "Name | Meaning | Unit | Stale after | Computed at | Prometheus | Influx",
)
FAILURE_HEAD = Text("Mã | Nghĩa | Mục thành | Làm gì", "Code | Meaning | The mark becomes | What to do")
SIDE_WORDS = {Side.PROBE: Text("thiết bị đo", "probe"), Side.CENTRE: Text("trung tâm", "centre")}
JUDGED = Text("Chỉ số có giới hạn", "Metrics with limits")
ALL = Text("Mọi chỉ số", "All metrics")
WHY_NOT = Text("Khi không đo được", "When it cannot be measured")


def metrics_page(lang: str) -> str:
    """The whole page in Markdown; `lang` is `vi` or `en`."""
    parts = [f"# {_in(TITLE, lang)}", _in(MADE, lang), _in(INTRO, lang), _in(DIRECTIONS, lang)]
    for probe in PROBES:
        parts += _probe_section(probe, lang)
    return "\n\n".join(parts) + "\n"


def _in(text: Text, lang: str) -> str:
    return text.vi if lang == "vi" else text.en


def _probe_section(probe: str, lang: str) -> list[str]:
    metrics = [metric for metric in METRICS.values() if metric.probe == probe]
    judged = [metric for metric in metrics if metric.limits]
    failures = [failure for failure in FAILURES.values() if failure.probe == probe]
    section = [f"## {_in(PROBE_WORDS[probe], lang)} (`{probe}`)"]
    if judged:
        rows = [row for metric in judged for row in _judged_rows(metric, lang)]
        section += [f"### {_in(JUDGED, lang)}", _table(_in(JUDGED_HEAD, lang), rows)]
    section += [f"### {_in(ALL, lang)}", _table(_in(ALL_HEAD, lang), [_row(metric, lang) for metric in metrics])]
    if failures:
        rows = [_failure_row(failure, lang) for failure in failures]
        section += [f"### {_in(WHY_NOT, lang)}", _table(_in(FAILURE_HEAD, lang), rows)]
    return section


def _judged_rows(metric: Metric, lang: str) -> Iterable[Sequence[str]]:
    """The declaration's own limits, then one row for each class of site where they differ."""
    if metric.limits is None:
        return
    yield (
        f"{_in(metric.label, lang)}<br>`{metric.full_name}`",
        *_limits(metric.limits, metric.unit, lang),
        _in(MARK_WORDS[metric.mark], lang),
        _judged_on(metric, lang),
        _believed(metric.hold, lang),
        _cure(metric, lang),
        metric.source or "–",
    )
    for site_class, limits in metric.by_class.items():
        words = CLASS_WORDS.get(site_class, Text(site_class, site_class))
        yield (f"– {_in(words, lang)}", *_limits(limits, metric.unit, lang), "", "", "", "", "")


def _limits(limits: Limits, unit: Unit, lang: str) -> tuple[str, str, str]:
    """Good, fair and poor; never broken over two lines."""
    good, fair, poor = (words.replace(" ", "\u00a0") for words in limits_row(limits, unit, lang))
    return good, fair, poor


def _judged_on(metric: Metric, lang: str) -> str:
    words = _in(JUDGING_WORDS[metric.judging], lang)
    if metric.baseline is None:
        return words
    ratio, floor = metric.baseline.ratio, figure(metric.baseline.floor, metric.unit, lang)
    good, fair = (f"×{figure(limit.high or 0, Unit.COUNT, lang)}" for limit in (ratio.good, ratio.fair))
    more = Text(f"quá {good} / {fair} và hơn {floor}", f"past {good} / {fair} and {floor} more")
    return f"{words} ({_in(more, lang)})"


def _believed(hold: Hold, lang: str) -> str:
    if hold.raise_of == 1:
        text = Text(
            f"ngay; hết sau {hold.clear_after} lần tốt liên tiếp", f"at once; cleared by {hold.clear_after} in a row"
        )
    else:
        text = Text(
            f"{hold.raise_of} trong {hold.raise_in} lần; hết sau {hold.clear_after} lần tốt liên tiếp",
            f"{hold.raise_of} of {hold.raise_in}; cleared by {hold.clear_after} in a row",
        )
    return _in(text, lang)


def _cure(metric: Metric, lang: str) -> str:
    advice = _in(metric.advice, lang) if metric.advice else "–"
    return advice if metric.remedy is Remedy.NONE else f"{advice} *({_in(REMEDY_WORDS[metric.remedy], lang)})*"


def _row(metric: Metric, lang: str) -> Sequence[str]:
    return (
        f"`{metric.name}`",
        f"**{_in(metric.label, lang)}**. {_in(metric.meaning, lang)}",
        _in(UNIT_NAMES[metric.unit], lang),
        figure(metric.stale_after_s, Unit.SECONDS, lang),
        _in(SIDE_WORDS[metric.computed], lang),
        f"`{prometheus_name(metric.full_name).name}`",
        f"`{metric.probe}` → `{metric.name}`",
    )


def _failure_row(failure: FailureCode, lang: str) -> Sequence[str]:
    meaning = _in(MEANING_WORDS[failure.meaning], lang)
    mark = "" if failure.mark is Mark.NONE else f"{_in(MARK_WORDS[failure.mark], lang)}: "
    advice = _in(failure.advice, lang) if failure.advice else "–"
    return f"`{failure.code}`", _in(failure.label, lang), f"{mark}{meaning}", advice


def _table(head: str, rows: Iterable[Sequence[str]]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " --- |" * columns]
    lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    return "\n".join(lines)
