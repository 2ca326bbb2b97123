"""Train, check and report small nets on a CPU."""
