"""The outcome of a comparison, and the table of all of them."""

import dataclasses

LOG_PROB_LIMIT = 2e-4
MEAN_LIMIT = 1e-4
COSINE_LIMIT = 0.99


@dataclasses.dataclass
class Row:
    """Largest gaps of one comparison, and in words what went past its limit."""

    name: str
    values: dict = dataclasses.field(default_factory=dict)
    failures: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def fail(self, text):
        self.failures.append(text)

    def limit(self, key, value, limit):
        """Notes a gap that has to stay below `limit`; the largest one is kept."""
        self.values[key] = max(value, self.values.get(key, 0.0))
        if not value <= limit:
            self.fail(f"{key} gap {value:.3g} is over {limit:g}")

    def at_least(self, key, value, limit):
        """Notes an agreement that has to stay above `limit`; the smallest one is kept."""
        self.values[key] = min(value, self.values.get(key, float("inf")))
        if not value >= limit:
            self.fail(f"{key} {value:.6f} is under {limit:g}")

    def note(self, key, value):
        self.values[key] = value


def cell(value):
    if isinstance(value, float):
        return f"{value:.6f}" if 0.1 < value <= 2 else f"{value:.1e}"
    return str(value)


def print_row(row):
    values = "  ".join(f"{key} {cell(value)}" for key, value in row.values.items())
    state = "FAIL" if row.failures else "ok"
    print(f"{state:4}  {row.name:30} {row.seconds:6.1f} s  {values}", flush=True)
    for failure in dict.fromkeys(row.failures):
        print(f"      {failure}", flush=True)


def print_summary(rows):
    """The largest gaps over all rows, and one line that counts them."""
    for key in ("log_prob", "mean"):
        gaps = [row.values[key] for row in rows if key in row.values]
        if gaps:
            print(f"largest {key} gap {max(gaps):.2e} over {len(gaps)} configs")
    cosines = [row.values["cosine"] for row in rows if "cosine" in row.values]
    if cosines:
        print(f"smallest cosine of updates {min(cosines):.6f} over {len(cosines)} batches")
    failed = sum(bool(row.failures) for row in rows)
    print(f"{len(rows) - failed} passed, {failed} failed", flush=True)
    return failed
