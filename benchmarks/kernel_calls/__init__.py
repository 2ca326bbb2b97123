"""The calls that the kernel table times: what they are (`cases`), how (`sweep`), and by whom (`by_…`)."""
