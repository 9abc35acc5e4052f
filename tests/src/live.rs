//! Viewers of a live page: HTTP/1 and server-sent events over a plain socket.

use crate::services::wait::block_on;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest wait for an answer or an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The topic.
    pub topic: String,
    /// The data.
    pub data: Value,
}

/// A viewer that reads the stream of events.
#[derive(Debug)]
pub struct Viewer {
    reader: BufReader<TcpStream>,
}

/// Sends `METHOD PATH` with a body to a page's address. Each of the `headers` ends in a line break.
///
/// # Panics
/// If no answer arrives.
pub fn ask(address: &str, request: &str, headers: &str, body: &str) -> Answer {
    let mut stream = send(address, request, headers, body);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    Answer { status: status_of(head), head: head.to_lowercase(), body: body.to_owned() }
}

/// Sends `GET path` without headers and body.
pub fn get(address: &str, path: &str) -> Answer {
    ask(address, &format!("GET {path}"), "", "")
}

/// Sends `GET /` over TLS to the host `localhost`, with the CA certificate in the file `ca` (PEM). Returns
/// the head and the body.
///
/// # Errors
/// The connection is refused or closed early.
pub fn get_by_tls(address: &str, ca: &Path, headers: &str) -> std::io::Result<String> {
    let place =
        address.strip_prefix("https://").expect("an address of HTTPS").trim_end_matches('/');
    let pem = std::fs::read(ca)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").expect("a name");
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    block_on(async {
        let stream = tokio::net::TcpStream::connect(place).await?;
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    })
}

/// Opens the stream of events without reading it.
pub fn open(address: &str, headers: &str) -> TcpStream {
    send(address, "GET /events", headers, "")
}

/// Returns the `host:port` of `http://host:port/`.
fn place(address: &str) -> &str {
    let place = address.strip_prefix("http://").expect("an address of HTTP");
    place.strip_suffix('/').unwrap_or(place)
}

fn send(address: &str, request: &str, headers: &str, body: &str) -> TcpStream {
    let place = place(address);
    let mut stream = TcpStream::connect(place).expect("the page is served");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(stream, "{request} HTTP/1.1\r\nhost: {place}\r\n{headers}{length}\r\n{body}")
        .expect("the request is sent");
    stream
}

fn status_of(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

impl Viewer {
    /// Watches the page at `address`.
    ///
    /// # Panics
    /// If the server rejects the request.
    pub fn watch(address: &str, headers: &str) -> Self {
        let mut reader = BufReader::new(open(address, headers));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                reader.read_line(&mut head).expect("a head") > 0,
                "the head is incomplete: {head}"
            );
        }
        assert_eq!(status_of(&head), 200, "{head}");
        Self { reader }
    }

    /// Returns the next event, or `None` at the end of the stream.
    ///
    /// # Panics
    /// If no event arrives in time, or it is malformed.
    pub fn event(&mut self) -> Option<Event> {
        let mut topic = String::new();
        loop {
            let line = self.line()?;
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut topic);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("JSON");
                return Some(Event { topic, data });
            }
        }
    }

    /// Reads until an event of this topic for which `wanted` is true.
    ///
    /// # Panics
    /// If the stream ends before.
    #[track_caller]
    pub fn until(&mut self, topic: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.event() {
                Some(event) if event.topic == topic && wanted(&event.data) => return event.data,
                Some(_) => {}
                None => panic!("the stream ended before `{topic}`"),
            }
        }
    }

    /// Returns a line of the body. An event has one or more HTTP chunks.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            match self.reader.read_line(&mut line) {
                // The stream has ended, or the process is gone.
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let text = line.trim_end();
            // Skips the lines with the sizes of chunks.
            let is_size = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_hexdigit());
            if text == "0" {
                return None;
            }
            if !is_size {
                return Some(text.to_owned());
            }
            line.clear();
        }
    }
}
