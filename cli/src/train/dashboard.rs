//! The live page of `ddpo train`: a separate runtime that serves the run's progress and
//! trajectories.

use crate::auth::web_auth;
use crate::train::batch_board::WORKER;
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

/// Longest time to close the page after the run.
const ENDING: Duration = Duration::from_secs(1);

/// A served page. Dropping it disconnects viewers.
pub struct Page {
    /// Receives the run's progress.
    pub live: Live,
    /// Receives the run's trajectories.
    pub board: Board,
    /// The address to open the page at.
    pub address: Address,
    /// The runtime and the server, until the page is dropped.
    serving: Option<(Runtime, Served)>,
    stop: CancellationToken,
}

impl Page {
    /// Serves the page of the run in `folder` at `listen`.
    ///
    /// # Errors
    /// Auth settings that do not allow this address, or a port in use.
    pub fn serve(listen: SocketAddr, folder: PathBuf) -> Result<Self> {
        let auth = web_auth("--dashboard", listen)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("dashboard")
            .enable_all()
            .build()
            .context("--dashboard: could not start a thread")?;
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
            // Dropping the runtime aborts anything slower.
            let _ = runtime.block_on(async { timeout(ENDING, served.ended()).await });
            runtime.shutdown_timeout(ENDING);
        }
    }
}
