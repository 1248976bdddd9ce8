"""Who may what: the roles of people and programs, and the one who asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do. Each may do what those before it may; a technician only at sites of their own."""

    KIOSK = "kiosk"
    """A wall screen: reads what the wall shows, nothing else."""
    VIEWER = "viewer"
    TECHNICIAN = "technician"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, least: Role) -> bool:
        return RANK[self] >= RANK[least]


RANK = {role: rank for rank, role in enumerate(Role)}


class How(StrEnum):
    """By what the asker is known."""

    SESSION = "session"
    TOKEN = "token"
    PROXY = "proxy"
    OPEN = "open"
    """By nothing: reading is open to them."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as the guard found out.

    Attributes:
        sites: those they are bound to; None: every site.
        session: the id of a browser's session.
        proof: the SHA-256 of the secret they are known by, for asking again later whether it still holds.
    """

    name: str
    role: Role
    how: How
    sites: frozenset[str] | None = None
    session: str | None = None
    address: str = ""
    proof: str = ""

    def reaches(self, site: str) -> bool:
        return self.sites is None or site in self.sites

    @property
    def label(self) -> str:
        """As the audit log names them."""
        return f"{'token' if self.how is How.TOKEN else 'user'}:{self.name}" if self.name else "nobody"
