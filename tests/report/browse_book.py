"""Opens every page of the built book in headless Chromium, in each size and theme, and prints its faults.

    browse_book.py target/book SCREENSHOTS

Checks for messages on the console, requests that leave the book, sideways scrolling, broken pictures and the colour of
the theme. Screenshots go to SCREENSHOTS. Exits with 77 without Chromium, and with 1 if there is a fault.
"""

import pathlib
import sys

from browser import SIZES, THEMES, event_faults, layout_faults, opened, shot, show


def check(browser, book, page, size, theme, screenshots):
    """Returns the faults of one page."""
    show(browser, page.as_uri(), size, theme)
    faults = layout_faults(browser, size, theme) + event_faults(browser, book.as_uri())
    shot(browser, screenshots / f"{page.stem}-{size[0]}-{theme}.png")
    return [f"{page.name} at {size[0]} {theme}: {fault}" for fault in faults]


def main(book, screenshots):
    book, screenshots = pathlib.Path(book).resolve(), pathlib.Path(screenshots)
    screenshots.mkdir(parents=True, exist_ok=True)
    pages = [page for page in sorted(book.glob("*.html")) if page.name not in ("404.html", "toc.html", "introduction.html")]
    with opened() as browser:
        faults = [
            fault
            for page in pages
            for size in SIZES
            for theme in THEMES
            for fault in check(browser, book, page, size, theme, screenshots)
        ]
    print("\n".join(faults) or f"{len(pages)} pages, {len(SIZES) * len(THEMES)} views each: no fault")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main(*sys.argv[1:])
