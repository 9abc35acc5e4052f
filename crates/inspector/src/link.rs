//! A service's link to the one that its trajectories go to: how it is reached, and whether it is.

use ddpo_proto::stream::Destination;
use ddpo_proto::uplink::{Backoff, LinkState, Uplink, UplinkSettings};
use ddpo_service::auth::AuthError;
use ddpo_service::health::Health;
use ddpo_service::host::Host;
use ddpo_service::metrics::Metrics;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Longest pause between two attempts to reach the next service: a run stands still meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Settings of an uplink to `addresses` with the host's key.
///
/// # Errors
/// [`AuthError::Address`] for an address that the key does not go with.
pub fn uplink_settings(
    host: &Host,
    destination: Destination,
    addresses: &[String],
) -> Result<UplinkSettings, AuthError> {
    for address in addresses {
        host.client_auth.endpoint(address)?;
    }
    Ok(UplinkSettings {
        tls: host.client_auth.tls().cloned(),
        bearer_token: host.client_auth.token().map(|token| token.expose().to_owned()),
        backoff: Backoff { longest: LONGEST_PAUSE, ..Backoff::default() },
        ..UplinkSettings::new(destination, addresses.to_vec())
    })
}

/// Keeps the health condition `condition` true to the uplink, until the uplink is gone.
pub async fn follow(health: Health, condition: &'static str, mut link: watch::Receiver<LinkState>) {
    loop {
        match &*link.borrow_and_update() {
            LinkState::Up { address } => health.met(condition, format!("connected to {address}")),
            LinkState::Idle => health.met(condition, "nothing to send yet"),
            LinkState::Down { reason, .. } => health.unmet(condition, reason.clone()),
        }
        if link.changed().await.is_err() {
            return;
        }
    }
}

/// Sets the metrics of `service`'s uplink: credits left, and trajectories without a receipt.
pub fn measure(metrics: &Metrics, service: &str, uplink: &Uplink) {
    let credits = uplink.counters().credits.load(Ordering::Relaxed);
    metrics.credits.set([service], credits as f64);
    metrics.queue_depth.set(["unanswered"], *uplink.in_flight().borrow() as f64);
}
