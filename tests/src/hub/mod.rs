//! A Hub on loopback, in memory: enough for `ddpo` and for the official client to push to it and to
//! fetch from it, and the faults that a push meets. The faults of fetching are tested in
//! `crates/checkpoint`.

mod answers;
mod request;
mod store;

use crate::tree::Tree;
use request::Request;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Store;

/// What a signed address has to end with; nobody may be shown it.
pub const SIGNATURE: &str = "signature=s3cr3t-of-storage";

/// The server; it stops when dropped.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stopping: Arc<AtomicBool>,
}

/// What requests see and change.
#[derive(Debug)]
struct Shared {
    store: Store,
    asked: Vec<String>,
    faults: Vec<Fault>,
}

/// Something that goes wrong with requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the request's `METHOD path` begins with.
    pub with: &'static str,
    /// Requests of that kind that are answered well before.
    pub after: usize,
    /// How many it happens to.
    pub times: usize,
    /// What happens.
    pub what: Mishap,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// This status, with a message.
    Status(u16),
    /// The connection is closed half-way through the request.
    Drop,
}

impl Hub {
    /// Serves the files of `folder` as `repository` to anybody, on a port of the system's choice.
    #[must_use]
    pub fn serve(repository: &str, folder: &std::path::Path) -> Self {
        let mut store = Store::default();
        store.put_folder(repository, folder);
        Self::start(store)
    }

    /// An empty Hub that takes pushes from whoever has `token`; files in large storage that are
    /// longer than `part_bytes` are taken in parts.
    #[must_use]
    pub fn empty(token: &str, part_bytes: usize) -> Self {
        Self::start(Store { token: Some(token.into()), part_bytes, ..Store::default() })
    }

    fn start(mut store: Store) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("a bound port");
        store.endpoint = format!("http://{address}");
        store.storage = format!("http://localhost:{}/storage", address.port());
        let shared = Shared { store, asked: Vec::new(), faults: Vec::new() };
        let (shared, stopping) = (Arc::new(Mutex::new(shared)), Arc::new(AtomicBool::new(false)));
        let hub = Self { address, shared: Arc::clone(&shared), stopping: Arc::clone(&stopping) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &shared));
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
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared().asked.clone()
    }

    /// Has something go wrong from now on.
    pub fn fault(&self, fault: Fault) {
        self.shared().faults.push(fault);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared().faults.clear();
    }

    /// The files of a branch.
    ///
    /// # Panics
    /// When there is no such branch.
    #[must_use]
    pub fn files(&self, repository: &str, branch: &str) -> Tree {
        self.shared().store.files(repository, branch).expect("a branch of a repository")
    }

    /// Whether the repository is private; none where it is not there.
    #[must_use]
    pub fn is_private(&self, repository: &str) -> Option<bool> {
        self.shared().store.is_private(repository)
    }

    /// The messages of a branch's commits.
    #[must_use]
    pub fn messages(&self, repository: &str, branch: &str) -> Vec<String> {
        self.shared().store.messages(repository, branch)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn answer(mut stream: &TcpStream, shared: &Mutex<Shared>) {
    let Some(mut request) = Request::head(stream) else { return };
    let mishap = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{} {}", request.method, request.path);
        shared.asked.push(line.clone());
        next_mishap(&mut shared.faults, &line)
    };
    if mishap == Some(Mishap::Drop) {
        return;
    }
    request.read_body(stream);
    let answer = match mishap {
        Some(Mishap::Status(status)) => answers::Answer::error(status, "no luck this time"),
        _ => {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            answers::answer(&mut shared.store, &request)
        }
    };
    let (head, body) = answer.written(request.method == "HEAD");
    // A client that has gone needs no answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn next_mishap(faults: &mut [Fault], line: &str) -> Option<Mishap> {
    let fault = faults.iter_mut().find(|fault| line.starts_with(fault.with) && fault.times > 0)?;
    if fault.after > 0 {
        fault.after -= 1;
        return None;
    }
    fault.times -= 1;
    Some(fault.what)
}
