#!/usr/bin/env python3
"""Writes the dashboard dashboards/ddpo.json from the table below.

    deploy/grafana/make_dashboard.py           writes the file
    deploy/grafana/make_dashboard.py --check   fails if the file is out of date

tests/tests/services/prometheus.rs runs every query against a running system.
"""

import json
import sys
from pathlib import Path

FILE = Path(__file__).parent / "dashboards" / "ddpo.json"
COLUMNS, WIDTH, HEIGHT = 24, 8, 7
SOURCE = {"type": "prometheus", "uid": "prometheus"}


def rate(metric, window="1m"):
    return f"rate({metric}[{window}])"


def quantile(histogram, by=""):
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile(0.95, sum by ({labels}) ({rate(histogram + '_bucket', '5m')}))"


def mean(histogram, by, labels=""):
    total, count = (rate(f"{histogram}_{part}{labels}", "5m") for part in ("sum", "count"))
    return f"sum by ({by}) ({total}) / sum by ({by}) ({count})"


# Rows of panels: (title, Grafana unit, {legend: query}, description).
TABLE = {
    "Run": [
        ("Reward", "short", {
            "epoch": "ddpo_reward_mean",
            "evaluation": "ddpo_reward_eval_mean",
            "spread": "ddpo_reward_std",
        }, "Means of the last epoch's samples and of the last evaluation; the epoch's standard deviation."),
        ("Epoch", "short", {"epoch": "ddpo_epoch"}, "Epoch at work, from 0."),
        ("Age of the last checkpoint", "s", {
            "age": "time() - ddpo_last_commit_time_seconds",
        }, "The work that would be repeated if the learner died now."),
        ("Ratio gap", "sci", {
            "gap": "ddpo_ratio_gap",
            "tolerance": "ddpo_ratio_tolerance",
        }, "Difference between sampler and learner before an epoch's first update. Above the tolerance the learner stops."),
        ("Clip fraction", "percentunit", {"clipped": "ddpo_clip_fraction"},
         "Share of the ratios that the objective has clipped."),
        ("KL", "short", {"nats per transition": "ddpo_kl_nats"},
         "Mean KL from the pretrained model during the last epoch's updates. Empty without kl_coef and kl_stop."),
        ("Loss", "short", {"loss": "ddpo_loss"}, "Of the last epoch."),
        ("Gradient norm", "short", {"norm": "ddpo_gradient_norm"}, "Before clipping."),
        ("Epochs that teach nothing", "short", {
            "{{cause}}": "ddpo_no_signal",
            "saturated levels": "ddpo_saturated_fraction",
        }, "1 if the last epoch had a constant reward, a zero gradient, or equal or saturated samples."),
        ("Learning rate", "sci", {"rate": "ddpo_learning_rate"}, "Of the last optimizer step."),
    ],
    "Throughput": [
        ("Samples a second, by sampler", "short", {
            "{{instance}}": rate('ddpo_trajectories_total{stage="sampler", verdict="drawn"}'),
        }, "Trajectories drawn in full."),
        ("Scored and accepted a second", "short", {
            "scored {{instance}}": rate('ddpo_trajectories_total{stage="rewarder", verdict="scored"}'),
            "accepted {{instance}}": rate('ddpo_trajectories_total{stage="learner", verdict="accepted"}'),
        }, "By each rewarder; by the learner."),
        ("Optimizer steps a second", "short", {"steps": rate("ddpo_optimizer_steps_total", "5m")},
         "Zero while the learner samples."),
        ("Floating-point operations a second", "short", {"{{stage}} {{instance}}": "ddpo_flops_per_second"},
         "Of a sampler's last batch; of the learner's last update, backward passes included."),
        ("The learner's decisions", "short", {
            "{{verdict}}": 'sum by (verdict) (%s)' % rate(
                'ddpo_trajectories_total{stage="learner", verdict=~"accepted|duplicate|stale|invalid"}'),
        }, "Trajectories a second. Duplicates cost time only."),
        ("Receipts", "short", {
            "{{verdict}} {{instance}}": rate('ddpo_trajectories_total{stage="receipt"}'),
        }, "Receipts a second that a service gets for its trajectories, by verdict."),
        ("Orders", "short", {"{{outcome}} {{instance}}": rate("ddpo_orders_total")},
         "Work orders a second, by outcome. Claimed: taken over from a silent sampler."),
        ("States sent and received", "Bps", {"{{direction}} {{instance}}": rate("ddpo_bytes_total")},
         "Bytes of states over gRPC."),
    ],
    "Queues": [
        ("Queue depth", "short", {"{{queue}} {{instance}}": "ddpo_queue_depth"},
         "awaited, held: samples that the learner waits for, and holds. unanswered: sent without a receipt. "
         "reward_model: images before the model."),
        ("Credits", "short", {"{{stage}} {{instance}}": "ddpo_credits"},
         "Trajectories that may be sent before the next service grants more. At 0 the next service is the bottleneck."),
        ("In flight", "short", {"{{stage}} {{instance}}": "ddpo_in_flight"},
         "Trajectories that a service holds."),
        ("Streams", "short", {"{{instance}}": "ddpo_peers"}, "Senders that are connected."),
        ("Reconnects", "short", {"{{peer}} {{instance}}": "increase(ddpo_reconnects_total[5m])"},
         "Streams reopened in five minutes."),
    ],
    "Weights": [
        ("Policy version", "short", {"{{instance}}": "ddpo_policy_version"},
         "Newest version of the learner; version that each sampler last drew with."),
        ("Staleness", "short", {
            "staleness": "ddpo_staleness_versions",
            "bound": "ddpo_staleness_bound_versions",
        }, "Versions between the weights of the samples and those trained. With max_staleness it equals the bound."),
        ("Weights latency", "s", {
            "loaded, 95 %": quantile("ddpo_weights_fetch_seconds"),
            "published, mean": mean("ddpo_stage_seconds", "stage", '{stage="publish"}'),
        }, "Time from an order with new weights until they are loaded; time to publish weights."),
        ("Weights", "short", {"{{outcome}} {{instance}}": "increase(ddpo_weights_total[5m])"},
         "Sets of weights published and loaded in five minutes."),
    ],
    "Time": [
        ("Time by stage", "percentunit", {"{{stage}} {{instance}}": rate("ddpo_stage_seconds_sum", "5m")},
         "Share of the time that a stage works. A stage near 1 is the bottleneck."),
        ("Duration of a stage, 95 %", "s", {"{{stage}}": quantile("ddpo_stage_seconds", "stage")},
         "draw, score, publish: a batch. sample, train: an epoch."),
        ("Batch size", "short", {"{{stage}}": mean("ddpo_batch_samples", "stage")},
         "Samples that are drawn, or scored, together."),
    ],
    "Machines": [
        ("GPU memory", "bytes", {"{{kind}} {{instance}}": 'ddpo_memory_bytes{kind=~"cuda.*"}'},
         "Memory of tensors on a device, and memory reserved there. Empty without a GPU."),
        ("Resident memory", "bytes", {"{{instance}}": 'ddpo_memory_bytes{kind="resident"}'}, "Of each process."),
        ("Running for", "s", {"{{instance}}": "time() - ddpo_start_time_seconds"}, "A drop is a restart."),
        ("Versions", "short", {"{{service}} {{version}}": "sum by (service, version) (ddpo_build_info)"},
         "Processes by the version of their program."),
    ],
    "Health": [
        ("Up", "bool", {"{{instance}}": "up"}, "Whether Prometheus reaches a process."),
        ("Conditions", "bool", {"{{condition}} {{instance}}": "ddpo_condition"},
         "Conditions of each service's readiness: 1 is met."),
        ("Errors by stage", "short", {"{{stage}} {{instance}}": "increase(ddpo_errors_total[5m])"},
         "In five minutes. store: Redis; auth: a caller without the token."),
        ("Rewards that are not finite", "short", {"{{instance}}": "increase(ddpo_rewards_not_finite_total[5m])"},
         "In five minutes; each was rejected."),
        ("Alerts", "short", {"firing": 'sum(ALERTS{alertstate="firing"}) or vector(0)'},
         "docs/operations.md describes what to do."),
    ],
}


def target(index, legend, query):
    return {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}


def panel(number, place, title, unit, queries, description):
    x, y = place
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"lineWidth": 1, "showPoints": "auto"}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [target(index, *each) for index, each in enumerate(queries.items())],
    }


def panels():
    number, y = 0, 0
    for row, members in TABLE.items():
        number += 1
        yield {"id": number, "type": "row", "title": row, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
        y += 1
        for index, member in enumerate(members):
            number += 1
            x = index * WIDTH % COLUMNS
            yield panel(number, (x, y + index * WIDTH // COLUMNS * HEIGHT), *member)
        y += -(-len(members) * WIDTH // COLUMNS) * HEIGHT


def dashboard():
    return {
        "uid": "ddpo",
        "title": "ddpo",
        "tags": ["ddpo"],
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "schemaVersion": 39,
        "time": {"from": "now-30m", "to": "now"},
        "panels": list(panels()),
    }


def main(arguments):
    text = json.dumps(dashboard(), indent=1) + "\n"
    if arguments == ["--check"]:
        if not FILE.is_file() or FILE.read_text() != text:
            sys.exit(f"{FILE}: out of date; hint: run deploy/grafana/{Path(__file__).name}")
    elif arguments:
        sys.exit(f"expected --check or nothing, found {' '.join(arguments)}")
    else:
        FILE.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
