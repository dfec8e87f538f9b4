"""The oracle's epoch on curves drawn by hand."""

import pandas as pd

from cleanprio_lib import early_stopping


def test_oracle_takes_each_seeds_first_lowest_test_error():
    frame = pd.DataFrame(
        {
            "seed": [1, 1, 1, 0, 0, 0, 0],
            "epoch": [4, 0, 2, 0, 1, 2, 3],
            "test_error": [0.3, 0.9, 0.2, 0.5, 0.1, 0.1, 0.4],
            "noisy_error": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        }
    )
    stops = early_stopping.oracle(frame)
    assert stops.epoch.to_dict() == {0: 1, 1: 2}
    assert stops.noisy_error.to_dict() == {0: 0.5, 1: 0.3}
    assert stops.final_test_error.to_dict() == {0: 0.4, 1: 0.3}
