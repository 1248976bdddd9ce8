"""Authorities and certificates made on the spot."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of its own in a folder; `file` is its certificate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl(
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={folder.name} "
            f"-keyout {self._key} -out {self.file}"
        )

    def server(self, with_root: bool) -> tuple[Path, Path]:
        """A server's certificate for 127.0.0.1, followed by the authority's own where asked, and its key."""
        request, key, leaf = (self._folder / name for name in ("server.csr", "server.key", "server.pem"))
        names = self._folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1")
        _openssl(
            f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout {key} -out {request}"
        )
        _openssl(
            f"x509 -req -days 2 -in {request} -CA {self.file} -CAkey {self._key} -CAcreateserial "
            f"-extfile {names} -out {leaf}"
        )
        if with_root:
            leaf.write_text(leaf.read_text() + self.file.read_text())
        return leaf, key


def _openssl(command: str) -> None:
    subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
