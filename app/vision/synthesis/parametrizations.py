"""A picture as its spectrum: gradient descent on waves instead of pixels (Olah, Mordvintsev & Schubert 2017)."""

from typing import Final

import torch
from torch import Tensor

COLORS: Final = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Columns: how the colours of natural pictures vary together (brightness, warm to cold, green to magenta)."""
_DECAY: Final = 1.4
"""Natural pictures have amplitudes of 1/f; steeper is smoother."""
_DEVIATION: Final = 0.01


class Spectrum:
    """Coefficients `(n, 3, size, size // 2 + 1, 2)` of square pictures; the finest waves are those of `size` pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        frequencies = (torch.fft.fftfreq(size)[:, None] ** 2 + torch.fft.rfftfreq(size)[None] ** 2).sqrt()
        self._scale = frequencies.clamp(min=1 / size) ** -_DECAY / (4 * size ** (_DECAY - 1))
        self._colors = COLORS / COLORS.norm(dim=0).max()

    def noise(self, number: int, generator: torch.Generator) -> Tensor:
        """Coefficients `(number, 3, size, size // 2 + 1, 2)` to start with."""
        return torch.randn(number, 3, *self._scale.shape, 2, generator=generator) * _DEVIATION

    def render(self, coefficients: Tensor, size: int) -> Tensor:
        """Pixels `(n, 3, size, size)` in [0, 1]: smaller pictures without the finest waves, larger ones with none that
        are finer.
        """
        waves = torch.view_as_complex(coefficients) * self._scale
        half = min(size, self.size) // 2
        if size != self.size:
            kept = torch.zeros(len(waves), 3, size, size // 2 + 1, dtype=waves.dtype)
            kept[..., :half, : half + 1] = waves[..., :half, : half + 1]
            kept[..., -half:, : half + 1] = waves[..., -half:, : half + 1]
            waves = kept
        plane = torch.fft.irfft2(waves, s=(size, size), norm="ortho") * (size / self.size)
        return torch.einsum("nchw,dc->ndhw", plane, self._colors).sigmoid()
