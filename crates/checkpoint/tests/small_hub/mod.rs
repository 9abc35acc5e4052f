//! A Hub in miniature on loopback: enough of the real one's answers to fetch a pipeline from, and
//! the faults that a network has.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The commit that `main` stands for.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the Hub serves and how it misbehaves.
#[derive(Default)]
pub struct Content {
    /// Files of the repository `owner/model`, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Token without which nothing is answered.
    pub token: Option<String>,
    /// Bodies that are cut after half of what is due, before one is sent whole.
    pub cuts: usize,
    /// Whether the bytes of weights differ from their digest.
    pub corrupt: AtomicBool,
    /// Whether nothing is ever answered.
    pub stall: bool,
    /// Where weights are redirected to, if not to this Hub itself.
    pub elsewhere: Option<String>,
}

/// A running Hub; it stops when dropped.
pub struct SmallHub {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
}

impl SmallHub {
    /// Serves `content` on a port of the system's choice.
    pub fn start(content: Content) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, stopping) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let served = Arc::new((content, AtomicUsize::new(0)));
        let (thread_log, thread_stopping) = (Arc::clone(&log), Arc::clone(&stopping));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if thread_stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (served, log) = (Arc::clone(&served), Arc::clone(&thread_log));
                thread::spawn(move || answer(stream, &served.0, &served.1, &log));
            }
        });
        Self { address, log, stopping }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far, as `METHOD path [range] [token]`.
    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Requests for bytes so far.
    pub fn gets(&self) -> Vec<String> {
        self.requests().into_iter().filter(|line| line.starts_with("GET")).collect()
    }
}

impl Drop for SmallHub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

struct Request {
    method: String,
    path: String,
    from: Option<usize>,
    token: Option<String>,
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request =
        Request { method: words.next()?, path: words.next()?, from: None, token: None };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => request.from = value["bytes=".len()..].trim_end_matches('-').parse().ok(),
            "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    Some(request)
}

fn answer(mut stream: TcpStream, content: &Content, cuts: &AtomicUsize, log: &Mutex<Vec<String>>) {
    let Some(request) = read_request(&stream) else { return };
    let mut line = format!("{} {}", request.method, request.path);
    if let Some(from) = request.from {
        line += &format!(" from {from}");
    }
    if let Some(token) = &request.token {
        line += &format!(" token {token}");
    }
    log.lock().unwrap().push(line);
    if content.stall {
        thread::sleep(Duration::from_secs(3));
        return;
    }
    let (head, body) = respond(&request, content);
    let cut = !body.is_empty()
        && is_weights(&request.path)
        && cuts.fetch_add(1, Ordering::SeqCst) < content.cuts;
    let sent = if cut { body.len() / 2 } else { body.len() };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
}

fn is_weights(path: &str) -> bool {
    path.ends_with(".safetensors") || path.ends_with(".bin")
}

/// Head and body of the answer.
fn respond(request: &Request, content: &Content) -> (String, Vec<u8>) {
    let plain = |status: &str, headers: &str| {
        (
            format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"),
            Vec::new(),
        )
    };
    if let Some(rest) = request.path.strip_prefix("/cdn/") {
        return match content.files.get(rest) {
            Some(bytes) => whole(request, rest, bytes, content),
            None => plain("404 Not Found", ""),
        };
    }
    if content.token.is_some() && content.token != request.token {
        return plain("401 Unauthorized", "x-error-code: GatedRepo\r\n");
    }
    // A repository that was renamed is redirected on the same host.
    if let Some(rest) = request.path.strip_prefix("/owner/old-name/") {
        return plain("307 Temporary Redirect", &format!("location: /owner/model/{rest}\r\n"));
    }
    let Some(rest) = request.path.strip_prefix("/owner/model/resolve/") else {
        return plain("401 Unauthorized", "x-error-code: RepoNotFound\r\n");
    };
    let (revision, file) = rest.split_once('/').unwrap();
    if revision != "main" && revision != COMMIT {
        return plain("404 Not Found", "x-error-code: RevisionNotFound\r\n");
    }
    let Some(bytes) = content.files.get(file) else {
        return plain("404 Not Found", "x-error-code: EntryNotFound\r\n");
    };
    if is_weights(file) {
        let host = content.elsewhere.clone().unwrap_or_default();
        return plain(
            "302 Found",
            &format!(
                "location: {host}/cdn/{file}\r\nx-repo-commit: {COMMIT}\r\n\
                 x-linked-etag: \"{}\"\r\nx-linked-size: {}\r\n",
                sha256(bytes),
                bytes.len()
            ),
        );
    }
    whole(request, file, bytes, content)
}

fn whole(request: &Request, file: &str, bytes: &[u8], content: &Content) -> (String, Vec<u8>) {
    let from = request.from.filter(|from| *from < bytes.len());
    let mut body = bytes[from.unwrap_or(0)..].to_vec();
    if content.corrupt.load(Ordering::SeqCst) && is_weights(file) {
        *body.last_mut().unwrap() ^= 1;
    }
    let status = match from {
        Some(from) => format!(
            "206 Partial Content\r\ncontent-range: bytes {from}-{}/{}",
            bytes.len() - 1,
            bytes.len()
        ),
        None => "200 OK".to_owned(),
    };
    let etag = &sha256(bytes)[..40];
    let head = format!(
        "HTTP/1.1 {status}\r\nx-repo-commit: {COMMIT}\r\netag: W/\"{etag}\"\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    if request.method == "HEAD" {
        body.clear();
    }
    (head, body)
}
