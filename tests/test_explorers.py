"""Explorers: the page holds what `draw` gave, in every state; it is small and safe; bad input is refused."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from cleanprio_lib import explorers, theory
from cleanprio_lib.explorers import (
    Arrow,
    Axes,
    Band,
    Bars,
    Label,
    Line,
    Picture,
    Points,
    Slider,
    showing,
    tables,
)
from cleanprio_lib.explorers.axes import ticks
from cleanprio_lib.explorers.drawing import legible
from cleanprio_lib.figures import ROLES
from cleanprio_lib.lettering import in_html, in_svg, plain

THETAS, DEPTHS, SIDES = range(0, 181, 20), [2, 3, 5], ["left", "right"]
GRID = np.linspace(0, 180, 31)
LIMITS = {0: ((0, 180), (-20, 120)), 1: ((-1.5, 1.5), (-1, 1.5))}


def degrees(theta, depth):
    return np.degrees(theory.derivative_angle(np.radians(theta), depth=depth))


def draw(theta, depth, side):
    """Marks of every kind: some stay, some follow one slider, some follow two; one vanishes."""
    here, sign = float(degrees(theta, depth)), 1 if side == "right" else -1
    turned = np.radians(theta)
    return Picture(
        [
            Line([0, 120], [0, 120], color="grey"),
            Line(GRID, degrees(GRID, depth), role="clean"),
            Arrow(0, 0, sign * np.cos(turned), np.sin(turned), role="noisy", panel=1),
            Points([theta, theta], [here, theta / 2], role="other"),
            Band(GRID, degrees(GRID, depth) - 5, degrees(GRID, depth) + 5, role="clean"),
            Bars([-1, 0, 1], [sign * 0.5, theta / 180], role="noisy", panel=1),
            Label(90, 20, f"θ_h < {here:.1f}" if theta else "", role="clean"),
        ],
        words=f"At θ_d = {theta}° & depth {depth}, θ_h < {here:.1f}° on the {side}.",
    )


def sliders():
    return [
        Slider("theta", "input angle θ_d", THETAS, start=60, unit="°"),
        Slider("depth", "depth <L>", DEPTHS, start=3, unit="layers"),
        Slider("side", "side", SIDES, start="right", kind="choice"),
    ]


def panels():
    return [
        Axes(x_label="θ_d", y_label="θ_h", x_limits=LIMITS[0][0], y_limits=LIMITS[0][1]),
        Axes(x_limits=LIMITS[1][0], y_limits=LIMITS[1][1], equal=True),
    ]


@pytest.fixture
def shown(monkeypatch):
    """Show an explorer, a part of it replaced, and get its HTML."""
    outputs = []
    monkeypatch.setattr(showing, "display", outputs.append)

    def show(draw=draw, **parts):
        given = {"sliders": sliders(), "panels": panels(), "name": "explore-x", "caption": "C.", "alt": "A."}
        explorers.show(draw, **{**given, **parts})
        return outputs[-1].data

    return show


def one(draw, **parts):
    """A single slider s over 0, 1, 2 and one panel from 0 to 10."""
    given = {
        "sliders": [Slider("s", "s", [0, 1, 2])],
        "panels": [Axes(x_limits=(0, 10), y_limits=(0, 10))],
    }
    return {"draw": draw, **given, **parts}


def table_of(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def pictures_of(page):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def read(column, positions):
    """A column's value, by the rule in `explorer.js`, written down once more."""
    index = sum(a * b for a, b in zip(column["step"], positions, strict=True))
    return column["data"][column["of"][index] if "of" in column else index]


def states():
    for positions in product(*(range(len(slider.values)) for slider in sliders())):
        yield positions, (THETAS[positions[0]], DEPTHS[positions[1]], SIDES[positions[2]])


def corners(path):
    """The points of a path, by the grammar of SVG and nothing of the library."""
    points, x, y = [], 0.0, 0.0
    for command, rest in re.findall(r"([MlmhLHVz])([^MlmhLHVz]*)", path):
        found = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", rest)]
        if command in "MLlm":
            for dx, dy in zip(found[::2], found[1::2], strict=True):
                x, y = (dx, dy) if command.isupper() else (x + dx, y + dy)
                points.append((x, y))
        elif command in "HV":
            x, y = (found[0], y) if command == "H" else (x, found[0])
            points.append((x, y))
    return np.array(points).reshape(-1, 2)


def to_data(points, svg, limits):
    """Tenths of pixels back to numbers, by the two spines that are drawn: they end where the axes end."""
    spines = next(path for path in svg.iter("path") if path.get("stroke") == "#666666").get("d")
    left, bottom, right, top = map(
        float, re.match(r"M([\d.]+) ([\d.]+)H([\d.]+)M[\d.]+ ([\d.]+)V", spines).groups()
    )
    (x0, x1), (y0, y1) = limits
    unit = np.array([(x1 - x0) / (right - left), (y0 - y1) / (bottom - top)])
    return np.array([x0, y1]) + points / 10 * unit, np.abs(unit)


def test_every_state_of_the_page_is_what_draw_gave(shown):
    page = shown()
    table, svgs = table_of(page), pictures_of(page)
    still = {"0": corners(svgs[0].findall(".//g/path")[0].get("d"))}
    for positions, state in states():
        line, curve, arrow, points, band, bars, label = draw(*state).marks
        drawn = still | {i: read(column, positions) for i, column in table["marks"].items()}
        low, high = np.stack([GRID, band.low], 1), np.stack([GRID, band.high], 1)
        needed = {
            "0": (0, np.stack([line.x, line.y], 1)),
            "1": (0, np.stack([curve.x, curve.y], 1)),
            "3": (0, np.stack([points.x, points.y], 1)),
            "4": (0, np.concatenate([high, low[::-1]])),
        }
        for i, (panel, numbers) in needed.items():
            path = drawn[i] if isinstance(drawn[i], np.ndarray) else corners(drawn[i])
            got, unit = to_data(path, svgs[panel], LIMITS[panel])
            # A tenth of a pixel, rounded: at most half of it is lost.
            assert got.shape == numbers.shape
            assert (np.abs(got - numbers) <= 0.0501 * unit).all()
        assert drawn["6"][2] == written(label.text)
        tip, _ = to_data(tip_of(drawn["2"]), svgs[1], LIMITS[1])
        assert np.allclose(tip, [arrow.x1, arrow.y1], atol=0.005)
        boxes, unit = to_data(corners(drawn["5"]), svgs[1], LIMITS[1])
        assert np.allclose(boxes, corners_of(bars), atol=0.0501 * unit.max())


def written(text):
    """The label of `draw` as SVG."""
    down = 'θ<tspan dy="3" font-size="11">h</tspan><tspan dy="-3">'
    return f"{down}{text.removeprefix('θ_h').replace('<', '&lt;')}</tspan>" if text else ""


def tip_of(shaft):
    """Where an arrow's head of 9 pixels ends."""
    start, end = corners(shaft)
    return end + 90 * (end - start) / np.hypot(*(end - start))


def corners_of(bars):
    """The four corners of every bar that has a height."""
    sides = zip(bars.edges[:-1], bars.edges[1:], bars.heights, strict=True)
    return [p for a, b, h in sides if h for p in [(a, 0), (a, h), (b, h), (b, 0)]]


def test_the_words_of_every_state_are_those_of_draw(shown):
    pieces = table_of(shown())["words"]
    for positions, state in states():
        said = " ".join(piece if isinstance(piece, str) else read(piece, positions) for piece in pieces)
        words = draw(*state).words.replace("&", "&amp;").replace("<", "&lt;")
        assert said == re.sub("θ_(.)", r"θ<sub>\1</sub>", words)


def test_sentences_of_different_lengths_are_kept_too(shown):
    words = ["None.", "One  of two.", "All of them"]
    (column,) = table_of(shown(**one(lambda s: Picture([], words[s]))))["words"]
    assert [read(column, [s]) for s in range(3)] == words


def test_without_a_script_the_page_shows_the_start_state(shown):
    page = shown()
    table, start = table_of(page), (3, 1, 1)
    found = {}
    for svg in pictures_of(page):
        for mark in svg.iter():
            if "data-mark" in mark.attrib:
                found[mark.get("data-mark")] = mark
    assert found.keys() == table["marks"].keys()
    for i, mark in found.items():
        needed = read(table["marks"][i], start)
        if mark.tag == "path":
            assert mark.get("d") == needed
        else:
            inner = "".join([mark.text or ""] + [ElementTree.tostring(part, "unicode") for part in mark])
            assert [float(mark.get("x")), float(mark.get("y")), inner] == needed
    here = degrees(60, 3)
    assert f"At θ<sub>d</sub> = 60° &amp; depth 3, θ<sub>h</sub> &lt; {here:.1f}° on the right.</p>" in page
    assert '<div class="explorer-controls" hidden>' in page
    assert "input angle θ<sub>d</sub>: 60°, depth &lt;L&gt;: 3\N{NO-BREAK SPACE}layers, side: right." in page


def test_a_slider_says_its_start_and_all_its_values(shown):
    page = shown()
    assert 'value="3" autocomplete="off" aria-valuetext="60°"' in page
    assert (
        '<label for="explore-x-theta">input angle θ<sub>d</sub></label><output for="explore-x-theta"' in page
    )
    assert 'value="1" autocomplete="off" checked><span>right' in page
    assert page.count(" checked") == 1
    texts = table_of(page)["texts"]
    assert texts[0] == [f"{theta}°" for theta in THETAS]
    assert texts[1] == [f"{depth}\N{NO-BREAK SPACE}layers" for depth in DEPTHS]


def test_values_are_found_and_written_without_rounding_noise(shown):
    tenths = Slider("s", "s", np.arange(-0.3, 0.31, 0.1), start=0.2)
    page = shown(**one(lambda s: Picture([], f"{s:.1f}"), sliders=[tenths]))
    assert table_of(page)["texts"] == [["−0.3", "−0.2", "−0.1", "0", "0.1", "0.2", "0.3"]]
    assert 'value="5"' in page
    named = Slider("s", "s", [1, 2], labels=["one", "two"], unit="ignored")
    assert table_of(shown(**one(lambda s: Picture([], f"{s}"), sliders=[named])))["texts"] == [["one", "two"]]


def test_equal_data_are_stored_once_and_only_along_the_sliders_that_matter(shown):
    marks = table_of(shown())["marks"]
    assert "0" not in marks, "what never changes is drawn once and needs no table"
    assert marks["1"]["step"] == [0, 1, 0]
    assert len(marks["1"]["data"]) == len(DEPTHS)
    assert marks["2"]["step"] == [2, 0, 1]
    # Mirrored, the angles 0°, 20°, …, 180° are the same ten angles.
    assert len(marks["2"]["data"]) == len(THETAS)
    assert "of" in marks["2"]
    assert "of" not in marks["1"]


def test_storing_once_makes_the_page_much_smaller(shown):
    page = shown()
    naive = sum(
        len(json.dumps(read(column, positions)))
        for positions, _ in states()
        for column in table_of(page)["marks"].values()
    )
    assert len(json.dumps(table_of(page))) < naive / 5
    assert len((showing.FILES / "explorer.js").read_text()) < 4000


@given(some.data())
def test_any_table_gives_back_what_was_put_in(data):
    sizes = data.draw(some.lists(some.integers(1, 4), min_size=1, max_size=4))
    values = data.draw(
        some.lists(some.sampled_from("abc"), min_size=math.prod(sizes), max_size=math.prod(sizes))
    )
    column = tables.column(values, sizes)
    everywhere = list(product(*map(range, sizes)))
    assert [read(column, positions) for positions in everywhere] == values
    assert [tables.at(column, positions) for positions in everywhere] == values
    assert sorted(column["data"]) == sorted(set(values))


@given(some.lists(some.text(alphabet="ab <_θ", min_size=1), min_size=1, max_size=6))
def test_any_sentences_come_back(words):
    pieces = tables.sentence(words, [len(words)])
    for i, text in enumerate(words):
        said = " ".join(piece if isinstance(piece, str) else read(piece, [i]) for piece in pieces)
        assert said == in_html(text)


def test_the_same_input_gives_the_same_bytes(shown):
    assert shown() == shown()


class Attributes(HTMLParser):
    """All ids, and whatever refers to one."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.references, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key == "for":
                self.references.append(value)
            self.references += re.findall(r"url\(#(.*?)\)", value or "")


def test_two_explorers_share_no_id_and_refer_to_their_own(shown):
    first, second = Attributes(shown()), Attributes(shown(name="explore-y"))
    assert len(set(first.ids + second.ids)) == len(first.ids) + len(second.ids)
    for page, name in ((first, "explore-x"), (second, "explore-y")):
        assert all(i.startswith(name) for i in page.ids)
        assert set(page.references) <= set(page.ids)
        assert len(set(page.references)) >= 4
    assert "explore-y" in shown(name="explore-y").split("<script>")[1]


def test_text_is_escaped_and_cannot_end_the_script(shown):
    evil = "</script><b a='\">&</b>"
    page = shown(
        **one(
            lambda s: Picture([Label(s, 1, evil + str(s), color="red")], evil + str(s)),
            sliders=[Slider("s", evil, [0, 1, 2], unit=evil)],
            panels=[Axes(x_label=evil, y_label=evil, title=evil, x_ticks={0.5: evil})],
            alt=evil,
            caption="<em>kept</em>",
        )
    )
    tags = Attributes(page).tags
    assert "b" not in tags
    assert tags.count("script") == 2
    assert "<em>kept</em>" in page
    assert "<" not in re.search(r"application/json\">(.*?)</script>", page, re.DOTALL)[1]
    assert (
        table_of(page)["marks"]["0"]["data"][0][2]
        == "&lt;/script&gt;&lt;b a=&#x27;&quot;&gt;&amp;&lt;/b&gt;0"
    )


def test_each_panel_is_an_image_with_a_description(shown):
    both = pictures_of(shown(alt='a "curve"'))
    assert [svg.get("role") for svg in both] == ["img", "img"]
    assert both[0].get("aria-label") == 'a "curve" (panel 1 of 2: θh against θd)'
    (alone,) = pictures_of(shown(**one(lambda s: Picture([], "w"))))
    assert alone.get("aria-label") == "A."


# What is drawn


def paths(shown, *marks, **axes):
    """The drawn marks of a still picture with axes from 0 to 10."""
    panel = Axes(**{"x_limits": (0, 10), "y_limits": (0, 10), **axes})
    (svg,) = pictures_of(shown(**one(lambda s: Picture(list(marks), "w"), panels=[panel])))
    return svg, [path for path in svg.iter("path") if path.get("transform")]


def test_a_role_has_the_colour_and_the_dashes_of_the_books_figures(shown):
    _, drawn = paths(
        shown,
        Line([0, 1], [0, 1], role="clean"),
        Line([0, 1], [0, 1], role="noisy", width=1),
        Line([0, 1], [0, 1], role="relu_3"),
        Line([0, 1], [0, 1], color="black", linestyle=":"),
    )
    assert [path.get("stroke") for path in drawn] == ["#009e73", "#d55e00", "#882255", "#000000"]
    # In tenths of a pixel, matplotlib's own dashes of "--" and ":" times the width.
    dashes = [path.get("stroke-dasharray") for path in drawn]
    assert dashes == [None, "37 16", "100 20", "20 33"]
    assert [path.get("stroke-width") for path in drawn] == ["20", "10", "20", "20"]


def test_lines_end_at_the_axes_and_points_outside_are_left_out(shown):
    inside, outside = [(5, 5), (10, 10), (0, 0)], [(11, 5), (-1, 5), (5, 11), (5, -1)]
    svg, (line, points) = paths(
        shown,
        Line([-5, 5], [-1e30, 20], role="clean"),
        Points(*np.transpose([*outside, *inside]), role="clean"),
    )
    clip = svg.find(".//clipPath")
    assert [group.get("clip-path") for group in svg.iter("g")] == [f"url(#{clip.get('id')})"]
    got, _ = to_data(corners(points.get("d")), svg, ((0, 10), (0, 10)))
    assert np.allclose(got, inside, atol=0.01)
    assert np.abs(corners(line.get("d"))).max() < 1e5


def test_empty_marks_draw_nothing(shown):
    _, drawn = paths(
        shown,
        Line([], [], role="clean"),
        Line([1], [1], role="clean"),
        Band([], [], [], role="clean"),
        Points([], [], role="clean"),
        Bars([0], [], role="clean"),
        Arrow(1, 1, 1, 1, role="clean"),
    )
    assert [path.get("d") for path in drawn] == [""] * 6


def test_a_short_arrow_keeps_its_tip_and_direction(shown):
    svg, (path,) = paths(shown, Arrow(5, 5, 5.1, 5.05, role="clean"))
    start, end = corners(path.get("d"))
    tip, unit = to_data(tip_of(path.get("d")), svg, ((0, 10), (0, 10)))
    assert np.allclose(tip, [5.1, 5.05], atol=0.2 * unit.max())
    assert (end - start)[0] > 0 > (end - start)[1]


def test_a_label_stays_inside_the_picture(shown):
    for x, anchor in product((0, 10), ("start", "middle", "end")):
        svg, _ = paths(shown, Label(x, 10, "a label of some length", role="clean", anchor=anchor, dy=-99))
        text = next(text for text in svg.iter("text") if text.get("class"))
        room = 0.5 * 13 * len("a label of some length")
        start = float(text.get("x")) - {"start": 0, "middle": room / 2, "end": room}[anchor]
        assert start >= 0
        assert start + room <= 320
        assert float(text.get("y")) >= 10


def test_a_label_moves_by_pixels_and_is_dark_enough(shown):
    svg, _ = paths(shown, *(Label(5, 5, "a", role="noisy", dx=dx, dy=dy) for dx, dy in ((0, 0), (7, -3))))
    first, second = (text for text in svg.iter("text") if text.get("class"))
    moved = [float(second.get(axis)) - float(first.get(axis)) for axis in "xy"]
    assert moved == pytest.approx([7, -3])
    assert first.get("fill") == legible("#D55E00") != "#d55e00"


def test_equal_axes_have_equal_units(shown):
    for limits in ((0, 10), (0, 40), (0, 4)):
        svg, _ = paths(shown, y_limits=limits, equal=True)
        _, unit = to_data(np.zeros(2), svg, ((0, 10), limits))
        assert unit[0] == pytest.approx(unit[1], rel=0.01)
        assert float(svg.get("viewBox").split()[3]) < 400


def test_an_axis_without_ticks_and_label_is_not_drawn(shown):
    svg, _ = paths(shown, x_ticks=(), y_ticks=())
    assert svg.find("path").get("d") == ""
    assert not list(svg.iter("text"))


def test_every_colour_of_a_role_can_be_read_as_text():
    for role in ROLES.values():
        channels = np.array([int(legible(role.color)[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.49, role
    assert legible("#332288") == "#332288", "what can be read stays as it is"


@given(some.floats(-1e4, 1e4), some.floats(1e-3, 1e4))
def test_ticks_are_few_nice_and_inside(low, span):
    found = [tick for tick, _ in ticks((low, low + span), None)]
    assert 2 <= len(found) <= 8
    assert low - 1e-6 * span <= found[0]
    assert found[-1] <= low + span * (1 + 1e-6)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0], rtol=1e-6, atol=1e-9 * abs(low))
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-6)
    assert min(abs(mantissa - nice) for nice in (1, 2, 2.5, 5)) < 1e-3


def test_ticks_have_as_many_decimals_as_they_need():
    assert [text for _, text in ticks((0, 1), None)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in ticks((-50, 50), [-50, 0, 50])] == ["−50", "0", "50"]
    assert ticks((0, 180), {90: "90°"}) == [(90.0, "90°")]
    tenths = np.arange(11) * 0.1 + 1e-16
    assert len(ticks((0, 1), Axes(x_ticks=tenths).x_ticks)) == 11


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("θ_d", "θ<sub>d</sub>"),
        ("‖g_clean‖ / ‖g_{noise, 2}‖", "‖g<sub>clean</sub>‖ / ‖g<sub>noise, 2</sub>‖"),
        ("train_error, a__b, _x, x_", "train_error, a__b, _x, x_"),
        ("x_<", "x_&lt;"),
    ],
)
def test_subscripts(text, html):
    assert in_html(text) == html
    assert plain(text) == re.sub("<.?sub>", "", html)


def test_a_subscript_in_a_picture_goes_down_and_up_again():
    down = '<tspan dy="3" font-size="11">'
    assert in_svg("θ_d") == f"θ{down}d</tspan>"
    assert in_svg("θ_d = 2") == f'θ{down}d</tspan><tspan dy="-3"> = 2</tspan>'


# What is refused


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "not a name"}, "argument of draw, got 'not a name'"),
        ({"label": " "}, "label must not be empty"),
        ({"values": []}, "slider 's': values must not be empty"),
        ({"values": [1, 2, 1.0]}, "values must differ"),
        ({"labels": ["one"]}, "name all 3 values, got 1 labels"),
        ({"start": 7}, "start must be one of the values [0, 1, 2], got 7"),
        ({"kind": "knob"}, "kind must be one of"),
    ],
)
def test_a_wrong_slider_is_refused(wrong, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        replace(Slider("s", "s", [0, 1, 2]), **wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"x_limits": (1, 1)}, "x_limits must be two finite numbers, the lower first, got (1, 1)"),
        ({"y_limits": (0, math.inf)}, "y_limits must be two finite"),
        ({"y_limits": (0, 1, 2)}, "y_limits must be two finite"),
        ({"x_ticks": [0, 2]}, "x_ticks must lie within (0, 1), got 2"),
        ({"y_ticks": {-1: "a"}}, "y_ticks must lie within (0, 1), got -1"),
    ],
)
def test_wrong_axes_are_refused(wrong, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        Axes(**wrong)


@pytest.mark.parametrize(
    ("mark", "why"),
    [
        ("a line", "a mark must be one of Line, Band, Points, Bars, Arrow, Label, got str"),
        (Line([0], [0]), "give either role or color, got role=None and color=None"),
        (Line([0], [0], role="clean", color="red"), "give either role or color"),
        (Line([0], [0], role="dirty"), "role must be one of test_error"),
        (Line([0], [0], color="clean"), "color must be a colour"),
        (Line([0], [0], role="clean", panel=1), "panel must be a whole number below the 1 given, got 1"),
        (Line([0], [0], role="clean", panel=-1), "panel must be"),
        (Line([0], [0], role="clean", linestyle="~"), "linestyle must be"),
        (Line([0], [0], role="clean", linestyle=(0, (1, 0))), "linestyle must be"),
        (Line([0, 1], [0], role="clean"), "equally many of each, got 2 x, 1 y"),
        (Line([[0, 1]], [[0, 1]], role="clean"), "x must have one dimension, got shape (1, 2)"),
        (Line([0, math.nan], [0, 1], role="clean"), "x must be finite, got nan"),
        (Line(["a"], [0], role="clean"), "x must be numbers, got ['a']"),
        (Band([0, 1], [0, 1], [0, math.inf], role="clean"), "high must be finite, got inf"),
        (Band([0, 1], [0, 1], [0], role="clean"), "equally many of each"),
        (Points([0, 1], [0], role="clean"), "equally many of each"),
        (Bars([0, 1], [0, 1], role="clean"), "one more edge than heights, got 2 edges, 2 heights"),
        (Arrow(0, 0, 1, math.nan, role="clean"), "y1 must be finite"),
        (Label(math.nan, 0, "a", role="clean"), "x must be finite"),
        (Label(0, 0, "a", role="clean", dx=math.nan), "dx must be finite"),
        (Label(0, 0, 1, role="clean"), "text must be one line of text, got 1"),
        (Label(0, 0, "a\nb", role="clean"), "text must be one line"),
        (Label(0, 0, "a", role="clean", anchor="left"), "anchor must be one of"),
    ],
)
def test_a_wrong_mark_is_refused_with_its_state_and_place(shown, mark, why):
    good = Points([0], [0], role="clean")
    with pytest.raises(ValueError, match=re.escape(why)) as told:
        shown(**one(lambda s: Picture([good, mark] if s else [good, good], "w")))
    assert str(told.value).startswith("draw(s=1): mark 1 (")


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (None, "draw(s=1) must return a Picture, got NoneType"),
        (Picture([], " "), "draw(s=1): words must be a sentence, got ' '"),
        (Picture([], "w"), "draw(s=1) must draw as many marks as the first state, 1, got 0"),
        (
            Picture([Line([0], [0], role="clean")], "w"),
            "mark 0 must keep the first state's kind 'Points', got 'Line'",
        ),
        (Picture([Points([0], [0], role="noisy")], "w"), "the first state's role 'clean', got 'noisy'"),
        (Picture([Points([0], [0], role="clean", size=9)], "w"), "the first state's size 7, got 9"),
    ],
)
def test_a_wrong_picture_is_refused_with_its_state(shown, picture, why):
    good = Picture([Points([0], [0], role="clean")], "w")
    with pytest.raises(ValueError, match=re.escape(why)):
        shown(**one(lambda s: picture if s == 1 else good))


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"name": "Explore"}, "name must be lower-case"),
        ({"name": ""}, "name must be lower-case"),
        ({"caption": " "}, "caption and alt must not be empty"),
        ({"alt": ""}, "caption and alt must not be empty"),
        ({"sliders": []}, "there must be a slider and a panel, got 0 and 1"),
        ({"panels": []}, "there must be a slider and a panel, got 1 and 0"),
        ({"sliders": [Slider("s", "s", [1])] * 2}, "different names, got s, s"),
        (
            {"sliders": [Slider("s", "s", range(100)), Slider("t", "t", range(31))]},
            "at most 3000 states together, got 100 × 31 = 3100",
        ),
    ],
)
def test_wrong_arguments_are_refused(shown, parts, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        shown(**one(lambda **_: Picture([], "w"), **parts))


def test_too_large_a_page_is_refused_with_what_to_reduce(shown):
    x = np.linspace(0, 10, 2000)

    def wave(s):
        return Picture([Points([0], [0], role="clean"), Line(x, 5 + np.sin(x + s), role="clean")], "w")

    with pytest.raises(
        ValueError, match=r"must be at most 150 kB, got \d+ kB with 40 states; .* mark 1 \(Line\)"
    ):
        shown(**one(wave, sliders=[Slider("s", "s", range(40))]))
    assert len(shown(**one(wave)).encode()) <= 150_000
