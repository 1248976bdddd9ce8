"""What a test module writes to need network namespaces: `pytestmark = NEEDS_WORLD`."""

import pytest

from tests.world.namespaces import why_not

NEEDS_WORLD = [pytest.mark.world, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]
