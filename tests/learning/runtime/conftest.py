from collections.abc import Iterator

import pytest

from learning.runtime.in_force import uninstall


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    uninstall()
    yield
    uninstall()
