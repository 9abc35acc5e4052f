//! The table `[learner]`.

use ddpo_broadcast::manifest::WireDtype;
use ddpo_dashboard::PORT;
use std::net::SocketAddr;
use std::time::Duration;

ddpo_settings::settings! {
    /// What the learner alone has, besides the run's settings.
    pub struct LearnerSettings;
    values {
        /// How long the lease lasts without renewal (seconds); a standby takes over after that
        lease_seconds: f64 = 10.0;
        /// Longest time without any trajectory while some are waited for (seconds)
        stall_seconds: f64 = 1800.0;
        /// Longest time that Redis may be unreachable (seconds)
        redis_patience_seconds: f64 = 120.0;
        /// Type that weights travel in: f32, or bf16 where dtype is bf16
        weights_dtype: WireDtype = WireDtype::F32;
        /// Trajectories that one rewarder may have open or unanswered
        credits_per_rewarder: u32 = 32;
        /// Rewarders at one time
        max_rewarders: usize = 64;
        /// Services that the live page asks and watches, as http://host:port; a name stands for all its addresses
        dashboard_watch: Vec<String> = Vec::new();
    }
    optional {
        /// Address that the live page of the run is served on, with the same token and TLS; none without it
        dashboard_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], PORT));
    }
    switches {
        /// Wait while another learner holds the lease, instead of ending with an error
        standby;
        /// After the run, go on answering for it until asked to stop, for where what ends is started again
        stay;
    }
}

impl LearnerSettings {
    /// How long the lease lasts without renewal.
    pub fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.lease_seconds.clamp(0.1, 3600.0))
    }

    /// How long a learner that is no standby waits for the one before it: a killed one's lease has
    /// lapsed by then.
    pub fn patience(&self) -> Duration {
        self.lease() + Duration::from_secs(2)
    }

    /// Longest time without any trajectory.
    pub fn stall(&self) -> Duration {
        Duration::from_secs_f64(self.stall_seconds.clamp(1.0, 1e9))
    }

    /// Longest time that Redis may be unreachable.
    pub fn redis_patience(&self) -> Duration {
        Duration::from_secs_f64(self.redis_patience_seconds.clamp(1.0, 1e9))
    }
}
