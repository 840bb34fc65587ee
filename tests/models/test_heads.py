"""The head answers in the labels' units and keeps its own scaling."""

import numpy as np
import torch

from stargrav.models.heads import MlpHead


def test_published_widths():
    sizes = [layer.weight.shape for layer in MlpHead(384).layers if hasattr(layer, "weight")]
    assert sizes == [(256, 384), (64, 256), (1, 64)]


def test_scaling_of_inputs_and_labels_cancels():
    """Inputs and labels in other units: the same head, in those units."""
    torch.manual_seed(0)
    x, y = torch.randn(100, 5), torch.randn(100, 2)
    head = MlpHead(5, (8,), 2).eval()
    head.standardise(x, y)
    before = head(x)
    head.standardise(1000 * x + 7, 20 * y - 3)
    assert torch.allclose(head(1000 * x + 7), 20 * before - 3, atol=1e-3)


def test_constant_inputs_do_no_harm():
    head = MlpHead(3, (4,))
    x = torch.randn(50, 3)
    x[:, 1] = 2.0
    head.standardise(x, torch.randn(50, 1))
    assert head(x).isfinite().all()


def test_predict_is_the_network_without_dropout_and_leaves_its_mode():
    head = MlpHead(3, (16,), dropout=0.5).train()
    x = np.random.default_rng(0).standard_normal((70, 3))
    found = head.predict(x)
    assert found.shape == (70,) and head.training
    expected = head.eval()(torch.from_numpy(x).float())[:, 0]
    assert np.allclose(found, expected.detach().numpy())
