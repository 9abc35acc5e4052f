"""Waiting: always for something, never beyond a deadline."""

import time

# A busy machine is slow; a hang is for ever.
PATIENCE_SECONDS = 600


def until(what, look, patience=PATIENCE_SECONDS):
    """Looks until there is something to see, and gives it."""
    deadline = time.monotonic() + patience
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"waited in vain for {what}, for {patience} s"
        time.sleep(0.05)
