"""Opens a page in headless Chromium, uses it, and tells what is wrong with it.

    browse.py PAGE SCREENSHOTS

Every size and theme in turn: no message on the console, no request that leaves the page, no sideways
scrolling, the slider changes the picture, pointing at the map shows the image, the button changes the
theme. Screenshots go to SCREENSHOTS. Ends with 77 where there is no Chromium, with 1 and a line for
each fault.
"""

import base64
import json
import os
import pathlib
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


def at_centre(browser, element):
    """The middle of an element in the window, after it was scrolled there."""
    place = browser.run(f"""(() => {{ const e = {element}; e.scrollIntoView({{block: "center"}});
        const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()""")
    browser.run(DRAWN)
    return place


def check(browser, page, size, theme, screenshots):
    faults = []
    wide, high = size
    browser.events.clear()
    touch = wide < 600
    browser.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=touch)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    browser.call("Page.navigate", url=page.as_uri())
    browser.wait("Page.loadEventFired")
    browser.run(DRAWN)

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
    luminance = browser.run("""getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)""")
    if (luminance < 384) != (theme == "dark"):
        faults.append(f"the paper has levels that add up to {luminance}")

    shot(browser, screenshots / f"{wide}-{theme}.png")

    if browser.run("Boolean(document.getElementById('film-slider'))"):
        before = browser.run("document.getElementById('film-picture').src")
        place = at_centre(browser, "document.getElementById('film-slider')")
        browser.mouse("mousePressed", *place, button="left", clickCount=1)
        browser.mouse("mouseReleased", *place, button="left", clickCount=1)
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="End", code="End", windowsVirtualKeyCode=35)
        browser.run(DRAWN)
        after = browser.run("document.getElementById('film-picture').src")
        last = browser.run("Number(document.getElementById('film-slider').max)")
        if browser.run("Number(document.getElementById('film-slider').value)") != last:
            faults.append("the slider does not go to its end")
        if last > 0 and before == after:
            faults.append("the slider does not change the picture")
        browser.run("document.querySelectorAll('.seeds button')[1]?.click()")
        if browser.run("document.querySelectorAll('.seeds button').length") > 1 and browser.run("document.getElementById('film-picture').src") == after:
            faults.append("another sample has the same picture")
    else:
        faults.append("there is no slider")

    visible = "[...document.querySelectorAll('#figure-map [data-picture]')].filter(e => e.getBoundingClientRect().width)"
    if browser.run(f"{visible}.length"):
        x, y = at_centre(browser, f"{visible}.at(-1)")
        browser.mouse("mouseMoved", x, y)
        if touch:
            browser.mouse("mousePressed", x, y, button="left", clickCount=1)
        browser.run(DRAWN)
        tip = browser.run("""(() => { const t = document.getElementById("tip"), r = t.getBoundingClientRect(); return {
            shown: getComputedStyle(t).display !== "none", image: t.querySelector("img")?.naturalWidth || 0,
            text: t.textContent, inside: r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight }; })()""")
        if not (tip["shown"] and tip["image"] > 0 and "reward" in tip["text"] and tip["inside"]):
            faults.append(f"pointing at the map shows {tip}")
        shot(browser, screenshots / f"{wide}-{theme}-map.png", whole=False)
        browser.mouse("mouseMoved", 1, 1)
        browser.run(DRAWN)
        if browser.run("getComputedStyle(document.getElementById('tip')).display") != "none":
            faults.append("the hint stays when nothing is pointed at")
    else:
        faults.append("there is no map")

    x, y = at_centre(browser, "[...document.querySelectorAll('#figure-reward .hint')].filter(e => e.getBoundingClientRect().width)[0]")
    browser.mouse("mouseMoved", x, y)
    browser.run(DRAWN)
    if "epoch" not in browser.run("document.getElementById('tip').textContent"):
        faults.append("pointing at the reward curve tells nothing")
    browser.run("document.getElementById('theme').click()")
    changed = browser.run("document.documentElement.dataset.theme")
    if changed == theme or changed not in THEMES:
        faults.append(f"the button gives the theme {changed}")
    browser.run("try { localStorage.clear() } catch (refused) {}")

    for event in browser.events:
        parameters = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("data:", page.as_uri())):
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


def printed(browser, page, path):
    """The page on paper; its number of pages."""
    browser.events.clear()
    browser.call("Page.navigate", url=page.as_uri())
    browser.wait("Page.loadEventFired")
    data = base64.b64decode(browser.call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)["data"])
    path.write_bytes(data)
    return len(re.findall(rb"/Type\s*/Page\b", data))


def main():
    page, screenshots = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    program = next((found for found in map(shutil.which, filter(None, names)) if found), None)
    if program is None:
        print("there is no Chromium; hint: scripts/setup-system --install")
        sys.exit(77)
    screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory(prefix="ddpo-browser-", ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        try:
            for size in SIZES:
                for theme in THEMES:
                    faults = check(browser, page, size, theme, screenshots)
                    print(f"{size[0]} {theme}: {'good' if not faults else ''}")
                    for fault in faults:
                        print(f"  {fault}")
                    failed |= bool(faults)
            pages = printed(browser, page, screenshots / "printed.pdf")
            print(f"printed on {pages} pages")
            failed |= not 1 <= pages <= 12
        finally:
            browser.close()
    sys.exit(1 if failed else 0)


main()
