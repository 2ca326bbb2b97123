"""What the convolutions do to whole images: copy into a margin of zeros, sum over pixels, add up parts."""

from __future__ import annotations

from tinygrad_mlp.kernels.launch import Array, device, select

__all__ = ["add_parts", "add_pixels", "masked_with_margin", "with_margin"]


@device
def with_margin(image: Array, above: int, left: int, buffer: Array) -> None:
    """Copy an image (height, width, channels) into a buffer (more, more, channels), whose margin is left as it is."""
    for y in range(image.shape[0]):
        source, target = image[y].reshape(-1), buffer[above + y, left : left + image.shape[1]].reshape(-1)
        for i in range(source.size):
            target[i] = source[i]


@device
def masked_with_margin(image: Array, out: Array, above: int, left: int, buffer: Array) -> None:
    """The same where `out`, of the image's shape, is positive (or NaN); zero elsewhere: the gradient through a ReLU."""
    zero = image.dtype.type(0)
    for y in range(image.shape[0]):
        source, mask = image[y].reshape(-1), out[y].reshape(-1)
        target = buffer[above + y, left : left + image.shape[1]].reshape(-1)
        for i in range(source.size):
            target[i] = select(mask[i] <= zero, zero, source[i])


@device
def add_pixels(pixels: Array, above: int, left: int, height: int, width: int, sums: Array, totals: Array) -> None:
    """Add the sums over an image's pixels, (…, …, channels) with a margin, to `totals` (channels,)."""
    sums[:] = 0
    for y in range(height):
        for x in range(width):
            pixel = pixels[above + y, left + x]
            for c in range(sums.size):
                sums[c] += pixel[c]
    for c in range(sums.size):
        totals[c] += sums[c]


@device
def add_parts(parts: Array, out: Array) -> None:
    """Sums over the chunks, (chunks, size) -> (size,), in their order."""
    for i in range(out.size):
        out[i] = parts[0, i]
    for chunk in range(1, parts.shape[0]):
        for i in range(out.size):
            out[i] += parts[chunk, i]
