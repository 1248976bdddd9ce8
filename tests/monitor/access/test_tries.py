"""Logins that fail: each further one waits, and nobody is shut out for ever by a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.access.roles import Role
from monitor.access.tries import ACCOUNT, ADDRESS, FORGIVEN_MS, MOST_KEYS, PAIR, Tries, keys_of, place_of
from monitor.store.database import reading, transaction
from tests.monitor.house import house
from tests.monitor.people import browser, log_in, person

MINUTE = 60_000


def fail(tries: Tries, name: str, address: str, times: int, now: int = 0, familiar: bool = False) -> None:
    for _ in range(times):
        tries.count(keys_of(name, address, familiar), now)


def test_the_wait_doubles_after_the_free_tries_up_to_its_limit() -> None:
    tries, keys = Tries(), keys_of("an", "192.0.2.7", False)
    waits = []
    for _ in range(20):
        tries.count(keys, 0)
        waits.append(tries.wait_ms(keys, 0))
    assert waits[:7] == [0, 0, 0, 0, 2_000, 4_000, 8_000]
    assert waits[-1] == PAIR.most_ms == 15 * MINUTE
    assert tries.wait_ms(keys, PAIR.most_ms) == 0


def test_one_address_that_tries_many_names_waits_too() -> None:
    tries = Tries()
    for number in range(ADDRESS.free):
        fail(tries, f"name{number}", "192.0.2.7", 1)
    assert tries.wait_ms(keys_of("never tried", "192.0.2.7", False), 0) > 0
    assert tries.wait_ms(keys_of("never tried", "192.0.2.8", False), 0) == 0


def test_many_addresses_that_try_one_name_wait_but_never_its_owner_for_long() -> None:
    tries = Tries()
    for number in range(500):
        fail(tries, "admin", f"198.51.{number % 250}.{number // 250}", 1)
    elsewhere = keys_of("admin", "203.0.113.9", False)
    assert 0 < tries.wait_ms(elsewhere, 0) <= ACCOUNT.most_ms == MINUTE
    at_the_usual_place = keys_of("admin", "203.0.113.9", True)
    assert tries.wait_ms(at_the_usual_place, 0) == 0


def test_a_day_without_failures_forgives() -> None:
    tries, keys = Tries(), keys_of("an", "192.0.2.7", False)
    fail(tries, "an", "192.0.2.7", 12)
    assert tries.wait_ms(keys, 1000) > 0
    tries.count(keys, FORGIVEN_MS)
    assert tries.wait_ms(keys, FORGIVEN_MS) == 0


def test_failures_take_a_bounded_place_in_memory_and_on_disk(tmp_path: Path) -> None:
    tries = Tries()
    with transaction(tmp_path) as connection:
        connection.executemany(
            "INSERT INTO tries VALUES (?, 1, ?)", [(f"old{number}", number) for number in range(MOST_KEYS + 5)]
        )
        for number in range(MOST_KEYS):
            tries.count(keys_of(None, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", False), 1 << 40)
        fail(tries, "an", "192.0.2.7", 1, 1 << 20)
        tries.keep(connection, keys_of("an", "192.0.2.7", False), 1 << 20)
        assert connection.execute("SELECT count(*) FROM tries").fetchone()[0] <= MOST_KEYS
    assert len(tries._fails) <= MOST_KEYS


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_an_ipv6_household_is_one_place(address: str, place: str) -> None:
    assert place_of(address) == place


async def test_guessing_is_slowed_and_a_restart_forgives_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.ADMIN, address="192.0.2.1"), browser(city) as thief:
        clock = city.clock
        codes = [(await log_in(thief, "an", f"guess {number}")).status_code for number in range(7)]
        assert codes == [401] * 5 + [429] * 2
        right_too = await log_in(thief, "an")
        assert right_too.status_code == 429, "a right guess must wait as well, or it would be told apart"
        assert int(right_too.headers["retry-after"]) >= 2
        audit = [deed["action"] for deed in await deeds(city)]
        assert audit.count("login.throttled") == 1
    async with house(tmp_path, clock) as city, browser(city) as thief, browser(city, "192.0.2.1") as owner:
        assert (await log_in(thief, "an")).status_code == 429
        assert (await log_in(owner, "an")).status_code == 200, "the owner elsewhere is not shut out"
        clock.now_ms += 3_000
        assert (await log_in(thief, "an")).status_code == 200


async def test_a_name_nobody_has_is_slowed_like_one_that_somebody_has(tmp_path: Path) -> None:
    async with house(tmp_path) as city, browser(city) as thief:
        answers = [await log_in(thief, "my-password", "guess") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[0].json()["detail"] == "The name or the password is wrong."
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"my-password" not in written, "some type it into the field of the name"


async def test_links_and_wall_screens_cannot_be_guessed_at_for_long(tmp_path: Path) -> None:
    async with house(tmp_path) as city, browser(city) as thief:
        for path, body in (("join", {"code": "x", "password": "y"}), ("kiosk", {"key": "x"})):
            codes = [(await thief.post(f"/api/v1/{path}", json=body)).status_code for _ in range(25)]
            assert codes[-1] == 429, path


async def deeds(city: object) -> list[dict[str, object]]:
    with reading(city.data) as connection:  # type: ignore[attr-defined]
        return [{"action": row[0]} for row in connection.execute("SELECT action FROM audit ORDER BY id")]
