"""Labels stay apart, and so do roles."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.optimize import minimize

from cleanprio_lib.figures import style


def test_labels_never_cover_each_other():
    ends = [(style.End("two\nlines", "k", 0.0), height) for height in (0.5, 0.51, 0.0, 0.99, 1.0)]
    heights = [height for _, height in style._spread(ends)]
    assert np.diff(heights).min() >= 2 * style.LINE_HEIGHT - 1e-12
    assert heights[0] == pytest.approx(style.LINE_HEIGHT)  # clear of the axis below
    np.testing.assert_allclose(np.mean(heights[1:3]), 0.505)  # each moved as far as the other
    assert heights[-1] == pytest.approx(1.02 - style.LINE_HEIGHT)
    assert style._spread([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_labels_move_as_little_as_they_can(seed):
    generator = np.random.default_rng(seed)
    heights = np.sort(generator.random(6))
    firm = generator.choice([1.0, 20.0], 6)
    texts = generator.choice(["one", "two\nlines"], 6)
    ends = [
        (style.End(text, "k", 0.0, weight), height)
        for text, weight, height in zip(texts, firm, heights, strict=True)
    ]
    room = 0.065 * np.where(texts == "one", 1, 2)
    rules = [
        {"type": "ineq", "fun": lambda y: np.diff(y) - (room[1:] + room[:-1]) / 2},
        {"type": "ineq", "fun": lambda y: y[0] - room[0] / 2},
        {"type": "ineq", "fun": lambda y: 1.02 - room[-1] / 2 - y[-1]},
    ]
    best = minimize(
        lambda y: firm @ (y - heights) ** 2,
        heights,
        constraints=rules,
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert best.success
    np.testing.assert_allclose([height for _, height in style._spread(ends)], best.x, atol=1e-4)


def test_labels_without_room_stay_below_the_top():
    ends = [(style.End("line", "k", 0.0), 0.5)] * 30
    heights = [height for _, height in style._spread(ends)]
    assert heights[-1] == pytest.approx(1.02 - style.LINE_HEIGHT / 2)
    np.testing.assert_allclose(np.diff(heights), style.LINE_HEIGHT)


def test_the_name_of_a_level_stands_at_its_line():
    _, ax = plt.subplots()
    ax.set_ylim(0, 1)
    style.label_ends(ax, [style.End("curve", "k", 0.49), style.level_line(ax, "level", 0.5)])
    places = {text.get_text(): text.xy[1] for text in ax.texts}
    assert places["level"] == pytest.approx(0.5, abs=0.005)
    assert places["level"] - places["curve"] >= style.LINE_HEIGHT - 1e-12
    (line,) = ax.lines
    assert list(line.get_ydata()) == [0.5, 0.5]
    plt.close()


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


def test_a_line_without_a_name_takes_no_room():
    places = []
    for unnamed in ([], [style.End(name, "k", 0.5) for name in ("", " ")]):
        _, ax = plt.subplots()
        style.label_ends(ax, [style.End("curve", "k", 0.49), style.level_line(ax, "level", 0.5), *unnamed])
        places.append([(text.get_text(), text.get_position()) for text in ax.texts])
        plt.close()
    assert places[0] == places[1]
