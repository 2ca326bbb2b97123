"""Kernels: ndarrays in, ndarrays out. The only folder that imports Numba; it knows nothing of Tensor."""
