"""Training learns, stops, says nothing it need not, and resumes to the bit."""

import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from stargrav.errors import InputError
from stargrav.models.heads import MlpHead
from stargrav.training import record
from stargrav.training.batches import TensorBatches
from stargrav.training.device import device
from stargrav.training.fit import fit
from stargrav.training.head import train_head
from stargrav.training.plan import Plan
from stargrav.training.record import CHECKPOINT
from stargrav.training.tasks import RegressionTask
from stargrav.training.teacher import train_teacher

SAME = ["epoch", "train_loss", "valid_loss", "valid_r2", "learning_rate"]


def plan(**changes) -> Plan:
    return Plan(**{"epochs": 6, "monitor": "valid_r2", "accelerator": "cpu", **changes})


def data(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5))
    return x, 3.0 + np.tanh(x[:, 0]) * x[:, 1] + 0.05 * rng.standard_normal(n)


class Spectra(TensorBatches):
    """Batches of bumpy spectra with noise drawn anew in each pass."""

    def __init__(self, n: int, generator: torch.Generator | None) -> None:
        rng = np.random.default_rng(n)
        centre = rng.uniform(10, 54, (n, 3, 1))
        lines = np.exp(-0.5 * ((np.arange(64) - centre) / 2.5) ** 2)
        flux = torch.from_numpy(1 - 0.4 * lines.sum(1)).float()
        super().__init__({"flux": flux, "error": torch.full_like(flux, 0.1)}, 16, generator)

    def __iter__(self):
        generator = self.generator or torch.Generator().manual_seed(1)
        for batch in super().__iter__():
            noise = torch.randn(batch["flux"].shape, generator=generator)
            yield {**batch, "noisy": batch["flux"] + batch["error"] * noise}


class Interrupted(Exception):
    pass


class Breaking:
    """Batches that fail in the middle of an epoch."""

    def __init__(self, batches, epoch: int) -> None:
        self.batches, self.left = batches, epoch
        self.generator, self.share = batches.generator, batches.share

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        self.left -= 1
        for number, batch in enumerate(self.batches):
            if not self.left and number == 2:
                raise Interrupted
            yield batch


def regression(
    folder, schedule: str, breaks_in: int | None = None, **how
) -> tuple[MlpHead, pd.DataFrame]:
    x, y = (torch.from_numpy(values).float() for values in data())
    torch.manual_seed(3)
    head = MlpHead(5, (16,), dropout=0.3)
    head.standardise(x, y[:, None])
    batches = TensorBatches({"x": x, "y": y[:, None]}, 64, torch.Generator())
    checks = TensorBatches({"x": x[:100], "y": y[:100, None]}, 100)
    if breaks_in:
        batches = Breaking(batches, breaks_in)
    return head, fit(
        RegressionTask(head, 1e-2),
        batches,
        checks,
        plan(schedule=schedule, plateau_patience=0, **how),
        folder,
    )


@pytest.mark.parametrize(
    ("schedule", "how"),
    [
        ("plateau", {}),
        ("cosine", {}),
        ("constant", {}),
        ("cosine", {"warmup": 0.4, "clip": 0.1, "precision": "bf16-mixed"}),
    ],
)
def test_an_interrupted_training_passes_through_the_same_losses(schedule, how, tmp_path):
    whole, expected = regression(tmp_path / "whole", schedule, **how)
    for epoch in (1, 3):
        with pytest.raises(Interrupted):
            regression(tmp_path / "broken", schedule, epoch, **how)
    torch.rand(7)  # whatever else was drawn meanwhile
    resumed, found = regression(tmp_path / "broken", schedule, **how)
    pd.testing.assert_frame_equal(found[SAME], expected[SAME], check_exact=True)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name
    assert [path.name for path in (tmp_path / "broken").iterdir()] == [CHECKPOINT]


def test_the_rate_rises_evenly_then_falls_in_a_half_wave():
    how = plan(schedule="cosine", warmup=0.2)
    rates = [how.rate(done) for done in (0, 0.05, 0.1, 0.2, 0.6, 1)]
    assert rates == pytest.approx([0, 0.25, 0.5, 1, 0.5, 0])
    cold = plan(schedule="cosine")
    assert [cold.rate(done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize("wrong", [{"warmup": 1.0}, {"warmup": 0.1, "schedule": "plateau"}])
def test_a_warm_up_that_cannot_be_is_told(wrong):
    with pytest.raises(ValueError, match="warm-up"):
        plan(**{"schedule": "cosine", **wrong})


def test_rate_and_gradient_of_each_step_are_those_of_the_plan(monkeypatch):
    rates, norms = [], []

    def note(optimiser, *_):
        (group,) = optimiser.param_groups
        rates.append(group["lr"])
        norms.append(float(torch.cat([x.grad.flatten() for x in group["params"]]).norm()))

    def observed(task):
        optimiser = torch.optim.AdamW(task.model.parameters(), task.learning_rate)
        optimiser.register_step_post_hook(note)
        return optimiser

    monkeypatch.setattr(RegressionTask, "configure_optimizers", observed)
    regression(None, "cosine")
    assert max(norms) > 0.5
    rates.clear(), norms.clear()
    regression(None, "cosine", warmup=0.4, clip=0.1)  # 6 epochs of 5 batches
    how = plan(schedule="cosine", warmup=0.4)
    assert rates == pytest.approx([1e-2 * how.rate(n / 30) for n in range(30)])
    assert rates[0] == 0 and max(rates) == rates[12] == pytest.approx(1e-2)
    assert max(norms) == pytest.approx(0.1, rel=1e-4)


def test_an_interrupted_teacher_passes_through_the_same_losses(tmp_path):
    def train(folder, breaks_in=None):
        train = Spectra(64, torch.Generator())
        train = Breaking(train, breaks_in) if breaks_in else train
        sizes = {"channels": 4, "depth": 3, "kernel": 9, "hidden": (6,)}
        how = plan(epochs=4, monitor="valid_loss")
        return train_teacher(train, Spectra(32, None), sizes, how, folder=folder)

    whole, expected = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "broken", breaks_in=3)
    resumed, found = train(tmp_path / "broken")
    pd.testing.assert_frame_equal(found[SAME], expected[SAME], check_exact=True)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name


@pytest.mark.parametrize("moment", ["training_step", "validation_step", "configure_optimizers"])
def test_an_interruption_is_one_whenever_it_comes(moment, tmp_path, monkeypatch):
    """Neither an exit with code 1, as Lightning has it, nor a network half trained; a second
    Ctrl-C is heard as well."""

    def interrupt(*_):
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(RegressionTask, moment, interrupt)
        with pytest.raises(KeyboardInterrupt):
            regression(tmp_path, "constant")
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(regression(tmp_path, "constant")[1]) == 6


def test_an_exit_that_is_no_interruption_is_one(monkeypatch):
    def leave(*_):
        raise SystemExit(3)

    monkeypatch.setattr(RegressionTask, "training_step", leave)
    with pytest.raises(SystemExit) as caught:
        train_head(data(), data(50, 1), plan(), (8,))
    assert caught.value.code == 3


@pytest.mark.parametrize(
    ("accelerator", "gpu", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("gpu", True, "cuda")],
)
def test_the_device_of_a_setting(accelerator, gpu, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert device(accelerator).type == expected


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="settings: accelerator: found gpu, expected auto or cpu"):
        train_head(data(), data(50, 1), plan(accelerator="gpu"), (8,))


def test_latents_may_be_a_memory_map_that_cannot_be_written(tmp_path):
    x, y = (values.astype(np.float32) for values in data())
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _ = train_head((mapped, y), (mapped, y), plan(epochs=1), (8,))
        expected, _ = train_head((x, y), (x, y), plan(epochs=1), (8,))
        assert np.array_equal(found.predict(mapped), expected.predict(x))


@pytest.mark.parametrize("loss", ["T1", "E1", "E2"])
def test_the_teacher_learns_to_denoise(loss):
    spectra, checks = Spectra(160, torch.Generator()), Spectra(32, None)
    sizes = {"channels": 8, "depth": 3, "kernel": 5, "hidden": (16,)}
    how = plan(epochs=10, monitor="valid_loss")
    teacher, history = train_teacher(spectra, checks, sizes, how, loss, learning_rate=5e-3)
    batch = next(iter(checks))
    with torch.inference_mode():
        found = teacher.denoise(batch["noisy"], batch["error"])
    before, after = (
        float((values - batch["flux"]).square().mean()) for values in (batch["noisy"], found.mean)
    )
    assert after < 0.6 * before
    # and it knows how well: the spread is about that of what is left
    assert 0.4 < float(found.spread.square().mean()) / after < 2.5
    assert history["valid_loss"].iloc[-1] < history["valid_loss"].iloc[0]


def test_the_head_learns_and_its_best_epoch_is_kept():
    head, history = train_head(
        data(2000), data(300, seed=1), plan(epochs=15), (32,), 0.0, 1e-2, batch_size=64
    )
    x, y = data(300, seed=1)
    r2 = 1 - np.mean((head.predict(x) - y) ** 2) / y.var()
    assert r2 == pytest.approx(history["valid_r2"].max(), abs=1e-5)
    assert r2 > 0.9
    assert list(history["epoch"]) == list(range(1, len(history) + 1))


@pytest.mark.parametrize("threads", [2, 3, None])
def test_the_plan_says_how_many_threads_there_are(threads, monkeypatch):
    """Sums over other numbers of threads differ in their last bit, and trainings with them."""
    before, seen = torch.get_num_threads(), set()
    step = RegressionTask.training_step

    def looking(task, *batch):
        seen.add(torch.get_num_threads())
        return step(task, *batch)

    monkeypatch.setattr(RegressionTask, "training_step", looking)
    train_head(data(), data(50, 1), plan(epochs=1, threads=threads), (8,))
    assert seen == {threads or before}
    assert torch.get_num_threads() == before


def test_training_stops_when_it_no_longer_improves():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 5)), rng.standard_normal(200)
    how = plan(epochs=60, patience=3)
    _, history = train_head((x, y), (x[::-1], y), how, (16,), learning_rate=1e-2)
    assert len(history) == int(history["valid_r2"].argmax()) + 1 + 3 < 60


def test_a_finished_training_is_not_repeated(tmp_path):
    _, expected = train_head(data(), data(50, 1), plan(), (8,), folder=tmp_path)
    _, found = train_head(data(), data(50, 1), plan(), (8,), folder=tmp_path)
    pd.testing.assert_frame_equal(found, expected)  # seconds included


@pytest.mark.parametrize(
    "change", [{"learning_rate": 5e-3}, {"identity": {"data": "other"}}, {"widths": (9,)}]
)
def test_another_training_does_not_resume_this_one(change, tmp_path):
    arguments = {"widths": (8,), "folder": tmp_path, "identity": {"data": "one"}}
    _, first = train_head(data(), data(50, 1), plan(), **arguments)
    _, second = train_head(data(), data(50, 1), plan(), **{**arguments, **change})
    assert not second["seconds"].equals(first["seconds"])


def test_seed_decides_and_the_callers_random_state_is_left_alone():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    _, first = train_head(data(), data(50, 1), plan(seed=1), (8,))
    assert torch.equal(torch.rand(3), expected)
    _, same = train_head(data(), data(50, 1), plan(seed=1), (8,))
    _, other = train_head(data(), data(50, 1), plan(seed=2), (8,))
    pd.testing.assert_frame_equal(first[SAME], same[SAME], check_exact=True)
    assert not np.allclose(first["train_loss"], other["train_loss"])


def test_training_is_quiet_and_leaves_no_files(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_head(data(), data(50, 1), plan(epochs=2), (8,))
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_ends_the_training():
    x, y = data()
    y[7] = np.inf
    with pytest.raises(FloatingPointError, match="epoch 1"):
        train_head((x, y), (x, y), plan(), (8,))


def test_a_long_epoch_says_how_far_it_is(monkeypatch, capsys):
    """One line now and then, none of them for what is over soon; none at all without a name."""
    now = iter(range(0, 10**6, 4))
    monkeypatch.setattr(record.time, "perf_counter", lambda: float(next(now)))
    train_head(data(4000), data(50, 1), plan(epochs=1, progress="head"), (8,))
    said = [line for line in capsys.readouterr().out.splitlines() if "% of it" in line]
    shares = [int(line.split(", ")[1].split(" ")[0]) for line in said]
    assert said[0].startswith("head: epoch 1/1, ") and shares == sorted(set(shares))
    assert 1 < len(shares) < 15 and shares[-1] <= 100
    train_head(data(4000), data(50, 1), plan(epochs=1), (8,))
    assert "% of it" not in capsys.readouterr().out
