"""Namespaces come and go without a trace, also when their maker is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.link import Link, chain, namespaces, sweep
from tests.world.namespaces import call
from tests.world.needs import NEEDS_WORLD

pytestmark = NEEDS_WORLD


def names() -> set[str]:
    return {line.split()[0] for line in call("ip", "netns", "list").splitlines()}


def test_nothing_is_left_after_a_link() -> None:
    with namespaces(2) as (a, b):
        with Link(a, b) as link:
            sleeper = a.start("sleep", "1000")
            log = link.log
        made = {a.name, b.name}
        assert made <= names()
    assert not made & names()
    assert sleeper.wait(timeout=5) == -signal.SIGKILL
    assert not log.exists()


def test_an_error_inside_still_cleans_up() -> None:
    with pytest.raises(ZeroDivisionError), namespaces(1) as (a,):
        raise ZeroDivisionError
    assert a.name not in names()


def test_what_a_killed_run_left_is_swept() -> None:
    code = """
from tests.world.link import *
import time
with namespaces(2) as (a, b), Link(a, b):
    print(a.name, flush=True)
    time.sleep(99)
"""
    victim = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert victim.stdout is not None
    name = victim.stdout.readline().strip()
    victim.kill()
    victim.communicate()
    assert name in names()
    swept = sweep()
    assert name in swept
    assert len([one for one in swept if f"-{victim.pid}-" in one]) == 3  # both ends and the middle
    assert not [one for one in names() if f"-{victim.pid}-" in one]


def test_the_living_are_not_swept() -> None:
    with namespaces(1) as (a,):
        assert a.name not in sweep()
        assert a.name in names()
        assert f"-{os.getpid()}-" in a.name


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_chain_counts_its_routers(family: str) -> None:
    with chain(3) as way:
        target, hops = (way.right_ip, way.hops) if family == "-4" else (way.right_ip6, way.hops6)
        out = way.left.run("ping", family, "-n", "-c", "2", "-i", "0.1", target)
        assert re.findall(r"ttl=(\d+)", out) == ["61", "61"]
        seen = [
            way.left.run("ping", family, "-n", "-c", "1", "-t", str(ttl), target, check=False) for ttl in range(1, 4)
        ]
        assert [re.findall(r"From (\S+)", one)[0].rstrip(":") for one in seen] == list(hops[:-1])


def test_two_links_of_one_namespace_have_addresses_of_their_own() -> None:
    with namespaces(3) as (site, hub_one, hub_two), Link(site, hub_one) as one, Link(site, hub_two) as two:
        assert one.a_ip != two.a_ip
        for link in (one, two):
            assert " 0% packet loss" in site.run("ping", "-c", "1", "-W", "2", link.b_ip)
