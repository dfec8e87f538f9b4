"""Interactive figures that move without a kernel and without a network."""

from cleanprio_lib.explorers.axes import Axes
from cleanprio_lib.explorers.marks import Arrow, Band, Bars, Label, Line, Picture, Points
from cleanprio_lib.explorers.showing import show
from cleanprio_lib.explorers.sliders import Slider

__all__ = ["Arrow", "Axes", "Band", "Bars", "Label", "Line", "Picture", "Points", "Slider", "show"]
