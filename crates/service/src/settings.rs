//! The table `[service]`: settings that the three services share.

use ddpo_settings::SecretUrl;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Format of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

ddpo_settings::settings! {
    /// Settings that the three services share. A binary sets its own default ports.
    pub struct ServiceSettings;
    values {
        /// Address that gRPC is served on
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 50051));
        /// Address that /metrics, /healthz and /readyz are served on, without token and TLS
        metrics_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9464));
        /// Name of the run; services with the same name work together
        run_id: String = "default".into();
        /// text or json
        log_format: LogFormat = LogFormat::Text;
        /// Which logs are written: a level, or a list such as info,ddpo_sampler=debug
        log_filter: String = "info".into();
        /// Longest time that finishing may take after SIGTERM (seconds)
        grace_period_seconds: u32 = 25;
    }
    optional {
        /// File that holds the token, in place of the environment's DDPO_SERVICE_TOKEN
        token_file: PathBuf = PathBuf::new();
        /// File that holds Redis's password, in place of one in redis_url
        redis_password_file: PathBuf = PathBuf::new();
        /// Certificate chain of this service (PEM), for its server and for its clients
        tls_cert: PathBuf = PathBuf::new();
        /// Private key of that certificate (PEM)
        tls_key: PathBuf = PathBuf::new();
        /// Authorities whose certificates clients have to show (PEM); mutual TLS with it
        tls_client_ca: PathBuf = PathBuf::new();
        /// Authorities that the other services' certificates come from (PEM)
        tls_ca: PathBuf = PathBuf::new();
        /// Name in the other services' certificates; by default the host of their address
        tls_domain: String = String::new();
        /// Collector for traces and metrics (OTLP over gRPC), such as http://127.0.0.1:4317
        otlp_endpoint: String = String::new();
        /// Name of this worker; host name and process id by default
        worker_id: String = String::new();
    }
    switches {
        /// Serve an address of the network without token and TLS, and send tokens without TLS
        insecure;
    }
    urls {
        /// Redis, as redis:// or rediss:// (TLS); a password in it is not shown
        redis_url = SecretUrl::local("redis", 6379);
    }
    secrets {
        /// Token that callers have to present, and that is presented to the other services
        token;
    }
}

impl ServiceSettings {
    /// Returns the longest time of the drain.
    pub fn grace_period(&self) -> Duration {
        Duration::from_secs(self.grace_period_seconds.into())
    }
}
