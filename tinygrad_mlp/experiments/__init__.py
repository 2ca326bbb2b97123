"""Experiments over many seeds, and what may be said from them."""
