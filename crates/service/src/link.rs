//! The link of a service to the next service: settings, health and metrics of its uplink.

use crate::auth::{AuthError, ClientAuth};
use crate::health::Health;
use crate::metrics::Metrics;
use ddpo_delivery::destination::Destination;
use ddpo_delivery::uplink::{Backoff, LinkState, Uplink, UplinkSettings};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Longest pause between attempts to reach the next service; the run waits meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Returns the settings of an uplink to `addresses`.
///
/// # Errors
/// [`AuthError::Address`] names an address that does not match `auth`.
pub fn uplink_settings(
    auth: &ClientAuth,
    destination: Destination,
    addresses: &[String],
) -> Result<UplinkSettings, AuthError> {
    for address in addresses {
        auth.endpoint(address)?;
    }
    Ok(UplinkSettings {
        tls: auth.tls().cloned(),
        bearer_token: auth.token().map(|token| token.expose().to_owned()),
        backoff: Backoff { longest: LONGEST_PAUSE, ..Backoff::default() },
        ..UplinkSettings::new(destination, addresses.to_vec())
    })
}

/// Sets the health condition `condition` from the state of the uplink, until the uplink is closed.
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
