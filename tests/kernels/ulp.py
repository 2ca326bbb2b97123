"""What the kernel tests share: errors in ulps and references in float64."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["every_exponent", "np_erf", "ulp_error"]

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def every_exponent(fractions: int) -> NDArray[np.float32]:
    """Finite float32 numbers: `fractions` for each exponent (also the subnormal one) and sign, always the same."""
    rng = np.random.default_rng(0)
    exponents = np.arange(255, dtype=np.uint32)[:, None] << 23
    bits = exponents + rng.integers(0, 1 << 23, (255, fractions), dtype=np.uint32)
    bits[:, 0] &= 0xFF800000  # powers of two
    positive = bits.reshape(-1).view(np.float32)
    return np.concatenate([positive, -positive])


def ulp_error(result: NDArray[np.float32], exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of float32 results to float64 ones in ulps, the float32 spacing at the exact value.

    Where the exact value is no finite float32, 0 if the result is that infinity or NaN too, else inf. Where it is below
    the normal numbers a result may be flushed to 0: the spacing there is taken as the smallest normal number.
    """
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        spacing = np.spacing(np.abs(rounded)).astype(np.float64)
        spacing[np.abs(exact) < SMALLEST_NORMAL] = SMALLEST_NORMAL
        error = np.abs(result.astype(np.float64) - exact) / spacing
    special = ~np.isfinite(rounded)
    same = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    error[special] = np.where(same[special], 0, np.inf)
    return error


def np_erf(x: Any) -> NDArray[np.float64]:
    """Error function of each element, in float64."""
    values = np.asarray(x, np.float64)
    return np.array([math.erf(value) for value in values.reshape(-1)], np.float64).reshape(values.shape)
