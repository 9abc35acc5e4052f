"""Opens a page in headless Chromium, uses it, and prints what is wrong with it.

    browse.py PAGE SCREENSHOTS

Every size and theme in turn: no message on the console, no request that leaves the page, no sideways
scrolling, the slider changes the picture, pointing at the map shows the image, the button changes the
theme. Screenshots go to SCREENSHOTS. Exits with 77 without Chromium, with 1 and a line for
each fault.
"""

import base64
import pathlib
import re
import sys

from browser import DRAWN, SIZES, THEMES, event_faults, layout_faults, opened, shot, show


def at_centre(browser, element):
    """Scrolls to an element and returns its centre in the window."""
    place = browser.run(f"""(() => {{ const e = {element}; e.scrollIntoView({{block: "center"}});
        const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()""")
    browser.run(DRAWN)
    return place


def check(browser, page, size, theme, screenshots):
    wide, touch = size[0], size[0] < 600
    show(browser, page.as_uri(), size, theme)
    faults = layout_faults(browser, size, theme)
    shot(browser, screenshots / f"{wide}-{theme}.png")

    if browser.run("Boolean(document.getElementById('strip-slider'))"):
        before = browser.run("document.getElementById('strip-picture').src")
        place = at_centre(browser, "document.getElementById('strip-slider')")
        browser.mouse("mousePressed", *place, button="left", clickCount=1)
        browser.mouse("mouseReleased", *place, button="left", clickCount=1)
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="End", code="End", windowsVirtualKeyCode=35)
        browser.run(DRAWN)
        after = browser.run("document.getElementById('strip-picture').src")
        last = browser.run("Number(document.getElementById('strip-slider').max)")
        if browser.run("Number(document.getElementById('strip-slider').value)") != last:
            faults.append("the slider does not go to its end")
        if last > 0 and before == after:
            faults.append("the slider does not change the picture")
        browser.run("document.querySelectorAll('.seeds button')[1]?.click()")
        if browser.run("document.querySelectorAll('.seeds button').length") > 1 and browser.run("document.getElementById('strip-picture').src") == after:
            faults.append("another sample has the same picture")
    else:
        faults.append("expected a slider, found none")

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
        faults.append("expected a map, found none")

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
    return faults + event_faults(browser, page.as_uri())


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
    screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    with opened() as browser:
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
    sys.exit(1 if failed else 0)


main()
