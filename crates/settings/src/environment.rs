//! The environment variables of settings.
//!
//! `DDPO_BATCH_SIZE` sets the run's `batch_size`, `DDPO_SERVICE_REDIS_URL` sets `redis_url` of the table
//! `[service]`. Other variables with the prefix are an error, except the variables of the set-up scripts
//! and the secrets of external reward servers, which must not be written to files of a run.

/// Prefix of the environment variables.
pub const PREFIX: &str = "DDPO_";

/// The token for external reward servers.
pub const REWARD_TOKEN: &str = "DDPO_REWARD_TOKEN";

/// The path of the CA certificates of external reward servers (PEM).
pub const REWARD_CA: &str = "DDPO_REWARD_CA";

/// Variables with the prefix that are not settings: variables of the set-up scripts, the Python interpreter
/// for Weights & Biases, and variables of reward servers.
pub const NO_SETTINGS: [&str; 6] =
    ["DDPO_TORCH", "DDPO_CACHE", "DDPO_VENV", "DDPO_PYTHON", REWARD_TOKEN, REWARD_CA];

/// Returns all variables of the process whose name is Unicode. A value that is not Unicode has replacement
/// characters, which no setting accepts.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    })
}

/// Returns whether Kubernetes set this variable. Kubernetes gives each pod the addresses of all services
/// of its namespace: a service `ddpo-rewarder` sets `DDPO_REWARDER_SERVICE_HOST`,
/// `DDPO_REWARDER_PORT=tcp://...`, `DDPO_REWARDER_PORT_50051_TCP_ADDR` and the like.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let links = value.starts_with("tcp://") || value.starts_with("udp://");
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && links)
        || name.split_once("_PORT_").is_some_and(|(_, rest)| numbered(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_service_variables_of_kubernetes() {
        for (name, value) in [
            ("DDPO_REWARDER_SERVICE_HOST", "10.0.0.1"),
            ("DDPO_REWARDER_SERVICE_PORT", "50051"),
            ("DDPO_REWARDER_SERVICE_PORT_GRPC", "50051"),
            ("DDPO_REWARDER_PORT", "tcp://10.0.0.1:50051"),
            ("DDPO_REWARDER_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for name in ["DDPO_SERVICE_LISTEN", "DDPO_REWARDER_PORT", "DDPO_SERVICE_TOKEN"] {
            assert!(!is_service_link(name, "x"), "{name}");
        }
    }
}
