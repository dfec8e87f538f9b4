"""What all benchmarks' tests share."""

import pytest

from cleanprio_lib.checkpoints import threads


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other are slow where other tests run beside these."""
    with threads(1):
        yield
