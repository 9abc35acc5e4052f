//! `ddpo health`, the probe of containers, reports the health of a service.

use ddpo_test_tools::needs;
use ddpo_tests::process::{Ended, command};
use ddpo_tests::services::{Fleet, FleetConfig, until};
use std::path::Path;
use std::process::Command;

const TOKEN: &str = "health-token-0123456789";

fn ended(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (code, stdout) = (output.status.code(), text(output.stdout));
    Ended { code, stdout, stderr: text(output.stderr) }
}

/// Runs `ddpo health` with the token in the environment, as in a service's container.
fn health(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = command(folder, &[&["health"], arguments].concat());
    command.env("DDPO_SERVICE_TOKEN", TOKEN);
    ended(command)
}

/// Returns a fleet of test doubles that requires a token.
fn fleet() -> Fleet {
    let environment = vec![("DDPO_SERVICE_TOKEN".to_owned(), TOKEN.to_owned())];
    Fleet::new(FleetConfig { environment, ..FleetConfig::fake(10_000, 16, 50) })
}

#[test]
fn health_reports_whether_a_service_serves() {
    needs!("redis-server");
    let mut fleet = fleet();
    let folder = fleet.folder().to_owned();
    // A learner without Redis answers, but does not serve.
    fleet.redis.kill();
    fleet.learner("learner", &[]);
    let address = fleet.address("learner").to_string();
    assert_eq!(health(&folder, &[&address]).refused(), format!("{address}: not serving"));
    let alive = health(&folder, &[&address, "--live"]).succeeded();
    assert_eq!(alive.stdout, format!("{address}: not serving\n"));
    fleet.redis.start_again();
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    for name in ["learner", "rewarder", "sampler"] {
        let address = fleet.address(name).to_string();
        until(name, || health(&folder, &[&address]).code.filter(|&code| code == 0));
        let said = health(&folder, &[&address]).succeeded();
        assert_eq!(said.stdout, format!("{address}: serving\n"));
    }
    // A service that has exited does neither.
    fleet.service("learner").kill();
    for live in [&[][..], &["--live"]] {
        let gone = health(&folder, &[&[address.as_str()], live].concat());
        assert!(gone.refused().starts_with(&format!("{address}: ")), "{gone}");
    }
}

#[test]
fn a_probe_without_the_token_reports_the_rejection() {
    needs!("redis-server");
    let mut fleet = fleet();
    fleet.learner("learner", &[]);
    let (folder, address) = (fleet.folder().to_owned(), fleet.address("learner").to_string());
    let stranger = ended(command(&folder, &["health", &address, "--live"]));
    let message = stranger.refused();
    assert!(message.starts_with(&format!("{address}: ")) && message.contains("token"), "{message}");
    // The token in a file, by a flag or by the service's environment variable.
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    ended(command(&folder, &["health", &address, "--live", "--token-file=token"])).succeeded();
    let mut by_environment = command(&folder, &["health", &address, "--live"]);
    by_environment.env("DDPO_SERVICE_TOKEN_FILE", "token");
    ended(by_environment).succeeded();
}

#[test]
fn a_probe_of_a_hanging_service_times_out() {
    // Accepts connections without answering.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let refused = health(folder.path(), &[&address, "--live"]);
    assert_eq!(refused.refused(), format!("{address}: no answer within 3s"));
}
