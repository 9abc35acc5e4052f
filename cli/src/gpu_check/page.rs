//! Renders the findings as one page.

use super::findings::{Findings, Speed};
use anyhow::Result;
use askama::Template;

#[derive(Template)]
#[template(path = "gpu_check.html")]
struct Page<'a> {
    findings: &'a Findings,
    failed: usize,
    rows: Vec<Row<'a>>,
}

/// A row of the table of measurements.
struct Row<'a> {
    speed: &'a Speed,
    milliseconds: String,
    images: String,
    rate: String,
    share: String,
    memory: String,
}

pub fn html(findings: &Findings) -> Result<String> {
    let page = Page {
        findings,
        failed: findings.failed().count(),
        rows: findings.speeds.iter().map(row).collect(),
    };
    Ok(page.render()?)
}

fn row(speed: &Speed) -> Row<'_> {
    let shown = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    Row {
        speed,
        milliseconds: shown(speed.milliseconds, 2),
        images: shown(speed.images_per_second, 1),
        rate: shown(speed.flops_per_second.map(|rate| rate * 1e-12), 3),
        share: shown(speed.share_of_peak.map(|share| share * 100.0), 0),
        memory: shown(speed.peak_memory.map(|bytes| bytes as f64 / f64::from(1 << 30)), 2),
    }
}
