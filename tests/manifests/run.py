"""Holds deploy/kubernetes/ against the schemas of Kubernetes, against itself, and against the binaries.

`make test-manifests` runs it, in an environment that `scripts/setup-clients` makes. Ends with a line that counts
what passed and what failed; what could not be done on this machine is named, and counted as skipped.
"""

import argparse
import copy
import shutil
import subprocess
import sys
from collections import Counter

import binaries
import compose
import live
import mutations
import network
import restricted
import scaling
import schemas
import stacks
import workloads

# Kustomize's components, `labels` with templates and patches by label are younger than Debian's kubectl.
OLDEST_KUBECTL = (1, 27)

# Problems of one check that are shown.
SHOWN = 12


class Tally:
    """What passed, failed and was skipped."""

    def __init__(self):
        self.counts = Counter()

    def tell(self, what, problems, detail=""):
        """One line for what passed, a line for each problem otherwise."""
        self.counts["failed" if problems else "passed"] += 1
        print(f"{'FAILED' if problems else 'ok    '} {what}{': ' + detail if detail else ''}", flush=True)
        for problem in problems[:SHOWN]:
            print(f"         {problem}", flush=True)
        if len(problems) > SHOWN:
            print(f"         and {len(problems) - SHOWN} more", flush=True)

    def skip(self, what, why):
        """What cannot be done here."""
        self.counts["skipped"] += 1
        print(f"skipped {what}: {why}", flush=True)

    def end(self):
        """The closing line, and the exit status."""
        passed, failed, skipped = (self.counts[name] for name in ["passed", "failed", "skipped"])
        print(f"\nmanifests: {passed} passed, {failed} failed, {skipped} skipped")
        return 1 if failed or not passed else 0


def all_checks(found):
    """Name of a check -> function of a stack to problems."""
    by_binaries = {"binaries": binaries.check, "workloads": workloads.check, "network": network.check}
    checks = {name: (lambda stack, one=one: one(stack, found)) for name, one in by_binaries.items()}
    checks["scaling"] = lambda stack: scaling.check(stack, found)
    checks["restricted"] = restricted.check
    checks["schemas"] = lambda stack: schemas.check(stack.objects, schemas.VERSIONS[-1])[0]
    return checks


def validate(tally, rendered):
    """Every object of every stack, against every version."""
    for version in schemas.VERSIONS:
        problems, totals = [], [0, 0]
        for stack in rendered:
            wrong, *counts = schemas.check(stack.objects, version)
            problems += [f"{stack.name}: {problem}" for problem in wrong]
            totals = [total + count for total, count in zip(totals, counts)]
        detail = f"{totals[0]} objects of {len(rendered)} stacks, and {totals[1]} of kinds that are not its own"
        tally.tell(f"Kubernetes {version}", problems, detail)


def mutate(tally, rendered, checks):
    """Breaks one thing at a time; the check that is named has to find it, where it found nothing before."""
    by_name = {stack.name: stack for stack in rendered}
    plain = by_name["overlays/multi-gpu"]
    cases = [(plain, *case) for case in mutations.MUTATIONS]
    for components, *case in mutations.WITH_COMPONENTS:
        cases.append((by_name["+".join(["overlays/multi-gpu", *components])], *case))
    found_before = {}
    for stack, what, name, change in cases:
        broken = copy.deepcopy(stack)
        change(broken)
        if (stack.name, name) not in found_before:
            found_before[stack.name, name] = checks[name](stack)
        before, after = found_before[stack.name, name], checks[name](broken)
        missed = [] if after and not before else [f"{name} finds {len(before)} problems before and {len(after)} after"]
        tally.tell(f"broken: {what}", missed, "; ".join(after[:1]).replace("\n", " ")[:160])


def usable(kubectl):
    """Whether this kubectl can render the manifests; else the reason."""
    path = shutil.which(kubectl)
    if not path:
        return f"no {kubectl} here (1.27 or newer renders the manifests)"
    told = subprocess.run([path, "version", "--client", "--output=yaml"], capture_output=True, text=True).stdout
    words = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    words = {key.strip(): value.strip().strip('"') for key, value in words.items()}
    version = tuple(int("".join(filter(str.isdigit, words.get(key, "0"))) or 0) for key in ["major", "minor"])
    if version < OLDEST_KUBECTL:
        return f"{path} is {'.'.join(map(str, version))}, expected 1.27 or newer"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", default="target/release", help="folder of ddpo and the three services")
    parser.add_argument("--kubectl", default="kubectl")
    parser.add_argument("--only", choices=["static", "live"], help="the manifests alone, or the live run alone")
    arguments = parser.parse_args()
    tally = Tally()
    reason = usable(arguments.kubectl)
    if reason:
        tally.skip("all of deploy/kubernetes", reason)
        print(f"\nmanifests: 0 passed, 0 failed, {tally.counts['skipped']} skipped")
        return 0
    rendered = [stacks.render(arguments.kubectl, *name) for name in stacks.names()]
    rendered.append(stacks.render_example(arguments.kubectl))
    programs = binaries.Binaries(arguments.binaries)
    if arguments.only != "live":
        checks = all_checks(programs)
        validate(tally, rendered)
        for name, one in checks.items():
            if name != "schemas":
                problems = [f"{stack.name}: {problem}" for stack in rendered for problem in one(stack)]
                tally.tell(name, problems, f"{len(rendered)} stacks")
        mutate(tally, rendered, checks)
        compose.check(tally, rendered, programs)
    if arguments.only != "static":
        live.check(tally, rendered, programs)
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
