//! The header `Host` of a request to a loopback port.

use hyper::HeaderMap;
use hyper::header::HOST;
use std::net::IpAddr;

/// Returns whether the header names this machine by an address or as `localhost`, or is absent. Any web
/// page whose name resolves to a loopback address could otherwise read a loopback port (DNS rebinding).
pub fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(HOST) else { return true };
    let Ok(host) = value.to_str() else { return false };
    let is_port = |port: &str| port.chars().all(|digit| digit.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}
