"""What is stored comes out as it went in."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.store.database import connect, path_in, prepare
from monitor.store.intake import Takings
from monitor.store.protocol import Intake
from monitor.store.reads import runs_after
from monitor.store.runs import TABLES, create_tables
from probes.catalog import METRICS
from probes.report import Failure, Report

names = st.one_of(
    st.sampled_from([metric.name for metric in METRICS.values()]),
    st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
reports = st.builds(
    Report,
    probe=st.sampled_from(["link", "lan", "host", "hub", "reach", "call", "strange_one"]),
    at=st.integers(0, 1 << 52),
    took_ms=st.integers(0, 1 << 52),
    boot=st.sampled_from(["b1", "b2"]),
    target=st.sampled_from([None, "hp", "[fe80::1]:862"]),
    line=st.sampled_from([None, "main", "backup"]),
    room=st.sampled_from([None, "hall"]),
    failure=st.one_of(st.none(), st.builds(Failure, st.just("hub_unreachable"), st.text(max_size=20))),
    values=st.dictionaries(names, numbers, max_size=30),
    labels=st.dictionaries(names, st.sampled_from(["kernel", "Đạt", ""]), max_size=4),
)


@given(st.lists(reports, max_size=12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_report_comes_out_as_it_went_in(tmp_path: Path, sent: list[Report]) -> None:
    sent = [
        Report(**{name: getattr(report, name) for name in Report.__struct_fields__} | {"seq": number})
        for number, report in enumerate(sent, 1)
    ]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(tmp_path / "template")
    connect(path_in(tmp_path / "template")).backup(connection)
    takings = Takings()
    connection.execute("BEGIN")
    taken = takings.take(connection, Intake("d-1", 1_000, None, [("31-1", report) for report in sent]))
    takings.flush(connection)
    connection.execute("COMMIT")
    found = list(runs_after(connection, 0))
    assert [run.report for run in found] == sent
    assert found == taken.runs
    assert [run.entry for run in found] == list(range(1, len(sent) + 1))


def test_a_metric_declared_later_gets_its_column_and_older_rows_keep_their_value(tmp_path: Path) -> None:
    prepare(tmp_path)
    connection = connect(path_in(tmp_path))
    column = f"v_{TABLES['link'].metrics[0]}"
    connection.execute(f"ALTER TABLE runs_link DROP COLUMN {column}")
    connection.execute("INSERT INTO spools VALUES (1, 'd-1', 'b1', '[[1,1]]', '[]')")
    connection.execute(
        "INSERT INTO runs_link (entry, spool, seq, site, at, received_at, took_ms, more) "
        "VALUES (1, 1, 1, 's', 1, 1, 1, ?)",
        (f'{{"{TABLES["link"].metrics[0]}":7.5}}',),
    )
    create_tables(connection)
    (run,) = runs_after(connection, 0)
    assert run.report.values == {TABLES["link"].metrics[0]: 7.5}
