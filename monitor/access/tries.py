"""Logins that failed: each further one waits longer, by account and address, by address, and by account alone.

The wait has a limit, and the account's own is short and not asked of addresses from which it has logged in before: who
guesses at a name cannot shut its owner out. What failed is kept on disk, so a restart forgives nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

MOST_KEYS = 10_000
FORGIVEN_MS = 86_400_000
"""Failures are forgotten after a day without another."""


@dataclass(frozen=True, slots=True)
class Rule:
    """So many failures are free, then the wait doubles from `first_ms` up to `most_ms`."""

    free: int
    first_ms: int
    most_ms: int

    def wait_ms(self, fails: int) -> int:
        over = fails - self.free
        return 0 if over < 0 else min(self.most_ms, self.first_ms << min(over, 30))


PAIR = Rule(5, 2_000, 900_000)
ADDRESS = Rule(20, 2_000, 900_000)
ACCOUNT = Rule(50, 1_000, 60_000)

Keys = dict[str, Rule]


class Tries:
    """What failed lately, in memory and in the table `tries`."""

    def __init__(self) -> None:
        self._fails: dict[str, tuple[int, int]] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        self._fails = {
            key: (fails, at) for key, fails, at in connection.execute("SELECT * FROM tries ORDER BY last_at")
        }

    def wait_ms(self, keys: Keys, now_ms: int) -> int:
        """How long the next try has to wait; 0: it may be made now."""
        return max((self._wait(key, rule, now_ms) for key, rule in keys.items()), default=0)

    def _wait(self, key: str, rule: Rule, now_ms: int) -> int:
        fails, at = self._fails.get(key, (0, 0))
        return max(0, at + rule.wait_ms(fails) - now_ms) if now_ms - at < FORGIVEN_MS else 0

    def count(self, keys: Keys, now_ms: int) -> dict[str, int]:
        """One more try, counted before it is known to fail, so that many at once are many; returns the counts."""
        for key in keys:
            fails, at = self._fails.pop(key, (0, 0))
            self._fails[key] = ((fails if now_ms - at < FORGIVEN_MS else 0) + 1, now_ms)
        while len(self._fails) > MOST_KEYS:
            del self._fails[next(iter(self._fails))]
        return {key: self._fails[key][0] for key in keys}

    def forgive(self, keys: Keys) -> None:
        """The try was right after all."""
        for key in keys:
            self._fails.pop(key, None)

    def keep(self, connection: sqlite3.Connection, keys: Keys, now_ms: int) -> None:
        """Write down what stands of these keys."""
        for key in keys:
            found = self._fails.get(key)
            if found is None:
                connection.execute("DELETE FROM tries WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO tries VALUES (?, ?, ?)", (key, *found))
        connection.execute("DELETE FROM tries WHERE last_at < ?", (now_ms - FORGIVEN_MS,))
        connection.execute(
            "DELETE FROM tries WHERE key IN (SELECT key FROM tries ORDER BY last_at DESC LIMIT -1 OFFSET ?)",
            (MOST_KEYS,),
        )


def keys_of(name: str | None, address: str, familiar: bool) -> Keys:
    """What a try is counted by. Names are hashed: some people type their password there."""
    place = place_of(address)
    if name is None:
        return {_key("address", place): ADDRESS}
    keys = {_key("pair", name, place): PAIR, _key("address", place): ADDRESS}
    return keys if familiar else {**keys, _key("account", name): ACCOUNT}


def _key(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def place_of(address: str) -> str:
    """An address; of IPv6 the network of 64 bits, which one household has alone (RFC 6177)."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if isinstance(found, IPv6Address):
        return str(IPv6Address(int(found) >> 64 << 64))
    return str(found)
