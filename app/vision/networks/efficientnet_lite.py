"""EfficientNet-Lite: inverted residuals (Sandler 2018) scaled in width and depth (Tan & Le 2019).

Lite leaves out squeeze-and-excitation, uses ReLU6, and scales neither stem nor head.
The names of the parameters are those of the published PyTorch checkpoints.
"""

import math
from collections.abc import Sequence
from typing import Final

from torch import Tensor, fx, nn
from torch.nn import functional

# repeats, kernel, stride, expansion, channels out: MobileNetV2's table with EfficientNet-B0's numbers
_STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM: Final = 32
_FEATURES: Final = 1280


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding: an odd total is padded more at the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        padded = _pad(x, self.kernel_size, self.stride)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


@fx.wrap  # a call of its own in traced graphs, where a tensor has no size yet
def _pad(x: Tensor, kernels: Sequence[int], strides: Sequence[int]) -> Tensor:
    height, width = (
        same_padding(int(size), kernel, stride)
        for size, kernel, stride in zip(x.shape[-2:], kernels, strides, strict=True)
    )
    return functional.pad(x, (*width, *height))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolution(channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 1:  # then "SAME" is symmetric, and the convolution pads by itself
        return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; added to the input where the shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.widens = expansion > 1
        if self.widens:
            self._expand_conv = convolution(channels_in, wide, 1)
            self._bn0 = _norm(wide)
            self._relu0 = nn.ReLU6()
        self._depthwise_conv = convolution(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._relu1 = nn.ReLU6()
        self._project_conv = convolution(wide, channels_out, 1)
        self._bn2 = _norm(channels_out)
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self._relu0(self._bn0(self._expand_conv(x))) if self.widens else x
        y = self._relu1(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """`(N, 3, H, W)` normalized pixels to `(N, classes)`; `width` and `depth` are the paper's coefficients."""

    def __init__(self, *, width: float = 1.0, depth: float = 1.0, classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = convolution(3, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        self._relu0 = nn.ReLU6()
        blocks: list[nn.Module] = []
        channels = _STEM
        for number, (repeats, kernel, stride, expansion, out) in enumerate(_STAGES):
            scaled = repeats if number in {0, len(_STAGES) - 1} else math.ceil(repeats * depth)
            for repeat in range(scaled):
                wider = _multiple_of_eight(out * width)
                blocks.append(InvertedResidual(channels, wider, kernel, stride if repeat == 0 else 1, expansion))
                channels = wider
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = convolution(channels, _FEATURES, 1)
        self._bn1 = _norm(_FEATURES)
        self._relu1 = nn.ReLU6()
        self._fc = nn.Linear(_FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self._blocks(self._relu0(self._bn0(self._conv_stem(x))))
        x = self._relu1(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits


def _multiple_of_eight(channels: float) -> int:
    """Rounded to a multiple of 8, but never by more than a tenth down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
