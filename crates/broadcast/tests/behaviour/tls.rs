//! `rediss://` with certificates on both sides. The test installs no crypto provider: the crate
//! must do so, because rustls would panic.

use crate::redis_server::RedisServer;
use crate::stage::{PATIENCE, RUN, config, lease, policy, publication, request};
use ddpo_broadcast::error::BroadcastError;
use ddpo_broadcast::remote::{RedisBroadcast, RedisConfig, RedisTls};
use ddpo_broadcast::source::Exposure;
use ddpo_test_tools::needs;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::time::Duration;
use tempfile::TempDir;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Returns certificate and key.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Starts a server with these options, and returns it with the certificates of a client.
fn start(authority: &Authority, options: &[&str]) -> (RedisServer, RedisTls) {
    let (certificate, key) = authority.issue("redis");
    let folder = TempDir::new().unwrap();
    for (name, text) in
        [("authority.pem", &authority.pem), ("server.pem", &certificate), ("server.key", &key)]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let server = RedisServer::start_with_tls(folder, options);
    let (certificate, key) = authority.issue("learner");
    let tls = RedisTls {
        authority: Some(authority.pem.clone().into_bytes()),
        identity: Some((certificate.into_bytes(), key.into_bytes())),
    };
    (server, tls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_transfers_weights_and_rejects_unknown_clients() {
    needs!("redis-server");
    let authority = Authority::new();
    let (server, tls) = start(&authority, &[]);
    let trusted = RedisConfig { tls: tls.clone(), ..config(&server, RUN) };
    let store = RedisBroadcast::connect(&trusted).await.unwrap();
    let held = lease(&store, "a", PATIENCE).await;
    let manifest = store.publish(&held, &publication(policy(1), Exposure::Current)).await.unwrap();
    store.fetch(&manifest).await.unwrap();

    let brief = RedisConfig { patience: Duration::from_millis(200), ..trusted };
    let nameless = RedisTls { identity: None, ..tls.clone() };
    let mistrusting =
        RedisTls { authority: Some(Authority::new().pem.into_bytes()), ..tls.clone() };
    let garbled = RedisTls { authority: Some(b"no certificate".to_vec()), ..tls };
    for tls in [nameless, mistrusting, garbled] {
        let refused = RedisBroadcast::connect(&RedisConfig { tls, ..brief.clone() }).await;
        assert!(refused.is_err());
    }
    // Without TLS, and with TLS to a server without it.
    let url = server.url().replace("rediss://", "redis://");
    assert!(RedisBroadcast::connect(&RedisConfig { url, ..brief.clone() }).await.is_err());
    let clear = RedisServer::start();
    let url = clear.url().replace("redis://", "rediss://");
    assert!(RedisBroadcast::connect(&RedisConfig { url, ..brief }).await.is_err());
}

/// The rights that a service needs.
const RIGHTS: &str = "trainer on >s3cret/word ~ddpo:* +@all -@dangerous";

/// A user who may connect, but not use the keys of a run.
const GUEST: &str = "guest on >s3cret/word ~other:* +@all";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_url_with_user_password_and_database_connects_as_this_user() {
    needs!("redis-server");
    let users = [RIGHTS, GUEST].map(|user| ["--user"].into_iter().chain(user.split(' ')));
    let options: Vec<&str> = users.into_iter().flatten().collect();
    let (server, tls) = start(&Authority::new(), &options);
    let of = |user: &str, database: u8| RedisConfig {
        url: format!("rediss://{user}@127.0.0.1:{}/{database}", server.port()),
        tls: tls.clone(),
        ..config(&server, RUN)
    };
    let connect = async |user, database| RedisBroadcast::connect(&of(user, database)).await;
    let store = connect("trainer:s3cret%2Fword", 2).await.unwrap();
    let held = lease(&store, "a", PATIENCE).await;
    let manifest = store.publish(&held, &publication(policy(1), Exposure::Current)).await.unwrap();
    store.fetch(&manifest).await.unwrap();
    let same = connect("trainer:s3cret%2Fword", 2).await.unwrap();
    assert_eq!(same.holder().await.unwrap().unwrap().owner, "a");
    let other = connect("trainer:s3cret%2Fword", 0).await.unwrap();
    assert_eq!(other.holder().await.unwrap(), None);

    let wrong = connect("trainer:s3cret%2Fwords", 2).await.unwrap_err();
    let guest = connect("guest:s3cret%2Fword", 2).await.unwrap();
    let without_rights = guest.acquire(&request("b", PATIENCE)).await.unwrap_err();
    for error in [wrong, without_rights] {
        assert!(matches!(error, BroadcastError::Refused { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}
