"""A contender whose package is not there."""

import no_such_package  # noqa: F401  # pyright: ignore[reportMissingImports]

COMMANDS = {}
