//! Tests of the gRPC port with silent and slow connections, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod serving;

use ddpo_service::auth::{ClientAuth, ClientAuthSettings};
use ddpo_service::connections::ConnectionLimits;
use ddpo_settings::Secret;
use serving::{LONG, Running, TOKEN, check, serve_within, settings};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn key() -> ClientAuth {
    let token = Some(Secret::new(TOKEN));
    ClientAuthSettings { token, ..ClientAuthSettings::default() }.open().unwrap()
}

/// Serves with few connections and short deadlines.
async fn serve(connections: usize) -> Running {
    let limits = ConnectionLimits {
        connections,
        preface: Duration::from_millis(500),
        silence: Duration::from_secs(1),
    };
    serve_within(&settings(), limits).await
}

/// Waits until the server closes the connection.
async fn closed(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    // The server may reset the connection.
    let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap();
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test]
async fn closes_a_connection_that_sends_nothing() {
    let running = serve(16).await;
    let began = Instant::now();
    closed(&mut connect(running.address).await).await;
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_preface_that_trickles_does_not_extend_its_deadline() {
    let running = serve(16).await;
    let mut stream = connect(running.address).await;
    let (mut reading, mut writing) = stream.split();
    let trickle = async {
        for byte in &PREFACE[..20] {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let began = Instant::now();
    let mut bytes = Vec::new();
    tokio::select! {
        () = trickle => panic!("the whole preface but four bytes was accepted"),
        _ = reading.read_to_end(&mut bytes) => {}
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn closes_a_connection_that_is_silent_after_the_preface() {
    let running = serve(16).await;
    let mut stream = connect(running.address).await;
    stream.write_all(PREFACE).await.unwrap();
    closed(&mut stream).await;
}

#[tokio::test]
async fn silent_connections_beyond_the_bound_do_not_lock_out_a_client() {
    let running = serve(4).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(connect(running.address).await);
    }
    let address = format!("http://{}", running.address);
    // Three times four connections time out before this one is accepted.
    check(&key(), &address, "").await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_one_ends() {
    let running = serve(1).await;
    let address = format!("http://{}", running.address);
    check(&key(), &address, "").await.unwrap();
    // Each check opens its own connection, which ends with its client.
    check(&key(), &address, "").await.unwrap();
}
