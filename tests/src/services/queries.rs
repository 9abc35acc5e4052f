//! The queries of the dashboard and the alerts, and the metrics that they use.

use crate::services::prometheus::deployed;
use serde_json::Value;
use std::collections::BTreeSet;

/// Metrics that Prometheus itself provides.
const OWN: [&str; 2] = ["ALERTS", "up"];

/// A query of the dashboard.
#[derive(Clone, Debug)]
pub struct Query {
    /// Title of the panel.
    pub panel: String,
    /// The query.
    pub expression: String,
}

/// Returns every query of every panel.
///
/// # Panics
/// If the dashboard file is malformed.
pub fn dashboard() -> Vec<Query> {
    let path = deployed("grafana/dashboards/ddpo.json");
    let text = std::fs::read_to_string(path).expect("deploy/ has a dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let queries = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "{panel}");
        let title = panel["title"].as_str().expect("a title").to_owned();
        let text = |target: &Value| target["expr"].as_str().expect("a query").to_owned();
        let query = move |target| Query { panel: title.clone(), expression: text(&target) };
        targets.into_iter().map(query)
    });
    queries.collect()
}

/// Returns the names of the alerts in their file.
///
/// # Panics
/// If the file is missing.
pub fn alerts() -> Vec<String> {
    let text = std::fs::read_to_string(deployed("prometheus/alerts.yml"));
    let text = text.expect("deploy/ has rules");
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// Returns the metrics in an expression, each with its labels. Without them the expression has no result.
pub fn selectors(expression: &str) -> BTreeSet<String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = expression.as_bytes();
    let (mut found, mut at) = (BTreeSet::new(), 0);
    while at < bytes.len() {
        let end = (at..bytes.len()).find(|&index| !word(bytes[index])).unwrap_or(bytes.len());
        let name = &expression[at..end];
        let labels = match expression[end..].starts_with('{') {
            true => expression[end..].split_inclusive('}').next().unwrap_or_default(),
            false => "",
        };
        if name.starts_with("ddpo_") || OWN.contains(&name) {
            found.insert(format!("{name}{labels}"));
        }
        at = end.max(at) + labels.len().max(1);
    }
    found
}

/// Returns the family of a selector's metric; the three metrics of a histogram have one family.
pub fn family(selector: &str) -> &str {
    let name = selector.split('{').next().unwrap_or_default();
    let parts = ["_bucket", "_sum", "_count"];
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

/// Returns the families on a page of metrics.
pub fn families(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expressions_metrics_are_found_with_their_labels() {
        let text = "sum by (up_to, le) (rate(ddpo_stage_seconds_bucket{stage=\"draw\"}[5m])) \
                    / on (job) ddpo_epoch or absent(up{job=\"learner\"})";
        let expected =
            ["ddpo_epoch", "ddpo_stage_seconds_bucket{stage=\"draw\"}", "up{job=\"learner\"}"];
        assert_eq!(selectors(text).into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(family(expected[1]), "ddpo_stage_seconds");
    }
}
