"""Labels stay apart, and so do roles."""

import matplotlib.pyplot as plt
import numpy as np

from cleanprio_lib.figures import style


def test_labels_never_cover_each_other():
    ends = [(style.End("two\nlines", "k", 0.0), height) for height in (0.5, 0.51, 0.0, 0.99, 1.0)]
    heights = [height for _, height in style._spread(ends)]
    assert np.diff(heights).min() >= 2 * style.LINE_HEIGHT - 1e-12
    np.testing.assert_allclose(heights[:2], [style.LINE_HEIGHT, 0.5])  # clear of the axis below
    assert heights[-1] <= 1.02 - style.LINE_HEIGHT


def test_subscripts_are_drawn_as_such(book_style):
    figure, ax = plt.subplots()
    ax.set(ylabel="‖g_clean‖ / α_t", xlabel="$m_1$ and x_2", title="test_error")
    content = style.svg(figure, salt="x").decode()
    assert ax.get_ylabel() == r"‖g$_{\mathregular{clean}}$‖ / α$_{\mathregular{t}}$"
    assert ax.get_xlabel() == "$m_1$ and x_2"  # has mathematics of its own
    assert ax.get_title() == "test_error"
    assert "<svg" in content


def test_roles_differ_in_more_than_color():
    looks = [(str(role.linestyle), role.label) for role in style.ROLES.values()]
    assert len(set(looks)) == len(looks)
