//! The live page of a run: curves, the last samples, the fleet, and trajectories during denoising.
//! The process that trains serves it (`ddpo-learner`, `ddpo train --dashboard`).
//!
//! The page shows the files of the run's folder (drawn by `ddpo-report`), the board of live
//! trajectories, the Inspectors of other services, and the progress that the process reports. It does
//! not delay the run: a report costs one lock, and the painter draws in parallel, only while the page
//! has viewers, at a bounded rate, and once for all viewers.
//!
//! ```text
//!   run's folder ---> folder   \
//!   board, peers ---> playback  \
//!                     samples    > painter ---> news ---> stream ---> a viewer
//!   process     ----> now       /               (the latest of each topic)
//!   fleet       ----> fleet    /
//! ```

pub mod fleet;
mod folder;
mod idle;
mod news;
pub mod now;
mod page;
mod painter;
pub mod peers;
mod playback;
mod routes;
mod samples;
mod server;
mod stream;

use crate::fleet::Fleet;
use crate::news::News;
use crate::now::Live;
use crate::painter::{Subject, paint};
use crate::peers::Peers;
use crate::routes::Answers;
use crate::server::Server;
use ddpo_inspector::board::Board;
use ddpo_service::auth::{AuthError, WebAuth};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Default port of the page.
pub const PORT: u16 = 9467;

/// The configuration of the page.
pub struct Dashboard {
    /// Address, token and certificate.
    pub auth: WebAuth,
    /// The run's folder; it may not exist yet.
    pub folder: PathBuf,
    /// The board of the process's own trajectories.
    pub board: Board,
    /// The processes of the run.
    pub fleet: Arc<dyn Fleet>,
    /// Services whose Inspectors are queried.
    pub peers: Peers,
}

impl Dashboard {
    /// Serves the page until `stop`.
    ///
    /// # Errors
    /// [`AuthError::Listen`] if the address cannot be listened on.
    pub async fn serve(self, stop: CancellationToken) -> Result<Served, AuthError> {
        let news = News::default();
        let live = Live::new(news.clone());
        let secure = self.auth.tls().is_some();
        let answers = Answers::new(self.auth, news.clone(), stop.clone());
        let server = Server::bind(answers).await?;
        let socket = server.address().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)));
        let server = tokio::spawn(server.serve(stop.clone()));
        let subject = Subject {
            folder: self.folder,
            board: self.board,
            fleet: self.fleet,
            peers: self.peers,
            live: live.clone(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = paint(subject, news) => {}
            }
        });
        Ok(Served { address: Address { secure, socket }, live, server })
    }
}

/// The running page.
#[derive(Debug)]
pub struct Served {
    /// Its address.
    pub address: Address,
    /// Receives the progress of the run.
    pub live: Live,
    server: JoinHandle<()>,
}

impl Served {
    /// Returns when the page has stopped and its viewers have received their last events.
    pub async fn ended(self) {
        // A panic also ends the server.
        let _ = self.server.await;
    }
}

/// The address of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    secure: bool,
    socket: SocketAddr,
}

impl std::fmt::Display for Address {
    /// Writes the URL to open; an unspecified address is shown as loopback.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let (mut shown, ip) = (self.socket, self.socket.ip());
        if ip.is_unspecified() {
            shown.set_ip(if ip.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                "::1".parse().unwrap_or(ip)
            });
        }
        write!(f, "{scheme}://{shown}/")
    }
}
