"""Chapter 10: kernel machines."""

from __future__ import annotations

from cleanprio_lib.experiments.settings import experiment
from cleanprio_lib.measurements import kernel_descent, kernel_errors, kernel_wide_net

EXPERIMENTS = (
    *(
        experiment(
            f"fig-09-{kernel}",
            f"Figure 9: a {kernel.capitalize()} kernel machine on sevens and nines with 40% wrong labels",
            chosen=(
                "Bandwidth, loss, solver and iterations are not said. The bandwidth is the median distance "
                "between images, the losses are squared and logistic, the method is gradient descent in "
                "mini-batches, and all images are used."
            ),
            paper=kernel_descent.DescentSettings(kernel),
            measure=kernel_descent.kernel_descent,
            quick=kernel_descent.DescentSettings(
                kernel, epochs=800, batch_size=32, step=0.1, train_samples=1_000
            ),
        )
        for kernel in ("laplacian", "gaussian")
    ),
    experiment(
        "kernel-curve",
        "Beyond the paper: exact errors of kernel machines over time, at several noise levels",
        chosen=(
            "Not in the paper: the exact course of gradient flow, in the mean over where the wrong labels"
            " are, for three kernels and five levels."
        ),
        paper=kernel_errors.FlowSettings(),
        measure=kernel_errors.kernel_errors,
        quick=kernel_errors.FlowSettings(
            levels=(0.2, 0.4), times=25, draws=200, train_samples=400, test_samples=500, rows=None
        ),
    ),
    experiment(
        "ntk-curve",
        "Beyond the paper: wide nets against the infinitely wide net's kernel machine",
        chosen=(
            "Not in the paper: wide nets, output centred, trained by gradient descent on all of a few "
            "hundred images at once, against the kernel of the infinitely wide net."
        ),
        paper=kernel_wide_net.WideNetSettings(),
        measure=kernel_wide_net.wide_nets,
        trains=True,
        quick=kernel_wide_net.WideNetSettings(
            widths=(128, 1024), train_samples=200, test_samples=500, steps=400, records=20, draws=100
        ),
    ),
)
