//! The table `[service]`, which the three services share.

use ddpo_settings::{Range, SecretUrl};
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
    /// One JSON object per line.
    Json,
}

ddpo_settings::settings! {
    /// Settings shared by the three services. Each program sets its default ports.
    pub struct ServiceSettings;
    values {
        /// Address to serve gRPC on
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 50051));
        /// Address to serve /metrics, /healthz and /readyz on, without token and TLS
        metrics_listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9464));
        /// Name of the run; services with the same name work together
        run_id: String = "default".into();
        /// text or json
        log_format: LogFormat = LogFormat::Text;
        /// Filter of the logs: a level, or a list such as info,ddpo_sampler=debug
        log_filter: String = "info".into();
        /// Longest time to finish after SIGTERM (seconds)
        grace_period_seconds: u32 = 25;
        /// Largest number of connections of the gRPC port, at most half of the limit of open files
        max_connections: usize = 1024;
    }
    optional {
        /// File with the token, instead of the variable DDPO_SERVICE_TOKEN
        token_file: PathBuf = PathBuf::new();
        /// File with the password of Redis, instead of one in redis_url
        redis_password_file: PathBuf = PathBuf::new();
        /// Certificate chain of this service (PEM), used as server and as client
        tls_cert: PathBuf = PathBuf::new();
        /// Private key of that certificate (PEM)
        tls_key: PathBuf = PathBuf::new();
        /// Certificate authorities of the clients (PEM); enables mutual TLS
        tls_client_ca: PathBuf = PathBuf::new();
        /// Certificate authorities of the other services (PEM)
        tls_ca: PathBuf = PathBuf::new();
        /// Name in the other services' certificates (default: the host of the address)
        tls_domain: String = String::new();
        /// Collector for traces and metrics (OTLP over gRPC), such as http://127.0.0.1:4317
        otlp_endpoint: String = String::new();
        /// Name of this worker (default: host name and process id)
        worker_id: String = String::new();
    }
    switches {
        /// Serve a network address without token and TLS, and send tokens without TLS
        insecure;
    }
    urls {
        /// Redis, as redis:// or rediss:// (TLS), or unix:// and a socket; a password in it is not logged
        redis_url = SecretUrl::local("redis", 6379);
    }
    secrets {
        /// Token that callers must present; also presented to the other services
        token;
    }
    ranges {
        grace_period_seconds = Range::Whole(0, 86_400);
        max_connections = Range::Whole(1, 65_536);
    }
}

impl ServiceSettings {
    /// Returns the longest duration of the drain.
    pub fn grace_period(&self) -> Duration {
        Duration::from_secs(self.grace_period_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_settings::numbers::incomplete;

    #[test]
    fn every_number_has_a_range() {
        assert_eq!(incomplete::<ServiceSettings>(), Vec::<String>::new());
    }
}
