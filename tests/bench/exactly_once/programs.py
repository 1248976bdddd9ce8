"""Programs under test: started, killed by their PID without warning, started again at once."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Program:
    """One program and its log. `ended` counts the times it ended without having been told to."""

    name: str
    command: Sequence[str]
    log: Path
    kills: int = 0
    ended: list[str] = field(default_factory=list)
    started_at: float = 0.0
    exit_code: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def down(self) -> bool:
        """Whether it was killed and not started again."""
        return self._process is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.started_at = time.monotonic()

    def keep(self, when: str) -> None:
        """Start it again if it ended by itself; `when` says what was going on."""
        if self._process is not None and self._process.poll() is not None:
            self.ended.append(f"{self.name} ended with {self._process.returncode} {when}")
            self.start()

    def kill(self) -> None:
        """SIGKILL, wait until it is no more, and leave it so."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self.kills += 1
            self._process = None

    def stop(self, limit_s: float = 30) -> None:
        """SIGTERM, or SIGKILL after the limit; `exit_code` says how it ended."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self.exit_code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.exit_code = self._process.wait()
        self._process = None
