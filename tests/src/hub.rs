//! A Hub on loopback that serves one repository, enough for `ddpo` to fetch it. The faults that a
//! hub can have are tested in `crates/checkpoint`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The server; it stops when dropped.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
}

impl Hub {
    /// Serves the files of `folder` as `repository`, on a port of the system's choice.
    ///
    /// # Panics
    /// When loopback has no port left.
    #[must_use]
    pub fn serve(repository: &str, folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("a bound port");
        let (asked, stopping) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let hub = Self { address, asked: Arc::clone(&asked), stopping: Arc::clone(&stopping) };
        let prefixes = ["main", COMMIT].map(|name| format!("/{repository}/resolve/{name}/"));
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                answer(&stream, &prefixes, &folder, &asked);
            }
        });
        hub
    }

    /// What `HF_ENDPOINT` has to be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, as `METHOD path`.
    ///
    /// # Panics
    /// When the server has panicked.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the server goes on").clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn answer(stream: &TcpStream, prefixes: &[String], folder: &Path, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    // The headers end with an empty line; what they say makes no difference here.
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if let Ok(mut asked) = asked.lock() {
        asked.push(format!("{method} {path}"));
    }
    let name = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix.as_str()));
    let file: Option<PathBuf> = name.map(|name| folder.join(name));
    let content = file.and_then(|path| std::fs::read(path).ok());
    let (status, body) = match content {
        Some(bytes) => (format!("200 OK\r\netag: \"{:040x}\"", bytes.len()), bytes),
        None => ("404 Not Found\r\nx-error-code: EntryNotFound".to_owned(), Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nx-repo-commit: {COMMIT}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { &[][..] } else { &body };
    let mut stream = stream;
    // A client that has gone needs no answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
