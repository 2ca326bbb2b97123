"""Elementwise kernels: activations, each with its derivative beneath, and exp, log, erf, rsqrt, clamp, fill.

All arrays of a call have one shape and one dtype, float32 or float64; `launch` hands them over as 1-d. `out` may be the
input itself. A derivative kernel writes grad * f'(x) into `out`, from the output y where that is enough, else from the
input x. At kinks, infinities and NaN the results are PyTorch's. Errors of the float32 functions: see `approx`.

Activations share large arrays, as those of images are, among threads: element by element, so that there is no order in
which bits could depend on their number.
"""

import math

import numpy as np

from tinygrad_mlp.kernels import approx
from tinygrad_mlp.kernels.launch import Array, device, kernel, prange, select
from tinygrad_mlp.kernels.status import NOT_FINITE

__all__ = [
    "check_finite",
    "clamp",
    "elu",
    "elu_backward",
    "erf",
    "exp",
    "fill",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "hardtanh",
    "hardtanh_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "log",
    "logsigmoid",
    "logsigmoid_backward",
    "relu",
    "relu_backward",
    "rsqrt",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]

_SQRT_HALF = math.sqrt(0.5)
_NORMAL_PEAK = 1 / math.sqrt(2 * math.pi)  # density of the standard normal distribution at 0
# gelu's tanh form is x * sigmoid(2 u) with 2 u = x (_GELU_LINEAR + _GELU_CUBIC x**2).
_GELU_LINEAR = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715 * _GELU_LINEAR

_FINITE_BLOCK = 8192  # elements that one thread of check_finite looks at at a time


@kernel(writes=("out",), flat=True, parallel=True)
def relu(x: Array, out: Array) -> None:
    """max(x, 0); NaN stays NaN."""
    zero = x.dtype.type(0)
    for i in prange(x.size):
        out[i] = select(zero > x[i], zero, x[i])


@kernel(writes=("out",), flat=True, parallel=True)
def relu_backward(grad: Array, y: Array, out: Array) -> None:
    """Grad where the output y is positive (or NaN), 0 elsewhere, so 0 at the kink."""
    zero = y.dtype.type(0)
    for i in prange(y.size):
        out[i] = select(y[i] <= zero, zero, grad[i])


@kernel(writes=("out",), flat=True, parallel=True)
def leaky_relu(x: Array, slope: float, out: Array) -> None:
    """Identity above 0, slope * x elsewhere."""
    zero, factor = x.dtype.type(0), x.dtype.type(slope)
    for i in prange(x.size):
        out[i] = select(x[i] > zero, x[i], x[i] * factor)


@kernel(writes=("out",), flat=True, parallel=True)
def leaky_relu_backward(grad: Array, x: Array, slope: float, out: Array) -> None:
    """Grad above 0, slope * grad elsewhere."""
    zero, factor = x.dtype.type(0), x.dtype.type(slope)
    for i in prange(x.size):
        out[i] = select(x[i] > zero, grad[i], grad[i] * factor)


@kernel(writes=("out",), flat=True, parallel=True)
def elu(x: Array, alpha: float, out: Array) -> None:
    """Identity above 0, alpha * (e**x - 1) elsewhere (Clevert et al. 2015)."""
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in prange(x.size):
        out[i] = select(x[i] > zero, x[i], factor * approx.expm1(x[i]))


@kernel(writes=("out",), flat=True, parallel=True)
def elu_backward(grad: Array, x: Array, alpha: float, out: Array) -> None:
    """Grad above 0, grad * alpha * e**x elsewhere."""
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in prange(x.size):
        out[i] = select(x[i] > zero, grad[i], grad[i] * (factor * approx.exp(x[i])))


@kernel(writes=("out",), flat=True, parallel=True)
def gelu(x: Array, out: Array) -> None:
    """x * Phi(x), Phi the standard normal distribution function, by erf (Hendrycks & Gimpel 2016)."""
    one, half, scale = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(_SQRT_HALF)
    for i in prange(x.size):
        out[i] = half * x[i] * (one + approx.erf(x[i] * scale))


@kernel(writes=("out",), flat=True, parallel=True)
def gelu_backward(grad: Array, x: Array, out: Array) -> None:
    """Grad * (Phi(x) + x * phi(x)), phi the density of Phi."""
    one, half, scale = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(_SQRT_HALF)
    peak = x.dtype.type(_NORMAL_PEAK)
    for i in prange(x.size):
        below = half * (one + approx.erf(x[i] * scale))
        density = peak * approx.exp(-half * x[i] * x[i])
        out[i] = grad[i] * (below + x[i] * density)


@kernel(writes=("out",), flat=True, parallel=True)
def gelu_tanh(x: Array, out: Array) -> None:
    """x/2 * (1 + tanh u) = x * sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x**3)."""
    linear, cubic = x.dtype.type(_GELU_LINEAR), x.dtype.type(_GELU_CUBIC)
    for i in prange(x.size):
        out[i] = x[i] * approx.sigmoid(x[i] * (linear + cubic * (x[i] * x[i])))


@kernel(writes=("out",), flat=True, parallel=True)
def gelu_tanh_backward(grad: Array, x: Array, out: Array) -> None:
    """Grad * (s + x s (1 - s) d(2u)/dx), s = sigmoid(2 u)."""
    one, three = x.dtype.type(1), x.dtype.type(3)
    linear, cubic = x.dtype.type(_GELU_LINEAR), x.dtype.type(_GELU_CUBIC)
    for i in prange(x.size):
        square = x[i] * x[i]
        s = approx.sigmoid(x[i] * (linear + cubic * square))
        inner_slope = linear + three * cubic * square
        out[i] = grad[i] * (s + x[i] * (s * (one - s)) * inner_slope)


@kernel(writes=("out",), flat=True, parallel=True)
def silu(x: Array, out: Array) -> None:
    """x * sigmoid(x)."""
    for i in prange(x.size):
        out[i] = x[i] * approx.sigmoid(x[i])


@kernel(writes=("out",), flat=True, parallel=True)
def silu_backward(grad: Array, x: Array, out: Array) -> None:
    """Grad * s (1 + x (1 - s)), s = sigmoid(x)."""
    one = x.dtype.type(1)
    for i in prange(x.size):
        s = approx.sigmoid(x[i])
        out[i] = grad[i] * (s * (one + x[i] * (one - s)))


@kernel(writes=("out",), flat=True, parallel=True)
def sigmoid(x: Array, out: Array) -> None:
    """1 / (1 + e**-x)."""
    for i in prange(x.size):
        out[i] = approx.sigmoid(x[i])


@kernel(writes=("out",), flat=True, parallel=True)
def sigmoid_backward(grad: Array, y: Array, out: Array) -> None:
    """Grad * y (1 - y), y = sigmoid(x)."""
    one = y.dtype.type(1)
    for i in prange(y.size):
        out[i] = grad[i] * ((one - y[i]) * y[i])


@kernel(writes=("out",), flat=True, parallel=True)
def tanh(x: Array, out: Array) -> None:
    """Hyperbolic tangent."""
    for i in prange(x.size):
        out[i] = approx.tanh(x[i])


@kernel(writes=("out",), flat=True, parallel=True)
def tanh_backward(grad: Array, y: Array, out: Array) -> None:
    """Grad * (1 - y**2), y = tanh(x)."""
    one = y.dtype.type(1)
    for i in prange(y.size):
        out[i] = grad[i] * (one - y[i] * y[i])


@kernel(writes=("out",), flat=True)
def logsigmoid(x: Array, out: Array) -> None:
    """log(sigmoid(x)) = -softplus(-x)."""
    for i in range(x.size):
        out[i] = -approx.softplus(-x[i])


@kernel(writes=("out",), flat=True)
def logsigmoid_backward(grad: Array, x: Array, out: Array) -> None:
    """Grad * sigmoid(-x)."""
    for i in range(x.size):
        out[i] = grad[i] * approx.sigmoid(-x[i])


@kernel(writes=("out",), flat=True)
def softplus(x: Array, beta: float, threshold: float, out: Array) -> None:
    """log(1 + e**(beta x)) / beta; x itself where beta x > threshold."""
    steepness, limit = x.dtype.type(beta), x.dtype.type(threshold)
    for i in range(x.size):
        scaled = x[i] * steepness
        out[i] = select(scaled > limit, x[i], approx.softplus(scaled) / steepness)


@kernel(writes=("out",), flat=True)
def softplus_backward(grad: Array, x: Array, beta: float, threshold: float, out: Array) -> None:
    """Grad * sigmoid(beta x); grad itself where beta x > threshold."""
    steepness, limit = x.dtype.type(beta), x.dtype.type(threshold)
    for i in range(x.size):
        scaled = x[i] * steepness
        out[i] = select(scaled > limit, grad[i], grad[i] * approx.sigmoid(scaled))


@kernel(writes=("out",), flat=True)
def hardtanh(x: Array, low: float, high: float, out: Array) -> None:
    """x cut to low..high; NaN stays NaN."""
    bottom, top = x.dtype.type(low), x.dtype.type(high)
    for i in range(x.size):
        value = select(x[i] < bottom, bottom, x[i])
        out[i] = select(value > top, top, value)


@kernel(writes=("out",), flat=True)
def hardtanh_backward(grad: Array, x: Array, low: float, high: float, out: Array) -> None:
    """Grad strictly between low and high, 0 elsewhere."""
    bottom, top, zero = x.dtype.type(low), x.dtype.type(high), x.dtype.type(0)
    for i in range(x.size):
        out[i] = select((x[i] > bottom) & (x[i] < top), grad[i], zero)


@kernel(writes=("out",), flat=True)
def clamp(x: Array, low: float, high: float, out: Array) -> None:
    """x cut to low..high (high where low > high); -inf or inf for no limit; NaN stays NaN."""
    bottom, top = x.dtype.type(low), x.dtype.type(high)
    for i in range(x.size):
        value = select(x[i] < bottom, bottom, x[i])
        out[i] = select(value > top, top, value)


@kernel(writes=("out",), flat=True)
def erf(x: Array, out: Array) -> None:
    """Error function."""
    for i in range(x.size):
        out[i] = approx.erf(x[i])


@kernel(writes=("out",), flat=True)
def exp(x: Array, out: Array) -> None:
    """e**x."""
    for i in range(x.size):
        out[i] = approx.exp(x[i])


@kernel(writes=("out",), flat=True)
def log(x: Array, out: Array) -> None:
    """Natural logarithm."""
    for i in range(x.size):
        out[i] = approx.log(x[i])


@kernel(writes=("out",), flat=True)
def rsqrt(x: Array, out: Array) -> None:
    """1 / sqrt(x)."""
    one = x.dtype.type(1)
    for i in range(x.size):
        out[i] = one / math.sqrt(x[i])


@kernel(writes=("out",), flat=True)
def fill(out: Array, value: float) -> None:
    """Write one value everywhere."""
    number = out.dtype.type(value)
    for i in range(out.size):
        out[i] = number


@device
def _has_bad(x: Array) -> bool:
    """Whether a 1-d array holds a NaN or an infinity."""
    zero, found = x.dtype.type(0), False
    for i in range(x.size):
        found |= x[i] - x[i] != zero  # NaN - NaN and inf - inf are NaN, which differs from every number
    return found


@kernel(writes=(), parallel=True)
def check_finite(x: Array, status: Array) -> None:
    """Set `status` to the first NaN or infinity of the 1-d array x, unless an earlier error stands there already."""
    if status[0] != 0:
        return
    is_bad = np.zeros((x.size + _FINITE_BLOCK - 1) // _FINITE_BLOCK, np.bool_)
    for block in prange(is_bad.size):
        is_bad[block] = _has_bad(x[block * _FINITE_BLOCK : (block + 1) * _FINITE_BLOCK])
    first = 0
    while first < is_bad.size and not is_bad[first]:
        first += 1
    if first < is_bad.size:
        position = first * _FINITE_BLOCK
        while not _has_bad(x[position : position + 1]):
            position += 1
        status[0], status[1], status[2], status[3] = NOT_FINITE, position, 0, x.size
