"""Fetches one wheel from a package index. Uses only the standard library, because a bare Python has no pip.

    fetch_wheel.py NAME FOLDER TAG SHA256...
    fetch_wheel.py --index      prints the index in pip's configuration, if any

Downloads the file of the project NAME whose name matches TAG (such as manylinux.*x86_64) and whose SHA-256 is given,
checks its digest, and prints its path in FOLDER. The index is UV_DEFAULT_INDEX, PIP_INDEX_URL, the index in pip's
configuration, or PyPI.
"""

import configparser
import hashlib
import html.parser
import os
import pathlib
import re
import ssl
import sys
import time
import urllib.parse
import urllib.request

ATTEMPTS = 3
SLOW = 20 << 20
CONFIGS = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def configured(key):
    """Returns a value of pip's configuration files; later files win."""
    found = None
    paths = [os.path.expanduser(path) for path in CONFIGS] + [os.environ.get("PIP_CONFIG_FILE", "")]
    for path in filter(os.path.isfile, paths):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        config.read(path)
        found = config.get("global", key, fallback=found)
    return found


def index():
    chosen = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or configured("index-url")
    return (chosen or "https://pypi.org/simple").rstrip("/")


def certificates():
    chosen = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT") or configured("cert")
    return ssl.create_default_context(cafile=chosen)


class Links(html.parser.HTMLParser):
    """The links of an index page (PEP 503)."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        target = dict(attributes).get("href")
        if tag == "a" and target:
            self.found.append(target)


def opened(url):
    """Opens an address. Sends a user name and password in it as a header."""
    parts = urllib.parse.urlsplit(url)
    headers = {"User-Agent": "ddpo-setup", "Accept": "text/html"}
    if parts.username:
        import base64

        pair = ":".join(urllib.parse.unquote(text or "") for text in (parts.username, parts.password))
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.urlopen(request, timeout=60, context=certificates())


def wheel_link(name, tag, digests):
    page = f"{index()}/{re.sub(r'[-_.]+', '-', name).lower()}/"
    with opened(page) as answer:
        links = Links()
        links.feed(answer.read().decode())
        base = answer.geturl()
    for link in links.found:
        address, _, fragment = link.partition("#")
        digest = fragment.removeprefix("sha256=")
        if digest in digests and re.search(tag, address):
            # Some indexes return links without the credentials of the request.
            target = urllib.parse.urljoin(base, address)
            asked, found = urllib.parse.urlsplit(page), urllib.parse.urlsplit(target)
            if asked.username and not found.username and asked.hostname == found.hostname:
                target = found._replace(netloc=asked.netloc).geturl()
            return target, digest
    sys.exit(f"fetch_wheel: error: {name}: expected a wheel for {tag} with a pinned SHA-256, found none in the index")


def fetch(url, digest, folder):
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
    path, hashed, done, told = folder / name, hashlib.sha256(), 0, float("-inf")
    with opened(url) as answer, open(path, "wb") as sink:
        size = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(1 << 20):
            sink.write(block)
            hashed.update(block)
            done += len(block)
            if size > SLOW and time.monotonic() > told + 5:
                told = time.monotonic()
                print(f"fetch_wheel: {name}: {done >> 20} of {size >> 20} MB", file=sys.stderr, flush=True)
    if hashed.hexdigest() != digest:
        raise OSError(f"{name}: expected SHA-256 {digest}, found {hashed.hexdigest()}")
    return path


def main(name, folder, tag, *digests):
    for attempt in range(ATTEMPTS):
        try:
            url, digest = wheel_link(name, tag, digests)
            print(fetch(url, digest, pathlib.Path(folder)))
            return
        except OSError as error:
            failure = error
            time.sleep(attempt)
    sys.exit(f"fetch_wheel: error: {name}: {failure}")


if sys.argv[1:] == ["--index"]:
    print(configured("index-url") or "")
else:
    main(*sys.argv[1:])
