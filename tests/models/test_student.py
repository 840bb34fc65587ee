"""Students: their sizes, what they see of a spectrum, and spectra side by side."""

import pytest
import torch

from stargrav import models
from stargrav.errors import InputError
from stargrav.models.student import ConvStudent, MlpStudent

PIXELS = 256


def made(**changes) -> ConvStudent:
    sizes = {"channels": (6, 8, 8), "kernel": 5, "stride": 2, "segments": 8, "outputs": 24}
    torch.manual_seed(0)
    return ConvStudent(PIXELS, **{**sizes, **changes}).eval()


def test_published_widths():
    weights = [layer.weight for layer in MlpStudent(4096).layers if hasattr(layer, "weight")]
    assert [tuple(w.shape) for w in weights] == [
        (1024, 4096),
        (1024, 1024),
        (512, 1024),
        (384, 512),
    ]


@pytest.mark.parametrize("kind", [MlpStudent, ConvStudent])
def test_both_answer_in_the_units_of_the_latent(kind):
    """Flux and latents in other units: the same student, in those units."""
    torch.manual_seed(0)
    x, z = 1 + 0.1 * torch.randn(40, PIXELS), 3 + torch.randn(40, 24)
    student = kind(PIXELS, outputs=24).eval()
    student.standardise(x, z)
    before = student(x)
    student.standardise(50 * x - 2, 20 * z + 7)
    assert torch.allclose(student(50 * x - 2), 20 * before + 7, atol=1e-2)


def test_a_segment_is_told_of_by_its_own_pixels():
    """The means behind the convolutions keep apart where in the spectrum something was seen."""
    student = made()
    means = student.layers[:-2]  # before dropout and the linear layer
    x = torch.zeros(1, PIXELS, requires_grad=True)
    found = means(x).view(8, 8)  # channels, segments
    (gradient,) = torch.autograd.grad(found[:, 2].abs().sum(), x)
    seen = gradient[0].nonzero()[:, 0]
    width, reach = PIXELS // 8, 2 * (1 + 2 + 4)  # half a kernel at each of the three strides
    assert 2 * width - reach <= seen.min() and seen.max() < 3 * width + reach
    assert seen.min() <= 2 * width and seen.max() >= 3 * width - 8


def test_any_length_of_latent_can_be_made():
    for outputs in (48, 385):
        student = made(outputs=outputs)
        assert student(torch.randn(3, PIXELS)).shape == (3, outputs)


def test_a_spectrum_shorter_than_its_segments_is_no_error():
    assert ConvStudent(40, outputs=5)(torch.randn(2, 40)).isfinite().all()


def test_spectra_side_by_side_are_channels():
    """Swapping flux and error together with their filters changes nothing."""
    student = made(spectra=2)
    flux, error = torch.randn(3, PIXELS // 2), torch.randn(3, PIXELS // 2)
    found = student(torch.cat([flux, error], dim=1))
    first = student.layers[1]
    first.weight.data = first.weight.data.flip(1)
    assert torch.allclose(student(torch.cat([error, flux], dim=1)), found, atol=1e-6)


def test_spectra_of_unequal_length_are_refused():
    with pytest.raises(InputError, match="conv_student"):
        models.build("conv_student", inputs=PIXELS + 1, spectra=2)
