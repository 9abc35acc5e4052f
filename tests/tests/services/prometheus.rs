//! Dashboard and alerts with a real Prometheus that scrapes a real run: every query has a result and uses
//! only metrics that the services export.

use ddpo_test_tools::needs;
use ddpo_tests::services::prometheus::{Prometheus, deployed};
use ddpo_tests::services::queries::{self, Query};
use ddpo_tests::services::{Fleet, FleetConfig, toy, until};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The selector of the panel for GPU memory. Without a GPU, the test queries another kind of the family.
const GPU: &str = "kind=~\"cuda.*\"";

const SERVICES: [&str; 4] = ["learner", "rewarder", "sampler-1", "sampler-2"];

/// Starts the toy run without an end, with the settings that all metrics need.
fn fleet() -> Fleet {
    let more = "kl_coef = 0.01\nmax_staleness = 1\nobjective = \"decoupled\"\n";
    let run = toy::RUN.replace("num_epochs = 3", "num_epochs = 100000") + more;
    let mut fleet = Fleet::new(FleetConfig { run, ..FleetConfig::default() });
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler-1");
    fleet.sampler("sampler-2");
    fleet
}

fn has_gpu() -> bool {
    ddpo_kernels::runtime::cuda().devices.is_ok()
}

/// Returns the queries of dashboard and alerts, adapted to a machine without GPU.
fn expressions() -> Vec<Query> {
    let mut all = queries::dashboard();
    for query in &mut all {
        if !has_gpu() {
            query.expression = query.expression.replace(GPU, "kind=\"resident\"");
        }
    }
    all
}

/// Returns the metrics that the services export after an evaluation with trained weights.
fn exported(fleet: &mut Fleet) -> BTreeSet<String> {
    toy::saved(fleet.folder(), 2);
    let mut families = BTreeSet::new();
    for name in SERVICES {
        families.extend(queries::families(&fleet.metrics(name)));
    }
    families
}

#[test]
fn every_query_of_dashboard_and_alerts_has_a_result() {
    needs!("redis-server");
    let mut fleet = fleet();
    let families = exported(&mut fleet);
    let rules = std::fs::read_to_string(deployed("prometheus/alerts.yml")).expect("rules");
    let asked: Vec<Query> = expressions();
    let asked_for = asked.iter().flat_map(|query| queries::selectors(&query.expression));
    let asked_for: BTreeSet<String> = asked_for.chain(queries::selectors(&rules)).collect();
    let asked_for: BTreeSet<String> =
        asked_for.iter().map(|selector| queries::family(selector).to_owned()).collect();
    let own = |name: &&String| name.starts_with("ddpo_");
    let unknown: Vec<_> =
        asked_for.iter().filter(own).filter(|name| !families.contains(*name)).collect();
    assert!(unknown.is_empty(), "no service exports {unknown:?}");
    let unused: Vec<_> = families.difference(&asked_for).collect();
    assert!(unused.is_empty(), "no panel or alert uses {unused:?}");
    needs!("prometheus", "promtool");

    let mut targets: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for name in SERVICES {
        let job = name.split('-').next().unwrap_or(name);
        targets.entry(job).or_default().push(fleet.service(name).addresses.metrics);
    }
    let prometheus = Prometheus::start(fleet.folder(), &targets);
    for Query { panel, expression } in &asked {
        until(&format!("an answer to {expression} of the panel {panel:?}"), || {
            let values = prometheus.query(expression);
            values.iter().any(|value| !value.is_nan()).then_some(())
        });
    }
    let rules = until("all rules to be evaluated", || {
        let rules = prometheus.rules();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    let named: Vec<&str> = rules.iter().filter_map(|rule| rule["name"].as_str()).collect();
    assert_eq!(named, queries::alerts());
    let mut selectors = BTreeSet::new();
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_eq!(rule["state"], "inactive", "fires in a run without faults: {rule}");
        selectors.extend(queries::selectors(rule["query"].as_str().unwrap_or_default()));
    }
    for selector in &selectors {
        until(&format!("series of {selector}"), || {
            (!prometheus.query(selector).is_empty()).then_some(())
        });
    }
    // A rate needs two scrapes.
    until("one series for each sampler", || {
        let rate = "sum by (instance) (rate(ddpo_trajectories_total{stage=\"sampler\"}[1m]))";
        (prometheus.query(rate).len() == 2).then_some(())
    });
    let panels: BTreeSet<&str> = asked.iter().map(|query| query.panel.as_str()).collect();
    println!(
        "measured: {} panels with {} queries answered; {} alerts evaluated, their {} selectors \
         found; {} families exported, all of them shown; GPU memory asked for as {}",
        panels.len(),
        asked.len(),
        rules.len(),
        selectors.len(),
        families.len(),
        if has_gpu() { GPU } else { "kind=\"resident\": this machine has no GPU" },
    );
}

fn promtool(arguments: &[&str]) -> String {
    let mut command = Command::new("promtool");
    let ended = command.args(arguments).output().expect("promtool is installed");
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(ended.status.success(), "promtool {arguments:?}: {}", said.concat());
    said.concat()
}

fn path(name: &str) -> String {
    deployed(name).display().to_string()
}

#[test]
fn promtool_accepts_the_configuration_and_the_cases_of_every_alert() {
    let cases = std::fs::read_to_string(deployed("prometheus/alerts.test.yml")).expect("cases");
    let cases: Vec<&str> = cases.split("  - name: ").skip(1).collect();
    for alert in queries::alerts() {
        let about = |case: &&&str| case.contains(&format!("alertname: {alert}"));
        let of_it: Vec<_> = cases.iter().filter(about).collect();
        let quiet = |case: &&str| !case.contains("exp_labels");
        assert!(of_it.iter().any(|case| !quiet(case)), "no case in which {alert} fires");
        assert!(of_it.iter().any(|case| quiet(case)), "no case in which {alert} does not fire");
    }
    needs!("prometheus", "promtool");
    promtool(&["check", "config", &path("prometheus/prometheus.yml")]);
    promtool(&["check", "rules", &path("prometheus/alerts.yml")]);
    promtool(&["test", "rules", &path("prometheus/alerts.test.yml")]);
    println!("measured: {} alerts in {} cases", queries::alerts().len(), cases.len());
}

#[test]
fn the_dashboard_file_is_current() {
    let mut command = Command::new("python3");
    let ended = command.arg(deployed("grafana/make_dashboard.py")).arg("--check").output();
    let ended = ended.expect("python3 is installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn every_alert_has_a_heading_in_the_operations_guide() {
    let guide = deployed("../docs/operations.md");
    let guide = std::fs::read_to_string(guide).expect("docs/operations.md");
    let headings = guide.lines().filter_map(|line| line.strip_prefix("### Ddpo"));
    let headings: Vec<String> = headings.map(|rest| format!("Ddpo{rest}")).collect();
    assert_eq!(headings, queries::alerts());
    let rules = std::fs::read_to_string(deployed("prometheus/alerts.yml")).expect("rules");
    for alert in queries::alerts() {
        let link = format!("runbook: docs/operations.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert}: no {link}");
    }
}
