"""Figures in the book's style."""

import matplotlib.pyplot as plt
import pytest

from cleanprio_lib import figures


@pytest.fixture
def book_style():
    with plt.rc_context():
        figures.set_style()
        yield
