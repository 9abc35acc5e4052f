//! Tests of authentication: the token on every method, TLS, and certificates of the right
//! authority.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod certificates;
mod serving;

use certificates::{Authority, Pair};
use ddpo_service::auth::{ClientAuth, ClientAuthSettings, ServerAuthSettings};
use ddpo_settings::Secret;
use serving::{LONG, TOKEN, check, serve, settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

fn key(token: Option<&str>) -> ClientAuth {
    ClientAuthSettings { token: token.map(Secret::new), ..ClientAuthSettings::default() }
        .open()
        .unwrap()
}

fn reflection_request() -> tokio_stream::Once<ServerReflectionRequest> {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request })
}

#[tokio::test]
async fn accepts_the_token_on_every_method() {
    let running = serve(&settings()).await;
    let address = format!("http://{}", running.address);
    let key = key(Some(TOKEN));
    assert_eq!(check(&key, &address, "").await.unwrap(), ServingStatus::NotServing);
    running.health.met("weights", "version 1");
    let named = check(&key, &address, "ddpo.v1.Trajectories").await.unwrap();
    assert_eq!(named, ServingStatus::Serving);
    assert_eq!(check(&key, &address, "another").await.unwrap_err().code(), Code::NotFound);
    let mut client = ServerReflectionClient::new(key.channel(&address).unwrap());
    let mut answers =
        client.server_reflection_info(reflection_request()).await.unwrap().into_inner();
    assert!(tokio::time::timeout(LONG, answers.message()).await.unwrap().unwrap().is_some());
    assert!(!running.metrics.text().unwrap().contains("ddpo_errors_total"));
}

#[tokio::test]
async fn rejects_every_method_without_the_token() {
    let running = serve(&settings()).await;
    let address = format!("http://{}", running.address);
    for token in [None, Some("0123456789abcdef-HUSH")] {
        let key = key(token);
        let status = check(&key, &address, "").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let mut client = HealthClient::new(key.channel(&address).unwrap());
        let request = HealthCheckRequest { service: String::new() };
        let status = client.watch(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let mut client = ServerReflectionClient::new(key.channel(&address).unwrap());
        let status = client.server_reflection_info(reflection_request()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let metrics = running.metrics.text().unwrap();
    assert!(metrics.contains("ddpo_errors_total{stage=\"auth\"} 6"), "{metrics}");
}

#[tokio::test]
async fn unknown_methods_reveal_nothing_without_the_token() {
    let running = serve(&settings()).await;
    let address = format!("http://{}", running.address);
    for (token, expected) in [(None, Code::Unauthenticated), (Some(TOKEN), Code::Unimplemented)] {
        let mut client = tonic::client::Grpc::new(key(token).channel(&address).unwrap());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
        let path = "/ddpo.v1.Nothing/Nothing".parse().unwrap();
        let request = Request::new(HealthCheckRequest { service: String::new() });
        let status = client.unary(request, path, codec).await.unwrap_err();
        assert_eq!(status.code(), expected);
    }
}

#[tokio::test]
async fn watchers_see_changes_and_end_with_the_drain() {
    let running = serve(&settings()).await;
    let address = format!("http://{}", running.address);
    let mut client = HealthClient::new(key(Some(TOKEN)).channel(&address).unwrap());
    let request = HealthCheckRequest { service: String::new() };
    let mut answers = client.watch(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    let watching = async {
        while let Some(answer) = answers.message().await.unwrap() {
            seen.push(answer.status());
            match seen.len() {
                1 => running.health.met("weights", "version 1"),
                2 => running.health.drain(),
                _ => {}
            }
        }
    };
    tokio::time::timeout(LONG, watching).await.unwrap();
    use ServingStatus::{NotServing, Serving};
    assert_eq!(seen, [NotServing, Serving, NotServing]);
    running.shutdown.request();
    tokio::time::timeout(LONG, running.ended).await.unwrap().unwrap();
}

struct Files {
    folder: tempfile::TempDir,
    ours: Authority,
    theirs: Authority,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ddpo authority");
    let theirs = Authority::new(folder.path(), "another authority");
    Files { folder, ours, theirs }
}

impl Files {
    fn server(&self) -> ServerAuthSettings {
        let pair = self.ours.sign(self.folder.path(), "server");
        ServerAuthSettings {
            tls_cert: Some(pair.certificate),
            tls_key: Some(pair.key),
            tls_client_ca: Some(self.ours.file.clone()),
            ..settings()
        }
    }

    fn client(&self, authority: &Path, pair: Option<Pair>) -> ClientAuth {
        let (tls_cert, tls_key) =
            pair.map_or((None, None), |pair| (Some(pair.certificate), Some(pair.key)));
        let tls_ca = Some(authority.to_owned());
        let token = Some(Secret::new(TOKEN));
        let domain = Some("localhost".to_owned());
        let auth = ClientAuthSettings {
            token,
            tls_ca,
            tls_cert,
            tls_key,
            domain,
            ..ClientAuthSettings::default()
        };
        auth.open().unwrap()
    }
}

#[tokio::test]
async fn mutual_tls_accepts_only_the_right_authority() {
    let files = files();
    let running = serve(&files.server()).await;
    let address = format!("https://{}", running.address);
    let ours = files.ours.sign(files.folder.path(), "client");
    let key = files.client(&files.ours.file, Some(ours));
    assert_eq!(check(&key, &address, "").await.unwrap(), ServingStatus::NotServing);

    let theirs = files.theirs.sign(files.folder.path(), "stranger");
    let strangers = [
        files.client(&files.ours.file, Some(theirs)),
        files.client(&files.ours.file, None),
        files.client(&files.theirs.file, None),
    ];
    for key in strangers {
        let status = check(&key, &address, "").await.unwrap_err();
        assert_ne!(status.code(), Code::Unauthenticated, "{status:?}");
        assert!(matches!(status.code(), Code::Unavailable | Code::Unknown), "{status:?}");
    }
    let plain = format!("http://{}", running.address);
    assert!(check(&self::key(Some(TOKEN)), &plain, "").await.is_err());
}

#[tokio::test]
async fn tls_does_not_replace_the_token() {
    let files = files();
    let running = serve(&ServerAuthSettings { tls_client_ca: None, ..files.server() }).await;
    let address = format!("https://{}", running.address);
    assert!(check(&files.client(&files.ours.file, None), &address, "").await.is_ok());
    let tls_ca = Some(files.ours.file.clone());
    let domain = Some("localhost".to_owned());
    let key =
        ClientAuthSettings { tls_ca, domain, ..ClientAuthSettings::default() }.open().unwrap();
    let status = check(&key, &address, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

fn refusal(settings: &ServerAuthSettings) -> String {
    settings.open().unwrap_err().to_string()
}

#[test]
fn network_address_requires_token_and_tls() {
    let files = files();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let bare = ServerAuthSettings { listen, token: None, ..settings() };
    let message = refusal(&bare);
    assert!(message.starts_with("listen = 0.0.0.0:0: "), "{message}");
    assert!(message.contains("needs a token, and tls_cert and tls_key; hint: "), "{message}");
    let message = refusal(&ServerAuthSettings { listen, ..settings() });
    assert!(message.contains("needs tls_cert and tls_key; "), "{message}");
    let message = refusal(&ServerAuthSettings { listen, token: None, ..files.server() });
    assert!(message.contains("needs a token; "), "{message}");
    assert!(ServerAuthSettings { listen, ..files.server() }.open().unwrap().has_tls());
    assert!(ServerAuthSettings { insecure: true, ..bare.clone() }.open().is_ok());
    for loopback in ["127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let listen = loopback.parse().unwrap();
        assert!(ServerAuthSettings { listen, ..bare.clone() }.open().is_ok(), "{loopback}");
    }
}

#[test]
fn certificate_errors_name_file_and_mistake() {
    let files = files();
    let good = files.server();
    let folder = files.folder.path();
    let written = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = |path: PathBuf| ServerAuthSettings { tls_cert: Some(path), ..good.clone() };
    let private = |path: PathBuf| ServerAuthSettings { tls_key: Some(path), ..good.clone() };
    let authority =
        |path: PathBuf| ServerAuthSettings { tls_client_ca: Some(path), ..good.clone() };
    let (cert, key) = (good.tls_cert.clone().unwrap(), good.tls_key.clone().unwrap());
    let another = files.ours.sign(folder, "another").key;
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----";
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
    for (settings, name, reason) in [
        (certificate("no/such.pem".into()), "tls_cert no/such.pem", "No such file"),
        (certificate(key.clone()), "tls_cert ", "expected PEM certificates, found a private key"),
        (certificate(written("empty", "")), "tls_cert ", "expected PEM certificates, found none"),
        (certificate(written("broken", broken)), "tls_cert ", "invalid certificate"),
        (private(cert.clone()), "tls_key ", "expected a PEM private key, found a certificate"),
        (private(written("text", "hello")), "tls_key ", "expected a PEM private key, found none"),
        (private(written("locked", encrypted)), "tls_key ", "the private key is encrypted"),
        (private(another), "tls_key ", "is not the key of "),
        (authority(key), "tls_client_ca ", "found a private key"),
        (authority(written("broken", broken)), "tls_client_ca ", "not the certificate of an"),
    ] {
        let message = refusal(&settings);
        assert!(message.starts_with(name), "{name}: {message}");
        assert!(message.contains(reason), "{reason}: {message}");
    }
    let message = refusal(&ServerAuthSettings { tls_key: None, ..good.clone() });
    assert_eq!(message, "tls_cert needs tls_key");
    let message = refusal(&ServerAuthSettings { tls_cert: None, tls_key: None, ..good });
    assert_eq!(message, "tls_client_ca needs tls_cert and tls_key");
}

#[test]
fn client_refuses_to_send_the_token_without_tls() {
    let files = files();
    let message = |key: &ClientAuth, address: &str| key.endpoint(address).unwrap_err().to_string();
    let plain = key(Some(TOKEN));
    let refused = message(&plain, "http://learner:50051");
    assert!(refused.starts_with("http://learner:50051: the token would cross"), "{refused}");
    for address in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
        assert!(plain.endpoint(address).is_ok(), "{address}");
    }
    assert!(key(None).endpoint("http://learner:50051").is_ok());
    assert_eq!(message(&plain, "https://learner:1"), "https://learner:1: https needs tls_ca");
    let tls = files.client(&files.ours.file, None);
    assert_eq!(message(&tls, "http://learner:1"), "http://learner:1: tls_ca needs https");
    for address in ["learner:1", "", "redis://learner:1", "/path"] {
        assert!(message(&plain, address).contains("expected http(s)://host:port"), "{address}");
    }
}
