r"""Equation 5 gradient by gradient, and equations 8 and 9 net by net, before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cleanprio_lib import data, gradients, models, noise
from cleanprio_lib.measurements.derivative_angles import DECIMALS
from cleanprio_lib.measurements.sample_gradients import STARTS, initial_net, subset_masks

CLEAN, NOISY = [0, 3], [1, 4]  # places of the classes' subsets among `subset_masks`
LOSSES = {"logistic": 1, "softmax": 10}
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class FormulaSettings:
    r"""Nets whose gradients are written out and compared with equation 5.

    Attributes:
        samples: random inputs of length about 1, with random labels.
        num_inputs: $d$.
        level: $\delta$, for the angles of the logistic loss.
        depth, width: $L$ and $m$.
        dataset: None.
    """

    samples: int = 40
    num_inputs: int = 20
    level: float = 0.3
    depth: int = 2
    width: int = 64
    dataset: None = None


@dataclass(frozen=True)
class RatioSettings:
    r"""Nets whose clean and noisy subset gradients are compared before the first step.

    Attributes:
        classes: two digits, all their training images, with pixels in [0, 1].
        levels: $\delta$.
        starts: how the net begins, of `STARTS`.
        depth, width: $L$ and $m$.
        samples: the first so many images; None for all.
        dataset: for `data.load`.
    """

    classes: tuple[int, int] = (7, 9)
    levels: tuple[float, ...] = (0.3, 0.4)
    starts: tuple[str, ...] = STARTS
    depth: int = 2
    width: int = 512
    samples: int | None = None
    dataset: str = "mnist"


def formula(settings: FormulaSettings, *, seed: int, split: None = None) -> pd.DataFrame:
    r"""The gradient of a loss against $(f - y)\nabla h$, both by automatic differentiation, sample by sample.

    The loss is written out as the logarithm of an output: PyTorch's own losses have $f - y$ built in.

    Returns:
        A row for each `loss` and `precision`: `error`, the largest over samples of the difference divided by
        the gradient's length; and for the logistic loss, in radians, `clean_gap`, the largest
        $|\theta_g - \theta_h|$ of two clean samples of a class, and `mirror_gap`, the largest
        $|\theta_g + \theta_h - \pi|$ of a clean and a noisy one.

    Source: equation 5 of the paper, and section 3.2 on directions.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(settings.samples, settings.num_inputs, dtype=torch.float64, generator=generator)
    x /= settings.num_inputs**0.5
    rows = []
    for loss, count in LOSSES.items():
        true = torch.arange(settings.samples) % max(count, 2)
        labels = noise.uniform(true.numpy(), settings.level, num_classes=max(count, 2), seed=seed)
        for precision, dtype in PRECISIONS.items():
            net = models.fully_connected(
                settings.num_inputs, settings.width, depth=settings.depth, num_outputs=count,
                parametrization="ntk", seed=seed,
            ).to(dtype)  # fmt: skip
            of_loss, of_logits, residuals = _written_out(net, x.to(dtype), torch.from_numpy(labels.given))
            predicted = (residuals[:, :, None] * of_logits).sum(dim=1)
            error = ((of_loss - predicted).norm(dim=1) / of_loss.norm(dim=1)).max()
            gaps = _gaps(of_loss, of_logits[:, 0], labels) if count == 1 else {}
            rows.append({"loss": loss, "precision": precision, "error": float(error), **gaps})
    return pd.DataFrame(rows)


def initial_ratios(settings: RatioSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""How long and how opposite the clean and the noisy gradient of each class are at initialisation.

    Returns:
        A row for each `start`, `level` and `class`: `ratio`, $\lVert g_{clean}\rVert/\lVert g_{noise}\rVert$;
        `cosine` of the angle between them; `alpha`, $-\langle g_{noise}, g_{clean}\rangle/\lVert
        g_{clean}\rVert^2$; and over the class's samples the mean `logit`, its standard deviation `logit_sd`
        and the mean `output` $f$.

    Raises:
        ValueError: `settings.samples` is less than 1, or there are fewer images.

    Source: equations 8 and 9 of the paper.
    """
    pair = data.binary(split, settings.classes)
    if settings.samples is not None and not 0 < settings.samples <= len(pair.y_train):
        raise ValueError(
            f"samples must lie in [1, {len(pair.y_train)}] for this data, got {settings.samples}"
        )
    x = torch.from_numpy(pair.x_train[: settings.samples].reshape(-1, pair.x_train[0].size) / 255.0)
    y = pair.y_train[: settings.samples]
    placed = [noise.uniform(y, level, num_classes=2, seed=seed) for level in settings.levels]
    masks = torch.cat([subset_masks(labels)[CLEAN + NOISY] for labels in placed])
    given = torch.cat([torch.from_numpy(labels.given).expand(4, -1) for labels in placed])
    rows = []
    for start in settings.starts:
        net = initial_net(x.shape[1], start=start, depth=settings.depth, width=settings.width, seed=seed)
        gram = gradients.subset_gradients(net, x, given, masks, dtype=torch.float64).gram
        outputs = _outputs(net, x, y)
        for place, level in enumerate(settings.levels):
            own = gram[4 * place : 4 * place + 4, 4 * place : 4 * place + 4]
            for c in (0, 1):
                numbers = {**_compared(own[c::2, c::2]), **outputs[c]}
                rounded = {name: round(float(value), DECIMALS) for name, value in numbers.items()}
                rows.append({"start": start, "level": level, "class": c, **rounded})
    return pd.DataFrame(rows)


def _written_out(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, p) gradients of the loss, (n, C, p) of the logits, and (n, C) residuals f - y."""
    parameters = list(net.parameters())
    of_loss, of_logits, residuals = [], [], []
    for image, label in zip(x, y, strict=True):
        logits = net(image[None])[0]
        if len(logits) == 1:
            target, f = label[None].to(logits.dtype), logits.sigmoid()
            loss = -(target * f.log() + (1 - target) * (1 - f).log()).sum()
        else:
            target, f = F.one_hot(label, len(logits)).to(logits.dtype), logits.softmax(dim=0)
            loss = -f[label].log()
        functions = [loss, *logits]
        written = [
            torch.cat([part.flatten() for part in torch.autograd.grad(value, parameters, retain_graph=True)])
            for value in functions
        ]
        of_loss.append(written[0])
        of_logits.append(torch.stack(written[1:]))
        residuals.append((f - target).detach())
    return torch.stack(of_loss), torch.stack(of_logits), torch.stack(residuals)


def _gaps(of_loss: Tensor, of_logit: Tensor, labels: noise.NoisyLabels) -> dict[str, float]:
    theta_g, theta_h = (_angles_between(vectors.double()) for vectors in (of_loss, of_logit))
    masks = subset_masks(labels)
    clean, mirror = [], []
    for c in (0, 1):
        own, noisy = masks[CLEAN[c]], masks[NOISY[c]]
        clean.append((theta_g - theta_h)[own][:, own].abs().max())
        mirror.append((theta_g + theta_h - torch.pi)[own][:, noisy].abs().max())
    gaps = {"clean_gap": max(clean), "mirror_gap": max(mirror)}
    return {name: round(float(gap), DECIMALS) for name, gap in gaps.items()}


def _angles_between(vectors: Tensor) -> Tensor:
    """(n, n) angles in radians."""
    unit = F.normalize(vectors, dim=1)
    return torch.arccos((unit @ unit.t()).clamp(-1, 1))


def _outputs(net: nn.Module, x: Tensor, y: Any) -> list[dict[str, Tensor]]:
    """Of each class: mean and standard deviation of the logit, and mean output."""
    with torch.no_grad():
        logits = net(x)[:, 0]
    of_classes = [logits[torch.from_numpy(y == c)] for c in (0, 1)]
    return [{"logit": h.mean(), "logit_sd": h.std(), "output": h.sigmoid().mean()} for h in of_classes]


def _compared(gram: Tensor) -> dict[str, Tensor]:
    """From the (2, 2) inner products of a class's clean and noisy gradient."""
    (clean, product), (_, noisy) = gram
    return {
        "ratio": (clean / noisy).sqrt(),
        "cosine": product / (clean * noisy).sqrt(),
        "alpha": -product / clean,
    }
