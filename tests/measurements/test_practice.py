"""Label noise in practice: problems, signals, methods and rankings against plain loops on tiny nets."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import data, robust_training, training, wrong_labels
from cleanprio_lib.measurements import practice_signals, robust_methods, wrong_label_rankings
from cleanprio_lib.measurements.practice_tasks import PracticeSettings, new_net, practice, predicted
from cleanprio_lib.metrics import subset_metrics
from cleanprio_lib.training import TrainingSettings

BINARY = PracticeSettings(
    level=0.4,
    training=TrainingSettings(epochs=3, batch_size=16, learning_rate=0.2, precision="float32"),
    classes=(7, 9),
    train_samples=100,
    validation_samples=60,
    probe_samples=40,
    test_samples=50,
    width=8,
)
TEN = replace(BINARY, classes=None, train_samples=300)
PROBLEMS = pytest.mark.parametrize("settings", [BINARY, TEN], ids=["two classes", "ten"])


def _loss(logits, labels):
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return F.cross_entropy(logits, labels)


def _by_hand(net, x, labels, *, epochs, seed, size=16, rate=0.2):
    """Plain SGD; yields the net after each epoch."""
    for epoch in range(1, epochs + 1):
        for batch in training.sample_order(len(x), epoch=epoch, seed=seed).split(size):
            steps = torch.autograd.grad(_loss(net(x[batch]), labels[batch]), list(net.parameters()))
            with torch.no_grad():
                for parameter, step in zip(net.parameters(), steps, strict=True):
                    parameter -= rate * step
        yield net


@PROBLEMS
def test_samples_are_apart_and_noise_is_placed_in_all_classes(settings, stand_in):
    problem = practice(settings, stand_in, seed=5)
    pair = stand_in if settings.classes is None else data.binary(stand_in, settings.classes)
    pixels = pair.x_train.reshape(len(pair.x_train), -1) / 255
    start = 0
    for task in (problem.task, problem.validation, problem.probe):
        stop = start + len(task.x)
        np.testing.assert_allclose(task.x.numpy(), pixels[start:stop], atol=1e-6)
        np.testing.assert_array_equal(task.true.numpy(), pair.y_train[start:stop])
        start = stop
    for task in (problem.task, problem.validation):
        for c in range(pair.num_classes):
            own = task.true == c
            assert int(task.is_noisy[own].sum()) == round(0.4 * int(own.sum()))
    assert len(problem.task.x_test) == 50
    same = practice(settings, stand_in, seed=5)
    other = practice(settings, stand_in, seed=6)
    for one, two, three in zip(
        vars(problem).values(), vars(same).values(), vars(other).values(), strict=True
    ):
        assert torch.equal(one.given, two.given)
        assert not torch.equal(one.given, three.given)


def test_pair_flips_go_to_the_next_class_in_both_sets(stand_in):
    problem = practice(replace(TEN, concentration=1.0), stand_in, seed=0)
    for task in (problem.task, problem.validation):
        assert task.is_noisy.any()
        assert torch.equal(task.given[task.is_noisy], (task.true[task.is_noisy] + 1) % 10)


def test_the_two_sets_have_noise_of_their_own(stand_in):
    """Even where they have the same true labels in the same order."""
    twice = replace(stand_in, y_train=np.concatenate([stand_in.y_train[:60]] * 2 + [stand_in.y_train[120:]]))
    problem = practice(replace(TEN, train_samples=80, validation_samples=60), twice, seed=0)
    same = practice(
        replace(TEN, train_samples=60, training=replace(TEN.training, batch_size=12)), twice, seed=0
    )
    assert torch.equal(same.task.true, same.validation.true)
    assert not torch.equal(same.task.given, same.validation.given)
    assert len(problem.task.x) == 80


def test_what_does_not_fit_is_named(stand_in):
    with pytest.raises(ValueError, match="at least 5 batches of 16, got 79"):
        replace(BINARY, train_samples=79)
    with pytest.raises(ValueError, match="must be at most 6000 together"):
        practice(replace(TEN, train_samples=5_950), stand_in, seed=0)


@PROBLEMS
def test_signals_are_those_of_a_plain_loop(settings, stand_in):
    frame = practice_signals.signals(settings, seed=2, split=stand_in)
    problem = practice(settings, stand_in, seed=2)
    task, held_out = problem.task, problem.validation
    net = new_net(settings, task, seed=2)
    assert frame.epoch.tolist() == [0, 1, 2, 3]
    before = predicted(net(task.x))
    assert math.isnan(frame.changes[0])
    for row, after in enumerate(_by_hand(net, task.x, task.given, epochs=3, seed=2), start=1):
        with torch.no_grad():
            logits, held = after(task.x), after(held_out.x)
            test = after(task.x_test)
        now = predicted(logits)
        changed = sum(int(a != b) for a, b in zip(now, before, strict=True)) / len(now)
        assert frame.changes[row] == pytest.approx(changed)
        assert frame.train_loss[row] == pytest.approx(float(_loss(logits, task.given)), rel=1e-4)
        with torch.no_grad():
            subsets = subset_metrics(after, task)
        for column in (
            "clean_error",
            "noisy_error",
            "train_error",
            "test_error",
            "clean_loss",
            "noisy_residual",
        ):
            assert frame[column][row] == pytest.approx(subsets[column], rel=1e-4)
        assert frame.test_error[row] == pytest.approx(float((predicted(test) != task.y_test).double().mean()))
        for column, labels in (
            ("validation_error", held_out.given),
            ("validation_true_error", held_out.true),
        ):
            assert frame[column][row] == pytest.approx(float((predicted(held) != labels).double().mean()))
        assert frame.validation_loss[row] == pytest.approx(float(_loss(held, held_out.given)), rel=1e-4)
        assert frame.estimated_ratio[row] == pytest.approx(_ratio(logits, task.given), rel=1e-4)
        before = now
    assert frame.train_loss.nunique() == 4


def _ratio(logits, labels):
    """Sample by sample, class by class."""
    logarithms = []
    likely = (
        [[1 / (1 + math.exp(h)), 1 / (1 + math.exp(-h))] for (h,) in logits.tolist()]
        if logits.shape[1] == 1
        else F.softmax(logits.double(), dim=1).tolist()
    )
    for c in range(len(likely[0])):
        clean = noisy = 0.0
        for row, label in zip(likely, labels.tolist(), strict=True):
            if row.index(max(row)) == c:
                clean += (1 - row[c]) * (label == c)
                noisy += row[c] * (label != c)
        if clean and noisy:
            logarithms.append(math.log(clean / noisy))
    return math.exp(sum(logarithms) / len(logarithms))


@pytest.mark.parametrize("classes", [2, 5])
def test_the_estimated_ratio_is_one_where_a_net_has_learnt_the_distribution(classes):
    level, each = 0.4, 20
    true = torch.arange(classes).repeat_interleave(each)
    given = true.clone()
    for c in range(classes):
        given[c * each : c * each + 8] = (c + 1 + torch.arange(8) % (classes - 1)) % classes
    likely = torch.full((classes, classes), level / (classes - 1)).fill_diagonal_(1 - level)[true].double()
    logits = likely.log() if classes > 2 else (likely[:, 1] / likely[:, 0]).log()[:, None]
    assert practice_signals.estimated_ratio(logits, given) == pytest.approx(1)
    timid = 0.5 * likely + 0.5 / classes
    logits = timid.log() if classes > 2 else (timid[:, 1] / timid[:, 0]).log()[:, None]
    assert practice_signals.estimated_ratio(logits, given) > 1.2


@pytest.mark.parametrize("outputs", [1, 4])
def test_the_estimated_ratio_is_a_mean_over_classes_of_any_outputs(outputs):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, outputs, generator=generator)
    labels = torch.randint(max(outputs, 2), (60,), generator=generator)
    assert practice_signals.estimated_ratio(logits, labels) == pytest.approx(_ratio(logits, labels), rel=1e-4)


def test_the_estimated_ratio_of_one_kind_only_is_not_a_number():
    assert math.isnan(practice_signals.estimated_ratio(torch.tensor([[2.0], [-1.0]]), torch.tensor([1, 0])))


@PROBLEMS
def test_disparity_is_the_mean_distance_of_batch_gradients(settings, stand_in):
    task = practice(settings, stand_in, seed=0).task
    net = new_net(settings, task, seed=0)
    found = practice_signals.gradient_disparity(net, task, settings, np.random.default_rng(1))
    drawn = np.random.default_rng(1).permutation(len(task.x))[:80]
    plain, scaled = [], []
    for start in range(0, 80, 16):
        batch = torch.from_numpy(drawn[start : start + 16])
        own = [_loss(net(task.x[i : i + 1]), task.given[i : i + 1]) for i in batch]
        flat = torch.cat(
            [g.flatten() for g in torch.autograd.grad(torch.stack(own).mean(), list(net.parameters()))]
        )
        spread = float(np.std([float(loss.detach()) for loss in own], ddof=1))
        plain.append(flat)
        scaled.append(flat / spread)
    for name, vectors in (("disparity", plain), ("scaled_disparity", scaled)):
        wanted = np.mean([float((a - b).norm()) for a, b in combinations(vectors, 2)])
        assert found[name] == pytest.approx(wanted, rel=1e-4)


@PROBLEMS
def test_a_step_on_random_labels_lowers_their_loss_and_is_taken_back(settings, stand_in):
    probe = practice(settings, stand_in, seed=0).probe
    net = new_net(settings, probe, seed=0)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    fall = practice_signals.random_label_step(net, probe, settings, np.random.default_rng(3))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    batch = torch.from_numpy(np.random.default_rng(3).permutation(40)[:16])
    start = _loss(net(probe.x[batch]), probe.given[batch])
    stepped = {
        name: parameter - 0.2 * step
        for (name, parameter), step in zip(
            net.named_parameters(), torch.autograd.grad(start, list(net.parameters())), strict=True
        )
    }
    end = _loss(torch.func.functional_call(net, stepped, (probe.x[batch],)), probe.given[batch])
    assert fall == pytest.approx(float(start - end), rel=1e-3)
    assert fall > 0


METHODS = robust_methods.RobustSettings(TEN, strength=2.0, momentum=0.6, gradual=2)


def test_methods_have_the_same_start_and_go_their_own_ways(stand_in):
    frame = robust_methods.compare(METHODS, seed=1, split=stand_in)
    assert set(frame.method) == set(robust_methods.METHODS)
    one_net = [m for m in robust_methods.METHODS if m not in (robust_methods.CO_TEACHING, robust_methods.AUM)]
    for method in one_net:
        own = frame[frame.method == method]
        assert own.epoch.tolist() == [0, 1, 2, 3]
        assert own.test_error.iloc[0] == frame.test_error.iloc[0]
    aum = frame[frame.method == robust_methods.AUM]
    assert aum.epoch.tolist() == [1, 2, 3]  # after one epoch of ranking
    assert frame[frame.method != robust_methods.AUM].removed.isna().all()
    assert len({tuple(frame[frame.method == m].train_error) for m in one_net}) == len(one_net)


def test_plain_training_is_plain(stand_in):
    frame = robust_methods.compare(replace(METHODS, methods=("plain",)), seed=1, split=stand_in)
    task = practice(TEN, stand_in, seed=1).task
    net = new_net(TEN, task, seed=1)
    for row, after in enumerate(_by_hand(net, task.x, task.given, epochs=3, seed=1), start=1):
        error = float((predicted(after(task.x)) != task.given).double().mean())
        assert frame.train_error[row] == pytest.approx(error, abs=1.5 / len(task.x))


def _batch(stand_in, count=1):
    task = practice(TEN, stand_in, seed=0).task
    return task, [new_net(TEN, task, seed=k) for k in range(count)], torch.arange(20, 50)


def test_smoothing_is_as_much_as_the_noise_amounts_to(stand_in):
    task, nets, batch = _batch(stand_in)
    (loss,) = robust_methods.step_of("label smoothing", METHODS, task)(nets, batch, 1)
    kappa = 0.4 * 10 / 9
    targets = (1 - kappa) * F.one_hot(task.given[batch], 10) + kappa / 10
    wanted = -(targets * nets[0](task.x[batch]).log_softmax(dim=1)).sum(dim=1).mean()
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


def test_elr_remembers_what_it_saw_of_each_sample(stand_in):
    task, nets, batch = _batch(stand_in)
    step = robust_methods.step_of("ELR", METHODS, task)
    p = nets[0](task.x[batch]).softmax(dim=1)
    entropy = F.cross_entropy(nets[0](task.x[batch]), task.given[batch])
    for looks, share in ((1, 0.4), (2, 0.4 + 0.6 * 0.4)):
        (loss,) = step(nets, batch, looks)
        wanted = entropy + 2.0 * torch.log(1 - (p * share * p).sum(dim=1)).mean()
        assert float(loss) == pytest.approx(float(wanted), rel=1e-4)
    (other,) = step(nets, torch.arange(50, 60), 3)
    q = nets[0](task.x[50:60]).softmax(dim=1)
    entropy = F.cross_entropy(nets[0](task.x[50:60]), task.given[50:60])
    assert float(other) == pytest.approx(
        float(entropy + 2 * torch.log(1 - 0.4 * (q * q).sum(dim=1)).mean()), rel=1e-4
    )


@pytest.mark.parametrize(("epoch", "kept"), [(1, 24), (2, 18), (9, 18)])
def test_one_net_learns_its_own_small_losses_and_two_learn_each_others(stand_in, epoch, kept):
    task, nets, batch = _batch(stand_in, 2)
    losses = [
        F.cross_entropy(net(task.x[batch]), task.given[batch], reduction="none").detach() for net in nets
    ]
    chosen = [sorted(range(30), key=lambda i: float(own[i]))[:kept] for own in losses]
    (single,) = robust_methods.step_of("small loss", METHODS, task)(nets[:1], batch, epoch)
    assert float(single) == pytest.approx(float(losses[0][chosen[0]].mean()), rel=1e-5)
    both = robust_methods.step_of("Co-teaching", METHODS, task)(nets, batch, epoch)
    assert float(both[0]) == pytest.approx(float(losses[0][chosen[1]].mean()), rel=1e-5)
    assert float(both[1]) == pytest.approx(float(losses[1][chosen[0]].mean()), rel=1e-5)


def test_aum_removes_what_ranks_like_the_threshold_samples(stand_in):
    task = practice(TEN, stand_in, seed=1).task
    found = robust_methods.removed_by_aum(METHODS, task, epochs=2, seed=1)
    labels, chosen = robust_training.threshold_labels(task.given, 10, seed=1)
    net = new_net(TEN, task, seed=1, num_outputs=11)
    areas = np.zeros(len(labels))
    for after in _by_hand(net, task.x, labels, epochs=2, seed=1):
        logits = after(task.x).detach().double().numpy()
        for i, label in enumerate(labels.tolist()):
            areas[i] += (logits[i, label] - np.delete(logits[i], label).max()) / 2
    bound = np.quantile(areas[chosen.numpy()], 0.99)
    wanted = ~chosen.numpy() & (areas <= bound)
    assert (found.numpy() != wanted).sum() <= 1  # float32 steps of another order of sums
    assert 0 < wanted.sum() < len(wanted)


LONGER = replace(TEN, training=replace(TEN.training, epochs=6))  # stopped, with seed 1, before its end
RANKED = wrong_label_rankings.RankingSettings(LONGER, folds=3, shares=(0.1, 1.0))


def test_rankings_have_a_row_for_each_share_and_sets_one_each(stand_in):
    frame = wrong_label_rankings.rankings(RANKED, seed=1, split=stand_in)
    for name in wrong_label_rankings.RANKINGS:
        own = frame[frame.ranking == name]
        assert own.share.tolist() == [0.1, 0.4, 1.0]
        assert own.flagged.tolist() == [30, 120, 300]
        assert own.precision.iloc[-1] == pytest.approx(
            practice(TEN, stand_in, seed=1).task.is_noisy.double().mean()
        )
    assert frame.groupby("ranking").size()[list(wrong_label_rankings.SETS)].tolist() == [1, 1]


def test_the_run_is_watched_at_its_lowest_noisy_error_and_at_its_end(stand_in):
    problem = practice(LONGER, stand_in, seed=1)
    task = problem.task
    watched = wrong_label_rankings.watch(LONGER, task, problem.validation, seed=1)
    net = new_net(TEN, task, seed=1)
    errors, residuals, margins = [], [], []
    for after in _by_hand(net, task.x, task.given, epochs=6, seed=1):
        logits = after(task.x).detach()
        errors.append(
            float((predicted(after(problem.validation.x)) != problem.validation.given).double().mean())
        )
        residuals.append((logits.softmax(dim=1) - F.one_hot(task.given, 10)).norm(dim=1))
        margins.append(robust_training.margins(logits, task.given))
    assert watched.stop == 1 + int(np.argmin(errors)) < 6
    torch.testing.assert_close(watched.at_stop, residuals[watched.stop - 1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(watched.at_end, residuals[-1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(watched.areas.float(), torch.stack(margins).mean(dim=0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", wrong_label_rankings.RANKINGS)
def test_suspects_come_first_in_every_ranking(stand_in, name):
    frame = wrong_label_rankings.rankings(RANKED, seed=1, split=stand_in)
    problem = practice(TEN, stand_in, seed=1)
    watched = wrong_label_rankings.watch(LONGER, problem.task, problem.validation, seed=1)
    likely = wrong_label_rankings.cross_validated(RANKED, problem.task, epochs=watched.stop, seed=1)
    given = problem.task.given.numpy()
    scores = {
        wrong_label_rankings.AT_STOP: watched.at_stop.tolist(),
        wrong_label_rankings.AT_END: watched.at_end.tolist(),
        wrong_label_rankings.MARGINS: [-area for area in watched.areas.tolist()],
        wrong_label_rankings.HELD_OUT: [1 - likely[i][label] for i, label in enumerate(given)],
    }[name]
    first = sorted(range(300), key=lambda i: -scores[i])[:30]
    wanted = np.mean([bool(problem.task.is_noisy[i]) for i in first])
    assert frame[(frame.ranking == name) & (frame.share == 0.1)].precision.item() == pytest.approx(wanted)


def test_cross_validated_probabilities_come_from_nets_that_have_not_seen_the_sample(stand_in):
    task = practice(TEN, stand_in, seed=1).task
    likely = wrong_label_rankings.cross_validated(RANKED, task, epochs=2, seed=1)
    np.testing.assert_allclose(likely.sum(axis=1), 1, rtol=1e-5)
    fold = np.array_split(np.random.default_rng([1, 5]).permutation(300), 3)[0]
    spoiled = replace(task, given=task.given.clone())
    spoiled.given[torch.from_numpy(fold)] = (task.given[torch.from_numpy(fold)] + 1) % 10
    again = wrong_label_rankings.cross_validated(RANKED, spoiled, epochs=2, seed=1)
    np.testing.assert_array_equal(again[fold], likely[fold])
    assert not np.array_equal(again, likely)
    suspects = wrong_labels.self_confidence(task.given.numpy(), likely)
    assert suspects.shape == (300,)
