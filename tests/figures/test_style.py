"""Labels stay apart, and so do roles."""

import numpy as np

from cleanprio_lib.figures import style


def test_labels_never_cover_each_other():
    ends = [(style.End("two\nlines", "k", 0.0), height) for height in (0.5, 0.51, 0.0, 0.99, 1.0)]
    heights = [height for _, height in style._spread(ends)]
    assert np.diff(heights).min() >= 2 * style.LINE_HEIGHT - 1e-12
    np.testing.assert_allclose(heights[:2], [0.0, 0.5])
    assert heights[-1] <= 1.02 - style.LINE_HEIGHT


def test_roles_differ_in_more_than_color():
    looks = [(str(role.linestyle), role.label) for role in style.ROLES.values()]
    assert len(set(looks)) == len(looks)
