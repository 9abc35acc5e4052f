//! An uplink with TLS on both sides and a bearer token.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use ddpo_delivery::destination::Destination;
use ddpo_delivery::intake::{Intake, IntakeSettings};
use ddpo_delivery::transport::{KeepAlive, server};
use ddpo_delivery::uplink::{LinkState, Uplink, UplinkSettings};
use ddpo_proto::stream::Verdict;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::net::SocketAddr;
use std::sync::Arc;
use support::*;
use tokio::runtime::Handle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};
use tonic::{Request, Status};

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    // Other TLS stacks take certificates with equal names for self-signed ones.
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named("test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(name: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = named(name).signed_by(&key, authority).unwrap();
    Identity::from_pem(certificate.pem(), key.serialize_pem())
}

fn authorized(request: Request<()>) -> Result<Request<()>, Status> {
    match request.metadata().get("authorization") {
        Some(token) if token == "Bearer sesame" => Ok(request),
        _ => Err(Status::unauthenticated("expected a token")),
    }
}

async fn serve(tls: ServerTlsConfig, intake: Intake<Recorder>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = InterceptedService::new(intake.rewarder_service(), authorized);
    let router = server(KeepAlive::default()).tls_config(tls).unwrap().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

#[tokio::test]
async fn accepts_a_trajectory_only_with_mutual_tls_and_a_token() {
    let authority = authority();
    let ca = Certificate::from_pem(authority.pem());
    let tls = ServerTlsConfig::new().identity(identity("server", &authority));
    let (recorder, mut seen) = Recorder::new();
    let intake = Intake::new(Arc::new(recorder), IntakeSettings::default());
    let address = serve(tls.client_ca_root(ca.clone()), intake).await;
    let client = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
    let known = client.clone().identity(identity("client", &authority));
    let settings = |tls: &ClientTlsConfig, token: &str| UplinkSettings {
        tls: Some(tls.clone()),
        bearer_token: Some(token.to_owned()),
        ..uplink_settings(Destination::Rewarder, vec![format!("https://{address}")])
    };

    for (tls, token, reason) in [(&known, "guess", "expected a token"), (&client, "sesame", "")] {
        let uplink = Uplink::start(settings(tls, token), &Handle::current()).unwrap();
        let _pending = uplink.send(small(0), None).unwrap();
        let mut link = uplink.link();
        let refused = |state: &LinkState| match state {
            LinkState::Down { reason: found, .. } => found.contains(reason),
            _ => false,
        };
        within("refusal", link.wait_for(refused)).await.unwrap();
    }
    assert!(seen.try_recv().is_err());

    let uplink = Uplink::start(settings(&known, "sesame"), &Handle::current()).unwrap();
    let pending = uplink.send(small(1), None).unwrap();
    loop {
        if let Seen::Complete(arrived, answer) = within("trajectory", seen.recv()).await.unwrap() {
            assert_eq!(*arrived, small(1));
            answer.answer(Verdict::Accepted, "");
            break;
        }
    }
    assert_eq!(within("receipt", pending).await.unwrap().verdict, Verdict::Accepted);
}
