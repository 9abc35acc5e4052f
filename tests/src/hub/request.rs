//! One request of HTTP/1.1, with a body of known length or in chunks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: String,
    headers: BTreeMap<String, String>,
    /// What was read beyond the head.
    rest: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads up to the empty line; none from a client that has gone.
    pub(super) fn head(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            Some(line.trim_end().to_owned())
        };
        let first = line()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut headers = BTreeMap::new();
        loop {
            let line = line()?;
            match line.split_once(':') {
                Some((name, value)) => {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())
                }
                None => break,
            };
        }
        let rest = reader.buffer().to_vec();
        let (path, query) = (path.to_owned(), query.to_owned());
        Some(Self { method, path, query, headers, rest, body: Vec::new() })
    }

    /// Reads the body.
    pub(super) fn read_body(&mut self, stream: &TcpStream) {
        let rest = std::mem::take(&mut self.rest);
        let mut reader = BufReader::new(rest.chain(stream));
        if self.header("transfer-encoding") == Some("chunked") {
            while let Some(length) = chunk_length(&mut reader).filter(|length| *length > 0) {
                let before = self.body.len() as u64;
                let read = reader.by_ref().take(length).read_to_end(&mut self.body);
                let whole = read.is_ok() && self.body.len() as u64 == before + length;
                if !whole || reader.read_line(&mut String::new()).is_err() {
                    return;
                }
            }
            return;
        }
        let length = self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        // A body that is cut short is what the server will find wrong.
        let _ = reader.take(length).read_to_end(&mut self.body);
    }

    /// A header by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The token that the client shows.
    pub(super) fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The body as JSON; nothing where it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn chunk_length(reader: &mut impl BufRead) -> Option<u64> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    u64::from_str_radix(line.trim(), 16).ok()
}
