"""Distillation: what the weights of the loss mean, and that a student learns what can be known."""

import numpy as np
import pandas as pd
import pytest
import torch

from stargrav.models.student import MlpStudent
from stargrav.training.distillation import DistillationTask, train_student
from stargrav.training.plan import Plan

SIZES = {"widths": (32,), "dropout": 0.0}
SAME = ["epoch", "train_loss", "valid_loss", "valid_r2"]


def plan(**changes) -> Plan:
    how = {"epochs": 15, "monitor": "valid_r2", "accelerator": "cpu", "schedule": "constant"}
    return Plan(**{**how, **changes})


def lessons(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and behind them two numbers of a latent and a label, of very different scales."""
    x = np.random.default_rng(seed).standard_normal((n, 6))
    return x, np.column_stack([100 * x[:, 0] + 500, x[:, 1] - x[:, 3], 1e-3 * x[:, 2]])


@pytest.fixture
def task() -> DistillationTask:
    """A student of four numbers of a latent and two labels that always answers zero."""
    model = MlpStudent(3, widths=(), outputs=6)
    for parameter in model.parameters():
        parameter.data.zero_()
    model.label_deviation.copy_(torch.tensor([10.0, 10.0, 1.0, 1.0, 5.0, 1.0]))
    return DistillationTask(model, labels=2, latent_weight=3.0, label_weight=0.5)


def test_the_loss_is_that_of_the_equation(task):
    x, y = torch.zeros(2, 3), torch.zeros(2, 6)
    y[0] = torch.tensor([10.0, 0.0, 2.0, 0.0, 0.0, 0.0])  # 1 and 2 deviations of the latent
    y[1] = torch.tensor([0.0, 0.0, 0.0, 0.0, 15.0, 0.0])  # 3 of a label
    latent, label = (1 + 4) / 2 / 4, 9 / 2 / 2
    assert task.loss({"x": x, "y": y}).item() == pytest.approx(3.0 * latent + 0.5 * label)


def test_without_weight_labels_are_not_learnt():
    """What the weights are zero for may be anything: the student is the same."""
    train, valid = lessons(200, 0), lessons(80, 1)
    wrong = [(x, np.column_stack([y[:, :2], y[::-1, 2]])) for x, y in (train, valid)]
    how = {"labels": 1, "learning_rate": 1e-2, "weight_decay": 0.0}
    first, _ = train_student("mlp_student", SIZES, train, valid, plan(epochs=3), **how)
    second, _ = train_student("mlp_student", SIZES, *wrong, plan(epochs=3), **how)
    assert np.array_equal(first.predict(valid[0])[:, :2], second.predict(valid[0])[:, :2])


def test_latent_and_label_are_learnt_side_by_side():
    train, valid = lessons(600, 0), lessons(200, 1)
    how = {"label_weight": 1.0, "learning_rate": 1e-2, "batch_size": 64}
    student, history = train_student("mlp_student", SIZES, train, valid, plan(), 1, **how)
    missed = ((student.predict(valid[0]) - valid[1]) ** 2).mean(0) / valid[1].var(0)
    assert (missed < 0.05).all()
    assert history["valid_r2"].max() == pytest.approx(1 - (missed / [2, 2, 1]).sum() / 2, abs=1e-3)


def test_an_output_that_does_not_change_does_no_harm():
    x, y = lessons(200, 0)
    y[:, 1] = 7.0
    _, history = train_student("mlp_student", SIZES, (x, y), (x, y), plan(epochs=2))
    assert np.isfinite(history[SAME]).all(axis=None)


def test_a_student_is_resumed_and_another_one_is_not(tmp_path):
    train, valid = lessons(200, 0), lessons(80, 1)

    def trained(folder, epochs=4, **weights):
        how = plan(epochs=epochs)
        return train_student("mlp_student", SIZES, train, valid, how, 1, folder=folder, **weights)

    whole, expected = trained(tmp_path / "a", label_weight=1.0)
    again, found = trained(tmp_path / "a", label_weight=1.0)
    pd.testing.assert_frame_equal(found, expected)  # seconds, too: nothing was computed
    assert np.array_equal(whole.predict(valid[0]), again.predict(valid[0]))
    _, other = trained(tmp_path / "a", label_weight=2.0)
    assert (other["valid_loss"] != expected["valid_loss"]).all()
