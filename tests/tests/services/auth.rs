//! Access control: with a token and mutual TLS, every method of every service rejects callers without both,
//! the run works, and no log contains the token.

use ddpo_proto::wire::inspector_client::InspectorClient;
use ddpo_proto::wire::learner_client::LearnerClient;
use ddpo_proto::wire::rewarder_client::RewarderClient;
use ddpo_proto::wire::{
    GetStatusRequest, GetTrajectoryRequest, ListTrajectoriesRequest, TrajectoryFrame,
    WatchTrajectoriesRequest,
};
use ddpo_service::auth::{AuthChannel, ClientAuthSettings};
use ddpo_settings::Secret;
use ddpo_test_tools::needs;
use ddpo_tests::services::certificates::{Authority, Pair};
use ddpo_tests::services::wait::block_on;
use ddpo_tests::services::{Fleet, FleetConfig};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

const TOKEN: &str = "e2e-token-0123456789abcdef";
const WRONG: &str = "e2e-token-0123456789abcdeF";

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A fleet with a token and mutual TLS, valid client credentials, and a certificate of another CA.
struct Guarded {
    fleet: Fleet,
    key: ClientAuthSettings,
    foreign: Pair,
}

fn guarded(config: FleetConfig, token_in_a_file: bool) -> Guarded {
    let folder = TempDir::new().unwrap();
    let ours = Authority::new(folder.path(), "authority of ours");
    let theirs = Authority::new(folder.path(), "authority of theirs");
    let services = ours.sign(folder.path(), "services");
    let key = key(&ours.file, &ours.sign(folder.path(), "client"));
    let (token, environment) = match token_in_a_file {
        true => {
            std::fs::write(folder.path().join("token"), TOKEN).unwrap();
            ("token_file = \"token\"", vec![])
        }
        false => ("", vec![("DDPO_SERVICE_TOKEN".to_owned(), TOKEN.to_owned())]),
    };
    let service = format!(
        "{token}\nlog_filter = \"debug\"\ntls_domain = \"localhost\"\n\
         tls_cert = {:?}\ntls_key = {:?}\ntls_ca = {:?}\ntls_client_ca = {:?}",
        services.certificate, services.key, ours.file, ours.file
    );
    let foreign = theirs.sign(folder.path(), "stranger");
    let config = FleetConfig { service, environment, key: key.clone(), ..config };
    Guarded { fleet: Fleet::in_folder(config, folder), key, foreign }
}

fn key(authority: &Path, pair: &Pair) -> ClientAuthSettings {
    ClientAuthSettings {
        token: Some(Secret::new(TOKEN)),
        tls_ca: Some(authority.into()),
        tls_cert: Some(pair.certificate.clone()),
        tls_key: Some(pair.key.clone()),
        domain: Some("localhost".to_owned()),
        ..ClientAuthSettings::default()
    }
}

/// Returns the first answer of a stream, or its error.
async fn first<T>(stream: Result<tonic::Response<Streaming<T>>, Status>) -> Result<(), Status> {
    stream?.into_inner().message().await.map(drop)
}

/// Calls every method of all services. Returns each answer with the method's name.
async fn every_method(channel: &AuthChannel) -> Vec<(&'static str, Result<(), Status>)> {
    let check = || HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(channel.clone());
    let mut inspector = InspectorClient::new(channel.clone());
    let mut rewarder = RewarderClient::new(channel.clone());
    let mut learner = LearnerClient::new(channel.clone());
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut alpha = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let list = v1::ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let old = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let old = v1alpha::ServerReflectionRequest { message_request: Some(old), ..Default::default() };
    let frames = || tokio_stream::once(TrajectoryFrame::default());
    vec![
        ("Health.Check", health.check(check()).await.map(drop)),
        ("Health.Watch", first(health.watch(check()).await).await),
        ("GetStatus", inspector.get_status(GetStatusRequest {}).await.map(drop)),
        (
            "ListTrajectories",
            inspector.list_trajectories(ListTrajectoriesRequest::default()).await.map(drop),
        ),
        (
            "GetTrajectory",
            inspector.get_trajectory(GetTrajectoryRequest::default()).await.map(drop),
        ),
        (
            "WatchTrajectories",
            inspector.watch_trajectories(WatchTrajectoriesRequest::default()).await.map(drop),
        ),
        (
            "reflection v1",
            first(reflection.server_reflection_info(tokio_stream::once(list)).await).await,
        ),
        (
            "reflection v1alpha",
            first(alpha.server_reflection_info(tokio_stream::once(old)).await).await,
        ),
        ("SubmitTrajectories", first(rewarder.submit_trajectories(frames()).await).await),
        (
            "SubmitScoredTrajectories",
            first(learner.submit_scored_trajectories(frames()).await).await,
        ),
    ]
}

fn answers(key: &ClientAuthSettings, address: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let key = key.open().unwrap();
    block_on(async {
        let channel = key.channel(address).unwrap();
        timeout(ANSWER, every_method(&channel)).await.expect("the service answers")
    })
}

#[test]
fn every_method_rejects_callers_without_token_or_certificate() {
    needs!("redis-server");
    let Guarded { mut fleet, key, foreign } = guarded(FleetConfig::fake(10_000, 16, 50), false);
    fleet.one_of_each();
    fleet.inspector("learner").reaches("trajectories_accepted", 1);
    for name in ["sampler", "rewarder", "learner"] {
        let address = fleet.address(name);
        let address = fleet.url(address);
        // With valid credentials every method answers, so later rejections are not other faults.
        for (method, answer) in answers(&key, &address) {
            let code = answer.err().map(|status| status.code());
            let elsewhere = method.starts_with("Submit") && code == Some(Code::Unimplemented);
            let nothing = method == "GetTrajectory" && code == Some(Code::NotFound);
            assert!(code.is_none() || elsewhere || nothing, "{name}, {method}: {code:?}");
        }
        for token in [None, Some(WRONG)] {
            let stranger = ClientAuthSettings { token: token.map(Secret::new), ..key.clone() };
            for (method, answer) in answers(&stranger, &address) {
                let code = answer.expect_err(method).code();
                assert_eq!(code, Code::Unauthenticated, "{name}, {method}, {token:?}");
            }
        }
        let (tls_cert, tls_key) = (Some(foreign.certificate.clone()), Some(foreign.key.clone()));
        let stranger = ClientAuthSettings { tls_cert, tls_key, ..key.clone() };
        let nobody = ClientAuthSettings { tls_cert: None, tls_key: None, ..key.clone() };
        for stranger in [stranger, nobody] {
            for (method, answer) in answers(&stranger, &address) {
                // TLS rejects the connection before the service answers.
                let status = answer.expect_err(method);
                let codes = [Code::Unavailable, Code::Unknown, Code::Cancelled];
                assert!(codes.contains(&status.code()), "{name}, {method}: {status:?}");
            }
        }
    }
    no_token_in_any_log(&fleet);
}

/// Checks the debug logs of every process for the token.
#[track_caller]
fn no_token_in_any_log(fleet: &Fleet) {
    let logs = fleet.logs();
    for (path, text) in &logs {
        assert!(!text.contains(TOKEN), "the token is in {}", path.display());
    }
    let spoken = logs.iter().filter(|(_, text)| text.contains("\"level\":\"DEBUG\"")).count();
    assert!(spoken >= 3, "expected debug logs of three services");
}

#[test]
fn a_run_with_token_and_mutual_tls_finishes() {
    needs!("redis-server");
    let Guarded { mut fleet, .. } = guarded(FleetConfig::fake(3, 16, 20), true);
    fleet.one_of_each();
    let tls = fleet.service("learner").line("listening").unwrap();
    assert_eq!(tls["tls"], true);
    fleet.finishes("learner");
    assert_eq!(fleet.inspector("sampler").reaches("receipts_accepted", 48), 48);
    assert_eq!(fleet.terminate("sampler").code(), Some(0));
    assert_eq!(fleet.terminate("rewarder").code(), Some(0));
    no_token_in_any_log(&fleet);
}
