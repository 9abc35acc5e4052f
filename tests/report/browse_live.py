"""Opens the live page of a run that goes on, watches it, and tells what is wrong with it.

    browse_live.py ADDRESS SCREENSHOTS [TOKEN]

Every size and theme in turn: no message on the console, no request that leaves the page, no sideways
scrolling; curves get longer, a trajectory moves, samples and fleet are there; the button changes the
theme. With TOKEN the page asks for it first, and a wrong one is refused. Screenshots go to SCREENSHOTS.
Exits with 77 without Chromium, with 1 and a line for each fault.
"""

import pathlib
import sys
import time

from browser import PATIENCE, SIZES, THEMES, event_faults, layout_faults, opened, shot, show

POINTS = "document.querySelectorAll('#figure-reward svg.wide .hint').length"
PLAYBACK = "document.querySelector('.slot img')?.src ?? ''"


def becomes(browser, script, met):
    """Waits until the script's value is as wanted; the value, or nothing when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = browser.run(script)
        if met(value):
            return value
        time.sleep(0.1)
    return None


def check(browser, address, size, theme, screenshots):
    wide = size[0]
    show(browser, address, size, theme)
    faults = []
    wanted = {
        "the link is not live": ("document.getElementById('link').textContent", lambda text: text == "live"),
        "expected a curve, found none": (POINTS, lambda points: points > 0),
        "expected five curves of updates": ("document.querySelectorAll('#training figure').length", lambda count: count >= 5),
        "expected a sample, found none": ("document.querySelectorAll('#samples img').length", lambda count: count > 0),
        "the fleet is empty": ("document.querySelectorAll('#members tr').length", lambda count: count > 0),
        "the stage is not told": ("document.getElementById('count').textContent", lambda text: " of " in text),
        "no trajectory is shown": (PLAYBACK, lambda source: source.startswith("data:image/png")),
    }
    for fault, (script, met) in wanted.items():
        if becomes(browser, script, met) is None:
            faults.append(fault)
    first, points = browser.run(PLAYBACK), browser.run(POINTS)
    if becomes(browser, PLAYBACK, lambda source: source != first) is None:
        faults.append("the trajectory does not move")
    if becomes(browser, POINTS, lambda count: count > points) is None:
        faults.append(f"the curve does not grow: {points} points")
    faults += layout_faults(browser, size, theme)
    shot(browser, screenshots / f"live-{wide}-{theme}.png")
    browser.run("document.getElementById('theme').click()")
    if browser.run("document.documentElement.dataset.theme") == theme:
        faults.append("the button does not change the theme")
    browser.run("localStorage.clear()")
    return faults + event_faults(browser, address)


def enter(browser, address, token, screenshots):
    """Gives a wrong token, then the right one."""
    faults = []
    for given, title in [(token[::-1], "A run of ddpo"), (token, None)]:
        show(browser, address, SIZES[-1], "light")
        shot(browser, screenshots / "live-question.png")
        if browser.run("Boolean(document.getElementById('fleet'))"):
            return ["the page is shown without the token"]
        browser.run(f"document.getElementById('token').value = {given!r}; document.querySelector('form').submit()")
        if title and becomes(browser, "document.querySelector('.bad')?.textContent ?? ''", lambda text: "not the token" in text) is None:
            faults.append("a wrong token is not refused")
    if becomes(browser, "Boolean(document.getElementById('fleet'))", bool) is None:
        faults.append("the token does not open the page")
    if token in browser.run("document.cookie + location.href"):
        faults.append("the token stands where a script can read it")
    return faults


def main():
    address, screenshots, *token = sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:]
    screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    with opened() as browser:
        if token:
            faults = enter(browser, address, token[0], screenshots)
            print("token:", faults or "good")
            failed |= bool(faults)
        for size in SIZES:
            for theme in THEMES:
                faults = check(browser, address, size, theme, screenshots)
                print(f"{size[0]} {theme}: {'good' if not faults else ''}", *faults, sep="\n  ")
                failed |= bool(faults)
    sys.exit(1 if failed else 0)


main()
