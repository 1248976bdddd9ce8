"""The search for the largest size, against a path whose MTU is known and whose losses lie."""

from __future__ import annotations

from random import Random

import pytest

from probes.link.path_mtu import PathMtu, search


@pytest.mark.parametrize("mtu", [576, 577, 1000, 1280, 1399, 1400, 1492, 1499, 1500])
def test_every_mtu_is_found_exactly(mtu: int) -> None:
    assert search(lambda size: size <= mtu, base=576) == mtu


def test_a_path_that_carries_more_is_not_asked_for_more() -> None:
    asked = []
    assert search(lambda size: asked.append(size) is None, base=576) == 1500
    assert max(asked) == 1500


def test_a_path_that_does_not_even_carry_the_base_has_no_mtu() -> None:
    assert search(lambda size: False, base=576) is None


@pytest.mark.parametrize("mtu", [1280, 1400, 1500])
@pytest.mark.parametrize("lie", range(1, 16))
def test_a_loss_that_fools_a_size_once_is_found_out(lie: int, mtu: int) -> None:
    """One try of all finds all three packets of its size lost."""
    tries = 0

    def passes(size: int) -> bool:
        nonlocal tries
        tries += 1
        return size <= mtu and tries != lie

    assert search(passes, base=576) == mtu


def test_a_line_that_contradicts_itself_for_ever_has_no_figure() -> None:
    random = Random(1)
    found = [search(lambda size: size == 576 or random.random() < 0.5, base=576) for _ in range(50)]
    assert None in found


def test_a_black_hole_is_what_passes_less_than_is_told() -> None:
    assert PathMtu(whole=1400, answered=1400, told=1500, up_only=False).is_black_hole
    assert not PathMtu(whole=1400, answered=1400, told=1400, up_only=False).is_black_hole


def test_a_narrow_way_back_that_the_hub_knows_of_is_no_black_hole() -> None:
    assert not PathMtu(whole=1333, answered=1500, told=1500, up_only=False).is_black_hole
