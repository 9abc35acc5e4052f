//! The live page of `ddpo train`: a runtime of its own beside the run, and the run's trajectories on a
//! board.

use crate::auth::web_auth;
use crate::train::shown::WORKER;
use anyhow::{Context, Result};
use ddpo_dashboard::fleet::OneProcess;
use ddpo_dashboard::now::Live;
use ddpo_dashboard::peers::Peers;
use ddpo_dashboard::{Address, Dashboard, Served};
use ddpo_inspector::board::{Board, BoardLimits};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest time for the page to end, once the run is over.
const ENDING: Duration = Duration::from_secs(1);

/// A page that is served. Viewers are let go when it is dropped.
pub struct Page {
    /// Where the run says how far it is.
    pub live: Live,
    /// Where its trajectories are shown.
    pub board: Board,
    /// Where the page is, to open it.
    pub address: Address,
    /// Until it is dropped.
    serving: Option<(Runtime, Served)>,
    stop: CancellationToken,
}

impl Page {
    /// Serves the page of the run in `folder` at `listen`.
    ///
    /// # Errors
    /// A door that is not to be opened like this, or a port that cannot be had.
    pub fn serve(listen: SocketAddr, folder: PathBuf) -> Result<Self> {
        let auth = web_auth("--dashboard", listen)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("dashboard")
            .enable_all()
            .build()
            .context("--dashboard: a thread could not be started")?;
        let board = Board::new(BoardLimits::default());
        let fleet = OneProcess { name: WORKER.into(), board: board.clone() };
        let dashboard = Dashboard {
            auth,
            folder,
            board: board.clone(),
            fleet: Arc::new(fleet),
            peers: Peers::default(),
        };
        let stop = CancellationToken::new();
        let served = runtime.block_on(dashboard.serve(stop.clone()))?;
        let (live, address) = (served.live.clone(), served.address);
        Ok(Self { live, board, address, serving: Some((runtime, served)), stop })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some((runtime, served)) = self.serving.take() {
            // What takes longer is cut off with the runtime.
            let _ = runtime.block_on(async { timeout(ENDING, served.ended()).await });
            runtime.shutdown_timeout(ENDING);
        }
    }
}
