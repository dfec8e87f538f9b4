"""Noise gathered in parts of classes: where the wrong labels are, and errors counted by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from cleanprio_lib.measurements import subclass_noise
from cleanprio_lib.measurements.subclass_noise import Parts, SubclassSettings
from cleanprio_lib.metrics import Task

FEW = SubclassSettings(
    shares=(0.3, 1.0), train_samples=600, test_samples=200, width=8, epochs=2, batch_size=64, dense=1
)


def test_a_part_is_the_largest_cluster_that_can_hold_all_wrong_labels(stand_in):
    parts = subclass_noise.find_parts(FEW, stand_in)
    true = stand_in.y_train[:600]
    for c in range(10):
        share = parts.train[true == c].mean()
        assert 0 < share <= FEW.level
    assert parts.test.shape == (200,)
    assert 0 < parts.test.mean() < 1
    again = subclass_noise.find_parts(FEW, stand_in)
    assert np.array_equal(parts.train, again.train)


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_every_share_leaves_as_many_wrong_labels_in_a_class(stand_in, share):
    parts = subclass_noise.find_parts(FEW, stand_in)
    task = subclass_noise.parted_task(FEW, stand_in, parts, share, seed=1)
    in_part = torch.from_numpy(parts.train)
    for c in range(10):
        own = task.true == c
        assert task.is_noisy[own & in_part].sum() == round(share * int((own & in_part).sum()))
        assert abs(int(task.is_noisy[own].sum()) - FEW.level * int(own.sum())) <= 1.5
    wrong = task.is_noisy
    assert torch.equal(task.given[wrong], (task.true[wrong] + 1) % 10)


def test_parts_that_are_too_large_are_an_error(stand_in):
    with pytest.raises(ValueError, match="clusters must be more"):
        subclass_noise.find_parts(dataclasses.replace(FEW, clusters=1), stand_in)
    true = np.zeros(10, dtype=np.int64)
    with pytest.raises(ValueError, match=r"share must not exceed 0\.4 in class 0, got 0\.5"):
        subclass_noise.part_matrices(true, np.arange(10) < 5, 0.2, 0.5, num_classes=1)


class _Fixed(nn.Module):
    """Predicts the class that each input names."""

    def forward(self, x):
        return nn.functional.one_hot(x[:, 0].long(), 3).float()


def test_errors_are_counted_inside_and_outside():
    predicted = torch.tensor([0, 1, 0, 1, 2, 2])[:, None].float()
    true, given = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 1, 2, 2])
    x_test, y_test = torch.tensor([0.0, 1, 1, 2])[:, None], torch.tensor([0, 0, 0, 0])
    task = Task(predicted, given, true, x_test, y_test, 3)
    parts = Parts(np.array([1, 1, 0, 0, 1, 0], dtype=bool), np.array([1, 1, 0, 0], dtype=bool))
    found = subclass_noise.part_metrics(_Fixed(), task, parts)
    assert found["part_test_error"] == 1 / 2
    assert found["rest_test_error"] == 1
    # In the part samples 1 and 4 are noisy and are given what is predicted; outside sample 2 is and is not.
    assert (found["part_noisy_error"], found["rest_noisy_error"]) == (0, 1)
    assert (found["part_clean_error"], found["rest_clean_error"]) == (0, 0)
    assert found["part_level"] == pytest.approx(2 / 3)
    assert found["rest_level"] == pytest.approx(1 / 3)


def test_runs_have_ratios_before_the_first_step_alone(stand_in):
    frame = subclass_noise.subclass_noise(FEW, seed=0, split=stand_in)
    assert frame.groupby("share").epoch.apply(list).to_dict() == {0.3: [0, 1, 2], 1.0: [0, 1, 2]}
    start = frame[frame.epoch == 0].set_index("share")
    # The residuals of a right and of a wrong label are equally long, so ratios are those of numbers.
    assert start.class_ratio.tolist() == pytest.approx([0.7 / 0.3] * 2, rel=0.15)
    assert start.part_ratio[1.0] == 0
    assert start.part_ratio[0.3] == pytest.approx(0.7 / 0.3, rel=0.25)
    assert frame[frame.epoch > 0][["part_ratio", "class_ratio"]].isna().all(axis=None)
