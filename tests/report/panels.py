"""Makes a picture of the dashboard's panels from services that train: `panels.py TARGET FOLDER`.

Starts Redis, a sampler, a rewarder, a learner and Prometheus, waits for the end of a short run, evaluates the queries
of deploy/grafana/dashboards/ddpo.json with Prometheus, and draws the panels named below to FOLDER/dashboard.png. The
data and the queries are those of the dashboard; Grafana itself is not used. TARGET is the folder of the binaries.
Exits with 77 without Chromium.
"""

import contextlib
import html
import json
import pathlib
import re
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from browser import opened, shot, show

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import epochs  # noqa: E402

TITLES = ["Reward", "KL", "Clip fraction", "Samples a second, by sampler", "The learner's decisions", "Time by stage"]
ROLES = ("sampler", "rewarder", "learner")
COLOURS = ["#3b6fb6", "#c2571a", "#2f8a57", "#8a4fa3", "#a38a1f", "#4a9aa8", "#b03a5b", "#777777"]
EPOCHS = 16
WIDTH, HEIGHT = 330, 150
SETTINGS = (
    epochs.SETTINGS.replace(f"num_epochs = {epochs.EPOCHS}", f"num_epochs = {EPOCHS}")
    .replace("eval_every_each_epoch = 100", "eval_every_each_epoch = 4")
    .replace("num_eval_samples = 16", "num_eval_samples = 32")
    + "kl_coef = 0.08\n"
)


def recorded_panels(target):
    """Trains with services that Prometheus scrapes; returns (title, unit, series) of each panel."""
    with tempfile.TemporaryDirectory(prefix="ddpo-panels-") as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        names = ["redis", *ROLES, *(f"{role} metrics" for role in ROLES), "prometheus"]
        ports = dict(zip(names, epochs.free_ports(len(names))))
        (folder / "run.toml").write_text(epochs.settings_of_services(SETTINGS, ports))
        (folder / "prometheus.yml").write_text(scrape_configuration(ports))
        epochs.start(stack, epochs.redis(ports), folder, "redis")
        prometheus = f"127.0.0.1:{ports['prometheus']}"
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={prometheus}"]
        epochs.start(stack, command, folder, "prometheus")
        epochs.await_port(ports["prometheus"])
        started = time.time()
        for role in ROLES:
            command = epochs.service(target, role, ports) + [f"--metrics-listen=127.0.0.1:{ports[f'{role} metrics']}"]
            run = epochs.start(stack, command + (["--output-dir", "run"] if role == "learner" else []), folder, role)
        epochs.epoch_seconds(run, folder, EPOCHS)
        return [panel(prometheus, title, started, time.time()) for title in TITLES]


def scrape_configuration(ports):
    """Returns a configuration like that of deploy/prometheus, with a scrape each second."""
    jobs = [
        {"job_name": role, "static_configs": [{"targets": [f"127.0.0.1:{ports[f'{role} metrics']}"], "labels": {"instance": role}}]}
        for role in ROLES
    ]
    return json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})


def panel(prometheus, title, start, end):
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/ddpo.json").read_text())
    found = next(panel for panel in dashboard["panels"] if panel["title"] == title)
    series = []
    for query in found["targets"]:
        for labels, points in query_range(prometheus, query["expr"], start, end):
            series.append((legend(query["legendFormat"], labels), points))
    return title, found["fieldConfig"]["defaults"].get("unit", "short"), series


def query_range(prometheus, expression, start, end):
    """Yields the labels and the (second, value) pairs of each series of a query."""
    query = urllib.parse.urlencode({"query": expression, "start": start, "end": end, "step": 1})
    with urllib.request.urlopen(f"http://{prometheus}/api/v1/query_range?{query}", timeout=30) as answer:
        for one in json.load(answer)["data"]["result"]:
            points = [(second - start, float(value)) for second, value in one["values"]]
            yield one["metric"], [(second, value) for second, value in points if value == value]


def legend(form, labels):
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), form).strip()


def drawn(title, unit, series):
    """Returns a panel as HTML: title, plot, legend."""
    series = [(name, points) for name, points in series if points]
    if not series:
        sys.exit(f"panel {title!r}: Prometheus has no data for it")
    seconds = max(second for _, points in series for second, _ in points)
    values = [value for _, points in series for _, value in points]
    low, high = min(values), max(values)
    low, high = (low - 1, high + 1) if low == high else (low, high)
    lines = []
    for (name, points), colour in zip(series, COLOURS):
        path = " ".join(
            f"{WIDTH * second / seconds:.1f},{HEIGHT * (high - value) / (high - low):.1f}" for second, value in points
        )
        lines.append(f'<polyline points="{path}" stroke="{colour}"/>')
    keys = "".join(f'<li style="--c:{colour}">{html.escape(name)}</li>' for (name, _), colour in zip(series, COLOURS))
    return (
        f"<section><h2>{html.escape(title)}</h2><div class=plot><span>{value_of(high, unit)}</span>"
        f'<span class=low>{value_of(low, unit)}</span><svg viewBox="-2 -4 {WIDTH + 4} {HEIGHT + 8}">{"".join(lines)}</svg>'
        f"</div><p>{seconds:.0f} s</p><ul>{keys}</ul></section>"
    )


def value_of(value, unit):
    return f"{100 * value:.0f} %" if unit == "percentunit" else f"{value:.3g}"


STYLE = """
body { margin: 0; padding: 14px; background: #f4f5f5; font: 13px/1.35 system-ui, sans-serif; color: #24292e;
  display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px }
section { background: #fff; border: 1px solid #dcdfe2; border-radius: 3px; padding: 8px 12px }
h2 { font-size: 13px; font-weight: 600; margin: 0 0 8px }
.plot { position: relative; padding-left: 46px }
.plot span { position: absolute; left: 0; top: 0; color: #6a737d; font-size: 11px }
.plot .low { top: auto; bottom: 4px }
svg { width: 100%; border-left: 1px solid #dcdfe2; border-bottom: 1px solid #dcdfe2 }
polyline { fill: none; stroke-width: 1.6 }
p { margin: 0; text-align: right; color: #6a737d; font-size: 11px }
ul { list-style: none; margin: 6px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12px }
li::before { content: ""; display: inline-block; width: 12px; height: 3px; margin: 0 6px 3px 0; background: var(--c) }
"""


def main(target, folder):
    with opened() as browser, tempfile.TemporaryDirectory() as pages:
        body = "".join(drawn(*one) for one in recorded_panels(pathlib.Path(target).resolve()))
        page = pathlib.Path(pages, "panels.html")
        page.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{body}")
        show(browser, page.as_uri(), (1160, 512), "light")
        shot(browser, pathlib.Path(folder, "dashboard.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
