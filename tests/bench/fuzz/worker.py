"""One fuzzing process: `worker TARGET CORPUS [libFuzzer options]`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["probes", "monitor"]):
    from tests.bench.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv[1]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[name].one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
