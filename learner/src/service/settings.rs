//! The table `[learner]`.

use ddpo_broadcast::manifest::WireDtype;
use ddpo_dashboard::PORT;
use ddpo_settings::Range;
use std::net::SocketAddr;
use std::time::Duration;

ddpo_settings::settings! {
    /// Settings of the learner, besides the run's settings.
    pub struct LearnerSettings;
    values {
        /// Seconds that the lease lasts without renewal; then a standby takes over
        lease_seconds: f64 = 10.0;
        /// Longest time without any trajectory while samples are missing (seconds)
        stall_seconds: f64 = 1800.0;
        /// How long to retry while Redis is unreachable (seconds)
        redis_patience_seconds: f64 = 120.0;
        /// Type that weights are sent in: f32, or bf16 if dtype is bf16
        weights_dtype: WireDtype = WireDtype::F32;
        /// Trajectories that one rewarder may have open or unanswered
        credits_per_rewarder: u32 = 32;
        /// Largest number of connected rewarders
        max_rewarders: usize = 64;
        /// Services that the live page polls, as http://host:port; a host name stands for all its addresses
        dashboard_watch: Vec<String> = Vec::new();
    }
    optional {
        /// Address to serve the live page of the run on, with the same token and TLS (default: not served)
        dashboard_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], PORT));
    }
    switches {
        /// Wait while another learner holds the lease, instead of ending with an error
        standby;
        /// After the run, keep serving until a signal stops the process, for supervisors that
        /// restart a finished process
        stay;
    }
    ranges {
        lease_seconds = Range::Between(0.1, 3600.0);
        stall_seconds = Range::Between(1.0, 1e9);
        redis_patience_seconds = Range::Between(1.0, 1e9);
        credits_per_rewarder = Range::Whole(1, 1024);
        max_rewarders = Range::Whole(1, 1024);
    }
}

impl LearnerSettings {
    /// Returns how long the lease lasts without renewal.
    pub fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.lease_seconds)
    }

    /// Returns how long a learner without `standby` waits for the lease: long enough for the lease
    /// of a killed learner to lapse.
    pub fn patience(&self) -> Duration {
        self.lease() + Duration::from_secs(2)
    }

    /// Returns the longest time without any trajectory.
    pub fn stall(&self) -> Duration {
        Duration::from_secs_f64(self.stall_seconds)
    }

    /// Returns how long to retry while Redis is unreachable.
    pub fn redis_patience(&self) -> Duration {
        Duration::from_secs_f64(self.redis_patience_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_settings::numbers::incomplete;

    #[test]
    fn every_number_has_a_range() {
        assert_eq!(incomplete::<LearnerSettings>(), Vec::<String>::new());
    }
}
