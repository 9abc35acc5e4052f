//! Copies the status of a service to its metrics once a second, so that the Inspector and
//! Prometheus show the same counters.

use crate::health::Health;
use crate::inspector::{Status, StatusSource};
use crate::metrics::Metrics;
use ddpo_inspector::board::Board;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two updates.
const EVERY: Duration = Duration::from_secs(1);

/// Updates the metrics forever.
pub async fn export(metrics: Metrics, health: Health, board: Board, source: Arc<dyn StatusSource>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = BTreeMap::new();
    loop {
        ticks.tick().await;
        let status = source.status();
        gauges(&metrics, &health, &board, &status);
        counters(&metrics, &status, &mut seen);
        source.measure(&metrics);
    }
}

fn gauges(metrics: &Metrics, health: &Health, board: &Board, status: &Status) {
    metrics.process();
    metrics.in_flight.set([status.service], board.in_flight() as f64);
    if let Some((version, _)) = status.weights {
        metrics.policy_version.set([], version.0 as f64);
    }
    if let Some(epoch) = status.epoch {
        metrics.epoch.set([], f64::from(epoch));
    }
    for condition in health.report().conditions {
        metrics.condition.set([condition.name], f64::from(u8::from(condition.met)));
    }
}

/// Adds the increase of each counter since the last update.
fn counters(metrics: &Metrics, status: &Status, seen: &mut BTreeMap<String, u64>) {
    for (name, &now) in &status.counters {
        let before = seen.insert(name.clone(), now).unwrap_or(0);
        let more = now.saturating_sub(before);
        match name.split_once('_') {
            Some(("trajectories", verdict)) => {
                metrics.trajectories.add([status.service, verdict], more);
            }
            Some(("receipts", verdict)) => metrics.trajectories.add(["receipt", verdict], more),
            Some(("orders", outcome)) => metrics.orders.add([outcome], more),
            Some(("scores", "failed")) => metrics.errors.add(["score"], more),
            Some(("scores", "not_finite")) => metrics.rewards_not_finite.add([], more),
            Some(("batches", "failed")) => metrics.errors.add(["batch"], more),
            Some(("stream", "errors")) => metrics.errors.add(["stream"], more),
            Some(("state", "bytes_received")) => metrics.bytes.add([status.service, "in"], more),
            Some(("state", "bytes_sent")) => metrics.bytes.add([status.service, "out"], more),
            _ if name == "reconnects" => metrics.reconnects.add([status.service], more),
            _ if name == "streams" => metrics.peers.set(["sender"], now as f64),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_inspector::board::BoardLimits;

    #[test]
    fn counters_grow_by_their_increase() -> Result<(), Box<dyn std::error::Error>> {
        let metrics = Metrics::new()?;
        let mut seen = BTreeMap::new();
        let mut status = Status { service: "sampler", ..Status::default() };
        for now in [3, 3, 5] {
            status.counters.insert("trajectories_drawn".into(), now);
            status.counters.insert("receipts_accepted".into(), now - 1);
            counters(&metrics, &status, &mut seen);
        }
        let health = Health::new(&["weights"]);
        gauges(&metrics, &health, &Board::new(BoardLimits::default()), &status);
        let text = metrics.text()?;
        for line in [
            "ddpo_trajectories_total{stage=\"sampler\",verdict=\"drawn\"} 5\n",
            "ddpo_trajectories_total{stage=\"receipt\",verdict=\"accepted\"} 4\n",
            "ddpo_condition{condition=\"weights\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        Ok(())
    }
}
