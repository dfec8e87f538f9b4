"""A wide net trained by gradient descent against the kernel machine that it becomes at infinite width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from cleanprio_lib import data, models, theory
from cleanprio_lib.measurements.kernel_errors import ERRORS, drawn_errors
from cleanprio_lib.measurements.kernel_tasks import two_digits
from cleanprio_lib.metrics import Task
from cleanprio_lib.sgd import SGD


@dataclass(frozen=True)
class WideNetSettings:
    r"""Nets of several widths, all trained on the same labels with the same steps.

    Attributes:
        widths: $m$.
        depth: $L$.
        level: $\delta$.
        train_samples: first images of the two digits.
        test_samples: first test images of them; None for all.
        step: $\eta\lambda_1$, with the largest eigenvalue of the infinitely wide net's kernel.
        steps: of gradient descent on the summed squared loss.
        records: measurements, evenly spaced in the logarithm of the steps.
        draws: of the noise, for the kernel machine alone.
        classes: two digits.
        dataset: for `data.load`.
    """

    widths: tuple[int, ...] = (512, 2048)
    depth: int = 3
    level: float = 0.3
    train_samples: int = 400
    test_samples: int | None = None
    step: float = 0.8
    steps: int = 800
    records: int = 30
    draws: int = 200
    classes: tuple[int, int] = (7, 9)
    dataset: str = "mnist"

    @property
    def recorded(self) -> list[int]:
        """Steps after which all is measured."""
        return sorted({round(step) for step in np.geomspace(1, self.steps, self.records)})


def wide_nets(settings: WideNetSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Train the nets and solve the same descent for the infinitely wide net's kernel.

    The output is the net's minus what it was at the start, so that it begins at zero; labels are $\pm1$.

    Returns:
        A row for each `width` and recorded step (`epoch`): its `time`, the step size times the steps; the
        net's `clean_error`, `noisy_error` and `test_error`; `predicted_*`, those of the kernel machine for
        the same labels; `own_*`, those of the machine with the net's own kernel at its start; `mean_*`, in
        the mean over all placements of the noise; `low_*` and `high_*`, between which 95% of other draws
        are; and `kernel_distance`, by how much the net's own kernel on the training inputs is off the
        infinitely wide one's, as a fraction of it (Frobenius norms).

    Source: Jacot et al. (2018), Lee et al. (2019); the initialisation of the paper's section 3.1.
    """
    task = two_digits(
        split,
        settings.classes,
        settings.level,
        seed=seed,
        train_samples=settings.train_samples,
        test_samples=settings.test_samples,
    )
    x, x_test = task.x.double().numpy(), task.x_test.double().numpy()
    kernel = theory.tangent_kernel(x, x, depth=settings.depth)
    step = settings.step / float(np.linalg.eigvalsh(kernel)[-1])
    flow = theory.kernel_flow(kernel, step=step)
    projected = flow.project(theory.tangent_kernel(x_test, x, depth=settings.depth))
    expected = _expected(flow, projected, task, settings, seed)
    frames = []
    for width in settings.widths:
        net = models.fully_connected(784, width, depth=settings.depth, parametrization="ntk", seed=seed)
        own = _by_own_kernel(net, task, settings, step)
        frame = _trained(net, task, kernel, settings, step).join(own).merge(expected, on="epoch")
        frame.insert(0, "width", width)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def net_kernel(net: nn.Module, x: Tensor) -> NDArray[np.float64]:
    r"""(n, n) products $\langle\nabla h(x_i), \nabla h(x_j)\rangle$ of a net of linear layers, no biases."""
    layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
    seen: list[tuple[Tensor, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].detach(), output)))
        for layer in layers
    ]
    output = net(x)
    for hook in hooks:
        hook.remove()
    slopes = torch.autograd.grad(output.sum(), [after for _, after in seen])
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64)
    for (before, _), slope in zip(seen, slopes, strict=True):
        kernel += (before @ before.T).double() * (slope @ slope.T).double()
    return kernel.numpy()


def _by_own_kernel(net: nn.Module, task: Task, settings: WideNetSettings, step: float) -> pd.DataFrame:
    """Errors at the recorded steps of the kernel machine with the kernel that the net has now."""
    kernel = net_kernel(net, torch.cat([task.x, task.x_test]))[:, : len(task.x)]
    flow = theory.kernel_flow(kernel[: len(task.x)], step=step)
    errors = _solved_errors(flow, flow.project(kernel[len(task.x) :]), task, settings)
    return errors.add_prefix("own_")


def _solved_errors(
    flow: theory.KernelFlow, projected: NDArray[np.float64], task: Task, settings: WideNetSettings
) -> pd.DataFrame:
    """A kernel machine's errors at the recorded steps, for the task's labels."""
    assert flow.step is not None
    labels = 2.0 * task.given.numpy() - 1
    times = flow.step * np.array(settings.recorded)
    return pd.DataFrame(
        [
            _errors(flow.outputs(labels, time), flow.predictions(projected, labels, time), task)
            for time in times
        ]
    )


def _trained(
    net: nn.Module, task: Task, kernel: NDArray[np.float64], settings: WideNetSettings, step: float
) -> pd.DataFrame:
    """Errors at the recorded steps of gradient descent."""
    optimizer = SGD(net.parameters(), lr=step)
    with torch.no_grad():
        start, start_test = net(task.x)[:, 0], net(task.x_test)[:, 0]
    targets = 2.0 * task.given - 1
    recorded, rows = set(settings.recorded), []
    description = f"width {settings.widths}"
    for number in tqdm(range(1, settings.steps + 1), desc=description, unit="step"):
        optimizer.zero_grad()
        loss = ((net(task.x)[:, 0] - start - targets) ** 2).sum() / 2
        if not torch.isfinite(loss):
            raise FloatingPointError(f"training diverged at step {number}; step was {settings.step}")
        loss.backward()
        optimizer.step()
        if number in recorded:
            with torch.no_grad():
                outputs = net(task.x)[:, 0] - start
                test_outputs = net(task.x_test)[:, 0] - start_test
            distance = np.linalg.norm(net_kernel(net, task.x) - kernel) / np.linalg.norm(kernel)
            errors = _errors(outputs.numpy(), test_outputs.numpy(), task)
            rows.append({"epoch": number, "time": number * step, **errors, "kernel_distance": distance})
    return pd.DataFrame(rows)


def _expected(
    flow: theory.KernelFlow,
    projected: NDArray[np.float64],
    task: Task,
    settings: WideNetSettings,
    seed: int,
) -> pd.DataFrame:
    """What the kernel machine does at the recorded steps, with the same labels and with others."""
    assert flow.step is not None
    steps = np.array(settings.recorded)
    times = steps * flow.step
    predicted = _solved_errors(flow, projected, task, settings).add_prefix("predicted_")
    mean = theory.flow_errors(flow, task.true.numpy(), projected, task.y_test.numpy(), settings.level, times)
    drawn = drawn_errors(flow, projected, task, settings.level, times, draws=settings.draws, seed=seed)
    frame = predicted.join(pd.DataFrame({f"mean_{name}": getattr(mean, name) for name in ERRORS}))
    frame = frame.join(drawn.drop(columns=[f"drawn_{name}" for name in ERRORS]))
    frame.insert(0, "epoch", steps)
    return frame


def _errors(
    outputs: NDArray[np.floating], test_outputs: NDArray[np.floating], task: Task
) -> dict[str, float]:
    noisy, given = task.is_noisy.numpy(), task.given.numpy()
    wrong = (outputs > 0) != given
    values = wrong[~noisy].mean(), wrong[noisy].mean(), ((test_outputs > 0) != task.y_test.numpy()).mean()
    return dict(zip(ERRORS, map(float, values), strict=True))
