r"""What a recorded training run of two classes says: its classes together, formulas, trends and turns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory

# Spearman's rank correlation with the epoch, in size: of what rises or falls, and does so monotonically.
TREND, STRICT_TREND = 0.7, 0.9


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


def from_stop(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each seed from its early stopping point by the oracle on."""
    return frame[frame.epoch >= frame.seed.map(early_stopping.oracle(frame).epoch)]


def after_stop(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each seed after its early stopping point by the oracle."""
    return frame[frame.epoch > frame.seed.map(early_stopping.oracle(frame).epoch)]


def until_half_learnt(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each seed until half of its wrong labels have been learnt.

    That is the first recorded epoch after the highest noisy error at which it is below one half; a seed that
    has none keeps all its rows. Later a loss may jump wherever steps are too large for single labels.
    """
    return _until(frame, _half_learnt)


def until_noisy_loss_turns(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of each seed up to where its noisy loss is highest before half of the labels are learnt."""
    return _until(frame, _noisy_loss_turns)


def _until(frame: pd.DataFrame, event: Callable[[pd.DataFrame], float]) -> pd.DataFrame:
    epochs = {seed: event(own) for seed, own in frame.groupby("seed")}
    return frame[frame.epoch <= frame.seed.map(epochs).fillna(np.inf)]


def _half_learnt(own: pd.DataFrame) -> float:
    highest = _at_highest(own, "noisy_error")
    return own.epoch[(own.epoch > highest) & (own.noisy_error < 0.5)].min()


def _noisy_loss_turns(own: pd.DataFrame) -> float:
    half = _half_learnt(own)
    return _at_highest(own if np.isnan(half) else own[own.epoch <= half], "noisy_loss")


def at_highest(frame: pd.DataFrame, column: str) -> pd.Series:
    """For each seed, the first epoch at which a column is highest."""
    return frame.groupby("seed")[["epoch", column]].apply(lambda own: _at_highest(own, column))


def _at_highest(own: pd.DataFrame, column: str) -> float:
    """The first epoch of a column's highest value; the first of all where it has none."""
    ordered = own.sort_values("epoch")
    return ordered.epoch.to_numpy()[ordered[column].fillna(-np.inf).to_numpy().argmax()]


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


def unsteadiness(frame: pd.DataFrame, column: str) -> pd.Series:
    r"""For each seed, how far a positive column's logarithm goes up and down from record to record.

    Each record but the first and the last is held against the mean of its two neighbours, which takes away
    what rises or falls evenly. If $\log q_i$ is a straight line and independent deviations of one variance,
    then $\log q_i - (\log q_{i-1} + \log q_{i+1})/2$ has $3/2$ of that variance.

    Args:
        frame: a row for each (seed, epoch), epochs evenly spaced.
        column: of the frame, positive.

    Returns:
        Standard deviations by seed, in units of $\log q$; NaN for a seed of fewer than three records.
    """
    ordered = frame.sort_values(["seed", "epoch"])
    logs = np.log(ordered[column]).groupby(ordered.seed)
    off = ordered[column].map(np.log) - (logs.shift(1) + logs.shift(-1)) / 2
    return np.sqrt((off**2).groupby(ordered.seed).mean() / 1.5)


def turns(frame: pd.DataFrame) -> pd.DataFrame:
    r"""When each seed's curves turn: recorded epochs, a row for each seed (the index).

    Returns:
        `stop`, of lowest test error; `noisy_error`, of the noisy subset's highest error; `half`, the first
        after that at which it is below one half, NaN if none is; `noisy_loss`, of the noisy subset's highest
        loss until `half`; `ratio`, the first with a geometric mean ratio of at most 1.1, NaN if none has. Of
        a run without noisy samples the first recorded epoch stands for a highest value.
    """
    rows = {seed: _turns_of_seed(own) for seed, own in frame.groupby("seed")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed")


def _turns_of_seed(own: pd.DataFrame) -> dict[str, float]:
    both = np.sqrt(own.ratio_0 * own.ratio_1)
    return {
        "stop": _at_highest(own.assign(right=-own.test_error), "right"),
        "noisy_error": _at_highest(own, "noisy_error"),
        "half": _half_learnt(own),
        "noisy_loss": _noisy_loss_turns(own),
        "ratio": own.epoch[both <= 1.1].min(),
    }
