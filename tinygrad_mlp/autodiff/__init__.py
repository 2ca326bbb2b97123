"""Reverse-mode automatic differentiation: Tensor, engine, ops."""
