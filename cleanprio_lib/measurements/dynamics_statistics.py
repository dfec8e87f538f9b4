r"""What a recorded training run of two classes says: its classes together, formulas, trends and turns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory


def with_both_classes(frame: pd.DataFrame, *, level: float) -> pd.DataFrame:
    r"""The frame of `dynamics.gradient_metrics` with what its two classes say together.

    Args:
        frame: a row for each (seed, epoch).
        level: $\delta$.

    Returns:
        The frame and: `ratio`, the geometric mean of $R^{(0)}$ and $R^{(1)}$; `alpha`, of the two $\alpha$,
        NaN if one is negative; for each class `step_c`, by how much of $\hat g^{(c)}$ the class moves the
        weights (the coefficient of $g_{clean} + g_{noise}$ on $\hat g$), `step_exact_c`,
        $(1-\delta)(1-\alpha_t)$, and `step_paper_c`, $(1-\alpha_t)/(1+\alpha_t)$, with the class's own
        $\alpha_t$; `clean_part_paper_c`, $1/(1+\alpha_t)$; and `angle_c`, that between $g_{clean}$ and
        $g_{noise}$ in degrees.

    Source: equations 10 to 12 and proposition 4.2 of the paper, and their exact forms.
    """
    opposite = (frame.alpha_0 >= 0) & (frame.alpha_1 >= 0)
    frame = frame.assign(
        ratio=np.sqrt(frame.ratio_0 * frame.ratio_1),
        alpha=np.sqrt((frame.alpha_0 * frame.alpha_1).where(opposite)),
    )
    for c in (0, 1):
        alpha = frame[f"alpha_{c}"]
        frame = frame.assign(
            **{
                f"step_{c}": frame[f"clean_part_{c}"] + frame[f"noisy_part_{c}"],
                f"step_exact_{c}": theory.step_factor(level, alpha),
                f"step_paper_{c}": _paper_step_factor(alpha),
                f"clean_part_paper_{c}": 1 / (1 + alpha),
                f"angle_{c}": np.degrees(np.arccos(frame[f"cosine_{c}"].clip(-1, 1))),
            }
        )
    return frame


def _paper_step_factor(alpha: pd.Series) -> pd.Series:
    r"""The paper's factor where it has one, NaN where $\alpha \le -1$."""
    within = alpha[alpha > -1]
    return pd.Series(theory.paper_step_factor(within.to_numpy()), index=within.index).reindex(alpha.index)


def until_stop(frame: pd.DataFrame, *, factor: float = 1.0) -> pd.DataFrame:
    """Rows of each seed up to its early stopping point by the oracle, or to `factor` times that epoch."""
    stop = frame.seed.map(early_stopping.oracle(frame).epoch)
    return frame[frame.epoch <= factor * stop]


def until_noisy_loss_turns(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each seed up to the recorded epoch at which its loss on the noisy subset is highest."""
    loss = frame.noisy_loss.fillna(-np.inf)  # of a run without noisy samples only the first row is left
    turn = frame.loc[loss.groupby(frame.seed).idxmax()].set_index("seed").epoch
    return frame[frame.epoch <= frame.seed.map(turn)]


def last(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column at each seed's last recorded epoch."""
    return frame.loc[frame.groupby("seed").epoch.idxmax()].set_index("seed")[column]


def rank_correlation(frame: pd.DataFrame, column: str) -> pd.Series:
    """Spearman's rank correlation of a column with the epoch, for each seed."""
    return frame.groupby("seed")[["epoch", column]].apply(
        lambda own: own.epoch.corr(own[column], method="spearman")
    )


def largest_step(frame: pd.DataFrame, column: str) -> pd.Series:
    """For each seed, the largest rise of a column from one recorded epoch to the next."""
    return frame.sort_values(["seed", "epoch"]).groupby("seed")[column].apply(lambda own: own.diff().max())


def turns(frame: pd.DataFrame) -> pd.DataFrame:
    r"""When each seed's curves turn: recorded epochs, a row for each seed (the index).

    Returns:
        `stop`, of lowest test error; `noisy_loss`, of the highest loss on the noisy subset; `noisy_error`, of
        its highest error; `half`, the first after that at which the noisy error is below one half, NaN if
        none is; `ratio`, the first with a geometric mean ratio of at most 1.1, NaN if none has.
    """
    ordered = frame.assign(both=np.sqrt(frame.ratio_0 * frame.ratio_1)).sort_values("epoch")
    rows = {seed: _turns_of_seed(own) for seed, own in ordered.groupby("seed")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed")


def _turns_of_seed(own: pd.DataFrame) -> dict[str, float]:
    epochs = own.epoch.to_numpy()
    highest = epochs[own.noisy_error.to_numpy().argmax()]
    return {
        "stop": epochs[own.test_error.to_numpy().argmin()],
        "noisy_loss": epochs[own.noisy_loss.to_numpy().argmax()],
        "noisy_error": highest,
        "half": own.epoch[(own.epoch > highest) & (own.noisy_error < 0.5)].min(),
        "ratio": own.epoch[own.both <= 1.1].min(),
    }
