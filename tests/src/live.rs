//! Viewers of a live page: HTTP/1 over a plain socket, and the events that come.

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

/// How long an answer or an event may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, in small letters.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub data: Value,
}

/// A viewer: an answer whose body goes on.
#[derive(Debug)]
pub struct Viewer {
    reader: BufReader<TcpStream>,
}

/// Sends `METHOD PATH` with `headers`, each with its line end, and a body to a page's address.
///
/// # Panics
/// When there is no answer.
pub fn ask(address: &str, request: &str, headers: &str, body: &str) -> Answer {
    let mut stream = send(address, request, headers, body);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    Answer { status: status_of(head), head: head.to_lowercase(), body: body.to_owned() }
}

/// `GET path` without more.
pub fn get(address: &str, path: &str) -> Answer {
    ask(address, &format!("GET {path}"), "", "")
}

/// `GET /` over TLS from the host `localhost`, with the authority in the file `ca` (PEM), and what comes of
/// it: the head and the body, or why there is none.
///
/// # Errors
/// The connection is refused, or breaks off.
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

/// Opens the stream of events and reads nothing of it.
pub fn open(address: &str, headers: &str) -> TcpStream {
    send(address, "GET /events", headers, "")
}

/// `http://host:port/` without what is around the place.
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
        .expect("a request is taken");
    stream
}

fn status_of(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

impl Viewer {
    /// Watches the page at `address`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn watch(address: &str, headers: &str) -> Self {
        let mut reader = BufReader::new(open(address, headers));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                reader.read_line(&mut head).expect("a head") > 0,
                "the head breaks off: {head}"
            );
        }
        assert_eq!(status_of(&head), 200, "{head}");
        Self { reader }
    }

    /// The next event; none at the end of the stream.
    ///
    /// # Panics
    /// When none comes in time, or it is none.
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

    /// Reads on to an event of this topic that is as wanted.
    ///
    /// # Panics
    /// When the stream ends before.
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

    /// A line of the body, of which each event is one chunk or several.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            match self.reader.read_line(&mut line) {
                // The end, or the process is gone.
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let text = line.trim_end();
            // The sizes of chunks are lines between those of the events.
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
