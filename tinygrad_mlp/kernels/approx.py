"""Scalar functions that kernels call: exp, expm1, log, log1p, tanh, erf, sigmoid, softplus.

Each takes one float32 or float64 and returns the same. In float64 they are the C library's. In float32 they are
polynomials without branches, which the compiler turns into vector code: every lane takes the same path, and where a
function needs two formulas both are computed and one is selected. Infinities and NaN come out as in C.

Greatest errors in float32, in ulps (the distance between neighbouring float32 numbers at the true result): exp 1;
expm1, log, log1p, tanh, erf 2; sigmoid, softplus 3. Coefficients are minimax fits made for this file: least squares on
Chebyshev nodes, reweighted until the relative error is level, coefficients rounded to float32 one by one.
"""

import math
from typing import Any, TypeAlias

import numpy as np

from tinygrad_mlp.kernels.launch import by_dtype, device, select

__all__ = [
    "NONE",
    "RELU",
    "SIGMOID",
    "TANH",
    "erf",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sigmoid",
    "softplus",
    "tanh",
]

Real: TypeAlias = Any  # one float32 or one float64; what comes back is of the same type

# Activation codes of a fused layer (matmul + bias + activation).
NONE, RELU, TANH, SIGMOID = 0, 1, 2, 3

_ONE = np.float32(1)
_INFINITY = np.float32(np.inf)

# ln 2 in two parts. The first has 9 bits, so that its product with an exponent is exact (Cody and Waite).
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_LOG2_E = np.float32(1.44269504088896341)

# A number below 2**22 plus 1.5 * 2**23 has no room for a fraction: the low bits of the sum are the number rounded to
# an integer. (A compiler that may reorder additions would undo this, so kernels that call exp must not let it.)
_ROUNDER = np.float32(12582912)
_ROUNDER_BITS = np.int32(0x4B400000)

# Bits of a float32: sign, 8 of exponent (plus 127), 23 of fraction.
_FRACTION_WIDTH = np.int32(23)
_FRACTION_MASK = np.int32(0x7FFFFF)
_EXPONENT_OFFSET = np.int32(127)
_SMALLEST_NORMAL = np.float32(2.0**-126)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)


@device
def _power_of_two(n: np.int32) -> np.float32:
    """2**n for n in -126 to 127, by writing the exponent."""
    return np.int32((n + _EXPONENT_OFFSET) << _FRACTION_WIDTH).view(np.float32)


@device
def _exp_parts(x: np.float32) -> tuple[np.int32, np.float32]:
    """Integer n and p = e**r - 1, |r| <= ln(2)/2, with e**x = 2**n (1 + p); x is cut to where e**x is finite, not 0."""
    x = select(x > np.float32(89), np.float32(89), x)
    x = select(x < np.float32(-104), np.float32(-104), x)
    shifted = x * _LOG2_E + _ROUNDER
    n = shifted - _ROUNDER
    r = x - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    p = np.float32(0.0013814532)
    p = p * r + np.float32(0.0083687464)
    p = p * r + np.float32(0.041668393)
    p = p * r + np.float32(0.16666521)
    p = p * r + np.float32(0.49999994)
    p = p * (r * r) + r
    return np.int32(np.float32(shifted).view(np.int32) - _ROUNDER_BITS), p


@by_dtype(double=math.exp)
def exp(x: np.float32) -> np.float32:
    """e**x. Its results below 2**-126 are right too (subnormal)."""
    n, p = _exp_parts(x)
    half = np.int32(n >> np.int32(1))  # two factors, since 2**n alone overflows at n = 128, where e**x does not yet
    return (p + _ONE) * _power_of_two(half) * _power_of_two(np.int32(n - half))


@by_dtype(double=math.expm1)
def expm1(x: np.float32) -> np.float32:
    """e**x - 1, accurate near 0."""
    n, p = _exp_parts(select(x < np.float32(-80), np.float32(-80), x))
    scale = _power_of_two(n)
    near = p * scale + (scale - _ONE)
    return select(x < np.float32(80), near, exp(x))


@by_dtype(double=math.log)
def log(x: np.float32) -> np.float32:
    """Natural logarithm: -inf at 0, NaN below."""
    is_subnormal = x < _SMALLEST_NORMAL
    normal = select(is_subnormal, x * np.float32(2**23), x)
    # normal = 2**n (1 + f) with 1 + f from sqrt(1/2) to sqrt(2)
    offset = np.int32(np.float32(normal).view(np.int32) - _SQRT_HALF_BITS)
    n = np.float32(np.int32(offset >> _FRACTION_WIDTH))
    n = select(is_subnormal, n - np.float32(23), n)
    f = np.int32((offset & _FRACTION_MASK) + _SQRT_HALF_BITS).view(np.float32) - _ONE
    # log(1 + f) = f - f**2/2 + f**3 P(f)
    p = np.float32(-0.07636399567127228)
    p = p * f + np.float32(0.12762199342250824)
    p = p * f + np.float32(-0.1315961331129074)
    p = p * f + np.float32(0.14201581478118896)
    p = p * f + np.float32(-0.166234090924263)
    p = p * f + np.float32(0.2000124156475067)
    p = p * f + np.float32(-0.2500081956386566)
    p = p * f + np.float32(0.3333333134651184)
    square = f * f
    tail = p * f * square + n * _LN2_LOW
    tail = tail - np.float32(0.5) * square
    result = n * _LN2_HIGH + (f + tail)
    result = select(x < _INFINITY, result, x)  # infinity and NaN are their own logarithms
    result = select(x == np.float32(0), -_INFINITY, result)
    return select(x < np.float32(0), np.float32(np.nan), result)


@by_dtype(double=math.log1p)
def log1p(x: np.float32) -> np.float32:
    """log(1 + x), accurate near 0."""
    w = _ONE + x
    lost = x - (w - _ONE)  # what rounding took from w; log(w + lost) = log(w) + lost / w
    result = log(w)
    return select((w > np.float32(0)) & (w < _INFINITY), result + lost / w, result)


@by_dtype(double=math.tanh)
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent."""
    square = x * x
    p = np.float32(-0.005585515405982733)
    p = p * square + np.float32(0.020533666014671326)
    p = p * square + np.float32(-0.053708016872406006)
    p = p * square + np.float32(0.1333107203245163)
    p = p * square + np.float32(-0.33333268761634827)
    near = p * square * x + x
    size = abs(x)
    far = _ONE - np.float32(2) / (exp(size + size) + _ONE)
    far = select(x < np.float32(0), -far, far)
    return select(size < np.float32(0.625), near, far)


@by_dtype(double=math.erf)
def erf(x: np.float32) -> np.float32:
    """Error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    size = abs(x)
    square = x * x
    p = np.float32(7.806903158780187e-05)
    p = p * square + np.float32(-0.0007997853099368513)
    p = p * square + np.float32(0.005187162198126316)
    p = p * square + np.float32(-0.026853347197175026)
    p = p * square + np.float32(0.11283578723669052)
    p = p * square + np.float32(-0.3761262595653534)
    p = p * square + np.float32(0.12837916612625122)
    near = p * x + x
    # From 1 on a fit of log(1 - erf); beyond 3.95 the result is 1 in float32.
    t = select(size > np.float32(3.95), np.float32(3.95), size)
    q = np.float32(0.00018557401199359447)
    q = q * t + np.float32(-0.002939607249572873)
    q = q * t + np.float32(0.02180531807243824)
    q = q * t + np.float32(-0.10303737223148346)
    q = q * t + np.float32(-0.6382256746292114)
    q = q * t + np.float32(-1.1270400285720825)
    q = q * t + np.float32(-0.000353719515260309)
    far = _ONE - exp(q)
    far = select(x < np.float32(0), -far, far)
    return select(size < _ONE, near, far)


@device
def sigmoid(x: Real) -> Real:
    """1 / (1 + e**-x)."""
    one = type(x)(1)
    return one / (one + exp(-x))


@device
def softplus(x: Real) -> Real:
    """log(1 + e**x), which neither overflows nor loses small results."""
    zero = type(x)(0)
    return select(zero > x, zero, x) + log1p(exp(-abs(x)))
