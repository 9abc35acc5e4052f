//! A Hugging Face Hub on loopback for tests. It is in memory, has the calls that `ddpo` and the
//! official client use to push and to fetch, and fails on demand.
//!
//! Sources: huggingface_hub 1.x (`hf_api.py`, `_commit_api.py`, `lfs.py`, `file_download.py`);
//! git-lfs, `docs/api/batch.md`.

mod answer;
mod api;
mod faults;
mod files;
mod state;
mod storage;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use state::HubState;
use store::Store;

pub use state::{Fault, Mishap};
pub use store::SIGNATURE;

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    state: Arc<HubState>,
    _runtime: Runtime,
}

impl Hub {
    /// Serves `files` as `repository` to every client, on a free port.
    pub fn serve(repository: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::start(Store::of_files(repository, files))
    }

    /// Serves `files` as `repository` to clients that send `token`.
    pub fn gated(repository: &str, files: BTreeMap<String, Vec<u8>>, token: &str) -> Self {
        Self::start(Store { token: Some(token.into()), ..Store::of_files(repository, files) })
    }

    /// Starts without repositories and accepts pushes from clients that send `token`. Large files
    /// above `part_bytes` are uploaded in parts.
    pub fn empty(token: &str, part_bytes: usize) -> Self {
        Self::start(Store { token: Some(token.into()), part_bytes, ..Store::default() })
    }

    fn start(mut store: Store) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        store.endpoint = format!("http://{address}");
        store.storage = format!("http://localhost:{}/storage", address.port());
        let state = Arc::new(HubState::new(store));
        let router = router(&state);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, state, _runtime: runtime }
    }

    /// Returns the value for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far, as `METHOD path`, followed by the range if there is one.
    pub fn asked(&self) -> Vec<String> {
        self.state.traffic().asked.clone()
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.state.traffic().faults.push(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.state.traffic().faults.clear();
    }

    /// Redirects requests for files of `old` to `new`, as after a rename.
    pub fn rename(&self, old: &str, new: &str) {
        self.state.store().renamed.insert(old.into(), new.into());
    }

    /// Returns the files of a branch.
    ///
    /// # Panics
    /// If the branch does not exist.
    pub fn files(&self, repository: &str, branch: &str) -> BTreeMap<String, Vec<u8>> {
        self.state.store().files(repository, branch).expect("a branch of a repository")
    }

    /// Returns the id of a branch's last commit.
    ///
    /// # Panics
    /// If the branch does not exist.
    pub fn head(&self, repository: &str, branch: &str) -> String {
        self.state.store().at(repository, branch).expect("a branch of a repository").id.clone()
    }

    /// Returns whether the repository is private, or `None` if it does not exist.
    pub fn is_private(&self, repository: &str) -> Option<bool> {
        self.state.store().is_private(repository)
    }

    /// Returns the messages of a branch's commits.
    pub fn messages(&self, repository: &str, branch: &str) -> Vec<String> {
        self.state.store().messages(repository, branch)
    }
}

fn router(state: &Arc<HubState>) -> Router {
    let token = from_fn_with_state(Arc::clone(state), api::require_token);
    Router::new()
        .merge(api::routes())
        .merge(files::routes())
        .merge(storage::calls())
        .route_layer(token)
        // Storage addresses are signed and refuse a token.
        .merge(storage::signed())
        .layer(from_fn_with_state(Arc::clone(state), faults::apply))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(state))
}
