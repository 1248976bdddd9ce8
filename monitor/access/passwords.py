"""Passwords: what is a good one, how it is kept (argon2id, RFC 9106), whether one is right.

Checking takes 64 MiB and tens of milliseconds on purpose: call it in a thread, and few at a time.
"""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

LEAST = 10
MOST = 200
"""Letters; a longer one is work for the machine and no safer."""
KNOWN = ("1234567890", "password", "matkhau", "qwertyuiop", "diemcau", "haiphong", "hoinghi", "abcdefghij")
HASHER = PasswordHasher()
NOBODY = HASHER.hash("the password of an account that does not exist")
"""Checked for names that nobody has, so that a wrong name takes as long as a wrong password."""


def password_fault(password: str, name: str) -> str | None:
    """Why this is no good password for the account; None when it is. Length counts, and nothing easily guessed."""
    plain = bare(password)
    if not LEAST <= len(password) <= MOST:
        return f"The password has {len(password)} letters; use {LEAST} to {MOST}."
    if name and name in plain:
        return "The password contains the name of the account; choose another."
    if len(set(plain)) < 5:
        return "The password repeats few letters; choose another."
    left = plain
    for word in KNOWN:
        left = left.replace(word, "")
    if len(left) < 4:
        return "The password is one of those tried first; choose another."
    return None


def bare(text: str) -> str:
    """Small letters without marks."""
    parts = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def kept(password: str) -> str:
    """What is stored of a password. The same letters typed on another system are the same password (NFC)."""
    return HASHER.hash(unicodedata.normalize("NFC", password))


def is_right(password: str, stored: str | None) -> bool:
    """Whether it is the password; for None it takes as long and is never right."""
    try:
        right = HASHER.verify(stored or NOBODY, unicodedata.normalize("NFC", password[: MOST + 1]))
    except (Argon2Error, InvalidHashError):
        return False
    return right and stored is not None
