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


def contrast(color):
    """With white, from WCAG's definition, in plain arithmetic."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def test_words_can_be_read_in_every_color():
    for role in style.ROLES.values():
        shade = style.readable(role.color)
        assert contrast(shade) >= 4.5
        if contrast(role.color) >= 4.5:
            assert shade == role.color.lower()
        else:
            assert contrast(shade) < 5  # no darker than it must be


def test_only_words_are_darkened(book_style):
    figure, ax = plt.subplots()
    ax.plot([0, 1], color="#56B4E9")
    ax.text(0.5, 0.5, "class 0", color="#56B4E9")
    content = style.svg(figure, salt="x").decode()
    assert "#56b4e9" in content  # the line
    assert style.readable("#56B4E9") in content
