r"""Angles and norms of per-sample and single-logit gradients, streamed: no n × p matrix is ever held.

The gradient of a logit $h_c$ for one sample $i$ needs, in a layer that is linear in its own parameters, only
the layer's input $a_i$ and the derivative $\delta_i$ of $h_c$ by its output: one forward and one backward
pass for all samples at once give both. Norms come from them without writing the gradient out (Goodfellow,
arXiv:1510.01799; Rochette et al., arXiv:1912.06015), and so do inner products with the gradient of a subset.
Labels only rescale: $\nabla\ell_{i,c} = (f_c - y_{i,c}) \nabla h_c(x_i)$ (equations 5 and 13 of the paper).

What a model may be made of: `Linear` on (n, d), `Conv2d` without groups (any stride, padding and dilation),
`BatchNorm1d` and `BatchNorm2d` in evaluation mode, and anything without parameters that keeps samples apart
and does not work in place; layers may be connected in any way, residual ones included, each called once.
What is not so is refused with a `ValueError` that names the layer. A few samples are always compared with
an ordinary backward pass; a `RuntimeError` says if they disagree. All parameters count, frozen or not. The
model, its gradients, hooks and modes stay as they are.

Results are float64. Everything up to single inner products is computed in `dtype`; these are then added in
float64. A cosine is then right to an $\epsilon$ of 1e-6 in float32 and 1e-14 in float64, so close to 0 and
$\pi$ only angles above $\sqrt{2\epsilon}$ are resolved: 1.4e-3 rad (.08°) in float32, 1.4e-7 rad in
float64. The angle with a gradient that is exactly zero, of an empty subset for instance, is NaN.

`derivative_angles` and `sample_gradient_angles` are angles between samples and with a subset,
`subset_gradients` compares subsets. Behind them: `requirements` says what a net must be, `capture` runs the
two passes, `layers` turns what they caught into `records`, and `labels` holds what the loss adds.
"""

from cleanprio_lib.gradients.angles import derivative_angles, sample_gradient_angles
from cleanprio_lib.gradients.labels import residuals
from cleanprio_lib.gradients.subsets import GradientGram, subset_gradients

__all__ = [
    "GradientGram",
    "derivative_angles",
    "residuals",
    "sample_gradient_angles",
    "subset_gradients",
]
