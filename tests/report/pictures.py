"""Makes the pictures of the documentation from a finished run and from a run that is watched.

    pictures.py DDPO RUN FOLDER

RUN is a finished run of examples/over50.toml with its report. Writes over50.png (before and after), report.png and
live.png to FOLDER. Exits with 77 without Chromium.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from browser import opened, shot, show

SIZE = (1100, 760)
PATIENCE_SECONDS = 900


def live_page(browser, ddpo, target):
    """Starts a run with a live page and takes a picture once it has curves and a trajectory."""
    with tempfile.TemporaryDirectory(prefix="ddpo-pictures-") as folder:
        command = [ddpo, "train", "--config", "examples/quickstart.toml", "--output-dir", f"{folder}/quickstart",
                   "--num-eval-samples", "16", "--eval-every-each-epoch", "2", "--dashboard", "127.0.0.1:0"]  # fmt: skip
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            address = next(filter(None, (re.search(r"http://[\d.:]+/", line) for line in run.stdout)))[0]
            metrics = pathlib.Path(folder, "quickstart/metrics.jsonl")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not metrics.exists() or len(metrics.read_text().splitlines()) < 4:
                if time.monotonic() > deadline or run.poll() is not None:
                    sys.exit("live page: expected four epochs, found fewer")
                time.sleep(1)
            show(browser, address, SIZE, "light")
            # The page fills while the next batches are denoised.
            time.sleep(15)
            shot(browser, target, whole=False)
        finally:
            run.kill()
            run.wait()


def main(ddpo, run, folder):
    ddpo, run, folder = pathlib.Path(ddpo).resolve(), pathlib.Path(run).resolve(), pathlib.Path(folder)
    shutil.copyfile(run / "checkpoints/best/before-after.png", folder / "over50.png")
    with opened() as browser:
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        show(browser, (run / "report/report.html").as_uri(), SIZE, "light")
        shot(browser, folder / "report.png", whole=False)
        live_page(browser, str(ddpo), folder / "live.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
