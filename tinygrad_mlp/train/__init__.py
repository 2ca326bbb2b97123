"""Training: metrics of a classifier."""
