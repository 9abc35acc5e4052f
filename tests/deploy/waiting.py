"""Waits for conditions with a deadline."""

import time

# Long enough for a busy machine; only a hang exceeds it.
PATIENCE_SECONDS = 600


def until(what, look, patience=PATIENCE_SECONDS):
    """Calls `look` until it returns a true value, and returns the value."""
    deadline = time.monotonic() + patience
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what}: not seen within {patience} s"
        time.sleep(0.05)
