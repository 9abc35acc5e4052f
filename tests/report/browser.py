"""Headless Chromium for tests of pages: opened, used, watched for messages and requests, photographed."""

import base64
import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import websocket

PATIENCE = 60
SIZES = [(1280, 900), (390, 844)]
THEMES = ["light", "dark"]

# Exit status of a script without a browser.
NO_BROWSER = 77


@contextlib.contextmanager
def opened():
    """A browser; the script ends with 77 where there is none."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    program = next((found for found in map(shutil.which, filter(None, names)) if found), None)
    if program is None:
        print("Chromium is not installed; hint: scripts/setup-system --install")
        sys.exit(NO_BROWSER)
    with tempfile.TemporaryDirectory(prefix="ddpo-browser-", ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        try:
            yield browser
        finally:
            browser.close()


class Browser:
    """Headless Chromium with one page, spoken to by the DevTools protocol."""

    def __init__(self, program, folder):
        # A container has neither a sandbox nor a large /dev/shm.
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--remote-debugging-port=0", "--remote-allow-origins=*",
             f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.PIPE, text=True)  # fmt: skip
        address = self.address()
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.socket = websocket.create_connection(address, timeout=PATIENCE)
        self.number, self.session = 0, None
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def address(self):
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in iter(self.process.stderr.readline, "") if "ws://" in line][:1],
                         daemon=True).start()  # fmt: skip
        return re.search(r"ws://\S+", lines.get(timeout=PATIENCE))[0]

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer.get("result", {})
            self.events.append(answer)

    def wait(self, method):
        while not any(event["method"] == method for event in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def close(self):
        try:
            self.socket.close()
        finally:
            self.process.kill()
            self.process.wait()


# Resolves once everything that was just changed has been drawn.
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def show(browser, url, size, theme):
    """Opens a page in a window of this size and theme."""
    wide, high = size
    browser.events.clear()
    browser.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=wide < 600)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    browser.call("Page.navigate", url=url)
    browser.wait("Page.loadEventFired")
    browser.run(DRAWN)


def layout_faults(browser, size, theme):
    """What sticks out, what is broken, and paper of the wrong colour."""
    faults, wide = [], size[0]
    if browser.run("document.documentElement.scrollWidth") > wide:
        guilty = browser.run("""[...document.querySelectorAll("body *")].filter(e => !e.closest(".wide-table, pre, svg")
            && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className).slice(0, 5)""")
        faults.append(f"it scrolls sideways: {guilty}")
    outside = browser.run("""[...document.querySelectorAll("svg.plot")].filter(s => s.getBoundingClientRect().width).flatMap(s =>
        [...s.querySelectorAll("text")].filter(t => t.getBoundingClientRect().right > innerWidth + 1
            || t.getBoundingClientRect().left < -1).map(t => t.textContent)).slice(0, 5)""")
    if outside:
        faults.append(f"text of a plot lies outside the window: {outside}")
    broken = browser.run("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
    if broken:
        faults.append(f"{broken} pictures are broken")
    luminance = browser.run("""[document.body, document.documentElement].map(e => getComputedStyle(e).backgroundColor)
        .find(colour => !colour.endsWith(", 0)")).match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)""")
    if (luminance < 384) != (theme == "dark"):
        faults.append(f"the paper has levels that add up to {luminance}")
    return faults


def event_faults(browser, origin):
    """Messages on the console, exceptions, and requests for anything that does not begin with `origin`."""
    faults = []
    for event in browser.events:
        parameters = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("data:", origin)):
                faults.append(f"a request leaves the page: {url[:120]}")
        if event["method"] == "Runtime.exceptionThrown":
            faults.append(f"an exception: {parameters['exceptionDetails']['text']} {parameters['exceptionDetails'].get('exception', {}).get('description', '')}")
        if event["method"] == "Runtime.consoleAPICalled":
            faults.append(f"on the console: {parameters['args']}")
        if event["method"] == "Log.entryAdded":
            faults.append(f"in the log: {parameters['entry']['text']}")
    return faults


def shot(browser, path, whole=True):
    """A picture of the page, or of what of it is in the window."""
    options = {"captureBeyondViewport": True} if whole else {}
    if whole:
        sides = browser.call("Page.getLayoutMetrics")["cssContentSize"]
        options["clip"] = {"x": 0, "y": 0, "width": sides["width"], "height": sides["height"], "scale": 1}
    data = browser.call("Page.captureScreenshot", format="png", **options)["data"]
    path.write_bytes(base64.b64decode(data))
