"""Networks of `ivar_conditioning` are the stored one but for what they are told."""

import numpy as np
import pytest
import torch

from stargrav import models
from stargrav.experiments import told
from stargrav.experiments.denoisers import Stars
from stargrav.experiments.steps import Bench, bench
from stargrav.inference import diffused


@pytest.fixture
def trained(inputs, tmp_path):
    """Trains a network on the bench of the session's pipeline, seed 42."""

    def train(*names):
        with bench(Bench(inputs, 42, "cpu")):
            return told._trained(names)

    return train


def answers(network, names, inputs, factor):
    """What the network says at once of test stars, where the errors are that much larger."""
    with bench(Bench(inputs, 42, "cpu")):
        noisy, error = Stars(8).measured
    return diffused.at_once(network, names, noisy, factor * error, 0)


def test_told_the_same_it_is_the_stored_one(inputs, trained):
    network, _, history = trained("noisy", "error")
    stored = models.load(inputs.folder("denoiser@conditional")).state_dict()
    for name, weights in network.state_dict().items():
        assert torch.equal(weights, stored[name]), name
    with bench(Bench(inputs, 42, "cpu")):
        assert told._stored()[2] == [pytest.approx(row, rel=1e-5) for row in history]


def test_inverse_variance_is_seen_where_it_is_told(inputs, trained):
    for names, sees in ((("noisy",), False), (("noisy", "ivar"), True)):
        network, _, history = trained(*names)
        assert network.config["condition"] == len(names)
        assert set(history[0]) == {"epoch", "train_loss", "valid_loss", "learning_rate"}
        plain, larger = (answers(network, names, inputs, factor) for factor in (1, 3))
        assert (np.abs(plain - larger).max() > 1e-5) == sees
