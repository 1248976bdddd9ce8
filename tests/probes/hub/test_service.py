"""The hub as a device: real workers, a real socket, a small real centre."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from probes.centre import Centre
from probes.config import CentreTarget, ConfigError, HubConfig, HubTarget, SpoolConfig
from probes.hub.service import open_mode, serve
from probes.hub.sites import SiteList
from probes.hub.talk import HubSite
from probes.report import Report
from tests.probes.centres import SmallCentre, serving
from tests.probes.fakes import running, until
from tests.probes.hub.hubs import ROOT, Asker

Make = Callable[..., Asker]
KEY = bytes(range(32))
SITE = {"site": "31-11329", "ssid": 700, "stamp_key": KEY.hex(), "sources": []}


class HubCentre(SmallCentre):
    """The small centre with a list of sites, and an ETag for it."""

    def __init__(self, sites: list[dict[str, object]] | None = None) -> None:
        super().__init__()
        self.sites = sites if sites is not None else [SITE]
        self.asked: list[tuple[str | None, int]] = []

    def respond(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if path != "/api/v1/hub/sites" or headers.get("authorization") != f"Bearer {self.token}":
            return super().respond(method, path, headers, body)
        listed = json.dumps(self.sites).encode()
        etag = f'"{len(listed)}"'
        status = 304 if headers.get("if-none-match") == etag else 200
        self.asked.append((headers.get("if-none-match"), status))
        return status, {"ETag": etag}, b"" if status == 304 else listed

    def of_site(self, site: str) -> list[Report]:
        return sorted((each for each in self.stored.values() if each.site == site), key=lambda each: each.seq)

    def of_probe(self, probe: str) -> list[Report]:
        """What the hub says of itself."""
        own = (each for each in self.stored.values() if each.site is None and each.probe == probe)
        return sorted(own, key=lambda each: each.seq)


def free_port(kind: socket.SocketKind) -> int:
    with closing(socket.socket(socket.AF_INET, kind)) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def config_of(url: str, folder: Path, **more: object) -> HubConfig:
    return HubConfig(
        site="hp",
        listen=f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
        centre=CentreTarget(url, "d-hub", "secret-token"),
        spool=SpoolConfig(str(folder)),
        metrics_listen=f"127.0.0.1:{free_port(socket.SOCK_STREAM)}",
        **more,  # type: ignore[arg-type]
    )


def address_of(config: HubConfig) -> tuple[str, int]:
    host, _, port = config.listen.rpartition(":")
    return host, int(port)


async def metrics_of(config: HubConfig) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{config.metrics_listen}/metrics")
    return answer.text


async def answered(asker: Asker, limit_s: float = 20) -> None:
    """Ask until there is an answer: workers are young and lists on their way."""
    asker.sock.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit_s):
        while True:
            try:
                asker.send()
                async with asyncio.timeout(0.2):
                    await loop.sock_recv(asker.sock, 9216)
                    return
            except (TimeoutError, ConnectionRefusedError):
                await asyncio.sleep(0.02)


async def test_a_listed_site_is_answered_and_a_silent_one_is_told_at_once(tmp_path: Path, asker_of: Make) -> None:
    async with serving(HubCentre()) as centre:
        config = config_of(centre.url, tmp_path)
        async with running(serve(config)):
            await answered(asker_of(address_of(config), 700, KEY))
            await until(lambda: len(centre.of_site("31-11329")) == 2)
            assert [each.values["session_silent"] for each in centre.of_site("31-11329")] == [0, 1]
            assert 'diemcau_hub_silent{site="31-11329"} 1' in await metrics_of(config)
            await answered(asker_of(address_of(config), 700, KEY))
            await until(lambda: len(centre.of_site("31-11329")) >= 3)
            assert centre.of_site("31-11329")[2].values == {"session_silent": 0}


@pytest.mark.slow
async def test_a_hub_reports_its_own_health_every_10_seconds(tmp_path: Path, asker_of: Make) -> None:
    async with serving(HubCentre()) as centre:
        config = config_of(centre.url, tmp_path)
        async with running(serve(config)):
            await answered(asker_of(address_of(config), 700, KEY))
            await until(lambda: centre.of_probe("hub"))
    report = centre.of_probe("hub")[0]
    assert report.labels == {"hub": "listed"}
    assert report.values["answered_packets"] >= 1
    assert {"sessions", "refused_packets", "drops_packets", "loop_lag_p99_ms", "wait_p99_ms"} <= set(report.values)
    assert 9_900 <= report.took_ms < 20_000


async def test_a_hub_switched_off_in_order_says_so(tmp_path: Path) -> None:
    async with serving(HubCentre()) as centre:
        async with running(serve(config_of(centre.url, tmp_path))):
            await until(lambda: centre.asked)
        [last] = [each for each in centre.of_probe("host") if each.failure]
    assert last.failure is not None
    assert last.failure.code == "switched_off"


@pytest.mark.slow
async def test_hubs_measure_each_other(tmp_path: Path) -> None:
    other = {"site": "hp", "ssid": 900, "stamp_key": KEY.hex(), "sources": []}
    async with serving(HubCentre([other])) as centre, serving(HubCentre([])) as own_centre:
        far = config_of(centre.url, tmp_path / "hd")
        peer = HubTarget("hd", *address_of(far), ssid=900, stamp_key=KEY.hex())
        async with running(serve(far)), running(serve(config_of(own_centre.url, tmp_path / "hp", peers=[peer]))):
            await until(lambda: any(each.failure is None for each in own_centre.of_probe("link")), 60)
        report = next(each for each in own_centre.of_probe("link") if each.failure is None)
    assert report.target == "hd"
    assert report.values["lost_up_packets"] == 0
    assert centre.of_site("hp")[0].values == {"session_silent": 0}


@pytest.mark.slow
async def test_the_death_of_a_worker_does_not_call_its_sites_silent(tmp_path: Path, asker_of: Make) -> None:
    async with serving(HubCentre()) as centre:
        config = config_of(centre.url, tmp_path)
        async with running(serve(config)):
            asker = asker_of(address_of(config), 700, KEY)
            await answered(asker)
            await until(lambda: centre.of_site("31-11329"))
            [worker] = children_of(os.getpid())
            os.kill(worker, signal.SIGKILL)
            for _ in range(35):  # past the grace of 5 s
                asker.send()
                await asyncio.sleep(0.2)
            assert [each.values for each in centre.of_site("31-11329")] == [{"session_silent": 0}]
            assert "worker_restarts_total 1\n" in await metrics_of(config)


async def test_the_kept_list_serves_while_the_centre_is_away(tmp_path: Path, asker_of: Make) -> None:
    async with serving(HubCentre()) as centre:
        config = config_of(centre.url, tmp_path)
        async with running(serve(config)):
            await answered(asker_of(address_of(config), 700, KEY))
    assert stat.S_IMODE((tmp_path / "sites.json").stat().st_mode) == 0o600
    away = config_of("http://127.0.0.1:9", tmp_path)
    async with running(serve(away)):
        await answered(asker_of(address_of(away), 700, KEY))


async def test_a_list_that_did_not_change_is_not_sent_again(tmp_path: Path) -> None:
    known: list[list[HubSite]] = []

    async def know(sites: list[HubSite]) -> None:
        known.append(sites)

    async with serving(HubCentre()) as centre, Centre(CentreTarget(centre.url, "d-hub", "secret-token")) as client:
        for _ in range(2):
            await SiteList(tmp_path / "sites.json").refresh(client, know)
        centre.sites = []
        sites = SiteList(tmp_path / "sites.json")
        await sites.refresh(client, know)
        assert [status for _, status in centre.asked] == [200, 304, 200]
        assert [len(each) for each in known] == [1, 0]
        assert sites.sites == []


async def test_a_list_that_cannot_be_read_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    async def know(sites: list[HubSite]) -> None:
        raise AssertionError(sites)

    (tmp_path / "sites.json").write_text(json.dumps({"etag": None, "sites": [SITE]}))
    async with serving(HubCentre([{"no": "site"}])) as centre:
        for token in ("secret-token", "revoked"):
            async with Centre(CentreTarget(centre.url, "d-hub", token)) as client:
                sites = SiteList(tmp_path / "sites.json")
                await sites.refresh(client, know)
                assert [each.site for each in sites.sites] == ["31-11329"]


async def test_a_broken_file_of_sites_is_asked_anew(tmp_path: Path) -> None:
    (tmp_path / "sites.json").write_bytes(b"\xff not json")
    assert SiteList(tmp_path / "sites.json").sites == []


async def test_a_worker_that_dies_is_replaced_and_what_waited_is_answered(tmp_path: Path, asker_of: Make) -> None:
    config = HubConfig(
        site="open", listen=f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}", metrics_listen="127.0.0.1:0", workers=1
    )
    metrics = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    async with running(open_mode(config.listen, metrics)):
        asker = asker_of(address_of(config))
        await answered(asker)
        [worker] = children_of(os.getpid())
        os.kill(worker, signal.SIGKILL)
        asker.seq = 100
        asker.send()  # into the socket that the supervisor keeps open
        async with asyncio.timeout(20):
            while asker_heard(await asyncio.get_running_loop().sock_recv(asker.sock, 9216)) != 100:
                pass
        config = HubConfig(site="open", metrics_listen=metrics)
        assert "diemcau_hub_worker_restarts_total 1\n" in await metrics_of(config)
        assert "diemcau_hub_workers 1\n" in await metrics_of(config)
    assert children_of(os.getpid()) == []


def asker_heard(packet: bytes) -> int:
    """The sequence an open answer belongs to."""
    return int.from_bytes(packet[24:28])


def children_of(pid: int) -> list[int]:
    """The worker processes of a hub inside process `pid`."""
    told = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in told.stdout.splitlines() if "probes.hub.worker" in line]


async def test_several_workers_share_the_port(tmp_path: Path, asker_of: Make) -> None:
    async with serving(HubCentre()) as centre:
        config = config_of(centre.url, tmp_path, workers=3)
        async with running(serve(config)):
            for number in range(12):
                await answered(asker_of(address_of(config), 700, KEY, bind=f"127.0.0.{number // 4 + 2}"))
            assert len(children_of(os.getpid())) == 3
            await until(lambda: centre.of_site("31-11329"))
            assert centre.of_site("31-11329")[0].values == {"session_silent": 0}


async def test_open_mode_says_so(caplog: pytest.LogCaptureFixture, asker_of: Make) -> None:
    config = HubConfig(site="open", listen=f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}")
    async with running(open_mode(config.listen)):
        await answered(asker_of(address_of(config)))
    assert "open mode (hub=open)" in caplog.text
    assert config.listen in caplog.text


async def test_a_metrics_port_that_is_taken_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = HubConfig(site="hp", listen="127.0.0.1:0", metrics_listen=listen)
        with pytest.raises(ConfigError, match="metrics_listen"):
            await serve(config)
    assert children_of(os.getpid()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what another user may not")
def test_without_the_capability_a_low_port_is_named_with_capability_and_way_out() -> None:
    code = (
        "import os\n"
        "from probes.hub.sockets import open_sockets, CannotListen\n"
        "os.setuid(65534)\n"
        "try: open_sockets('127.0.0.1:862', 862, 1)\n"
        "except CannotListen as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 862:
        assert "port 862" in done.stdout
        assert "CAP_NET_BIND_SERVICE" in done.stdout
        assert "--listen" in done.stdout
    else:
        assert done.stdout == ""


def test_sigterm_ends_a_hub_in_order_with_its_workers() -> None:
    listen = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    code = f"import asyncio\nfrom probes.hub.service import open_mode\nasyncio.run(open_mode({listen!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as hub:
        assert hub.stderr is not None
        assert "open mode" in hub.stderr.readline()
        while not (workers := children_of(hub.pid)):
            pass
        hub.send_signal(signal.SIGTERM)
        assert hub.wait(20) == 0
        assert hub.stderr.read() == ""
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
