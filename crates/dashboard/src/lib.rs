//! The live page of a run: curves as they grow, the last samples, the fleet, and trajectories as they are
//! denoised, served by the process that trains (`ddpo-learner`, `ddpo train --dashboard`).
//!
//! It stands beside the run and reads what is there anyway: the files of the run's folder, drawn by
//! `ddpo-report`; the board of live trajectories and the Inspectors of other services; and what the process
//! says of itself. It never holds a run up: the run leaves word and goes on, and all the work is done by
//! [`painter`](mod@painter) in its own time, only while somebody watches, so many times a second, and once
//! for all who do.
//!
//! ```text
//!   run's folder ---> folder \
//!   board, peers ---> films   \
//!                     samples  > painter ---> news ---> stream ---> a viewer
//!   process     ----> now     /               (one place a topic: the latest)
//!   fleet       ----> fleet  /
//! ```

mod answers;
mod films;
pub mod fleet;
mod folder;
pub mod news;
pub mod now;
mod page;
pub mod painter;
pub mod peers;
mod pulse;
mod samples;
mod server;
mod stream;

use crate::answers::Answers;
use crate::fleet::Fleet;
use crate::news::News;
use crate::now::Live;
use crate::page::Page;
use crate::painter::{Subject, paint};
use crate::peers::Peers;
use crate::server::Server;
use ddpo_inspector::board::Board;
use ddpo_service::doors::{DoorError, WebDoor};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Port of the page where none is named.
pub const PORT: u16 = 9467;

/// A page, not served yet.
pub struct Dashboard {
    /// Where it is served, and to whom.
    pub door: WebDoor,
    /// The run's folder; it may come later.
    pub folder: PathBuf,
    /// The board of the process's own trajectories.
    pub board: Board,
    /// Who works on the run.
    pub fleet: Arc<dyn Fleet>,
    /// Services that are asked for what they do.
    pub peers: Peers,
}

impl Dashboard {
    /// Serves the page until `stop`.
    ///
    /// # Errors
    /// [`DoorError::Listen`] if the port cannot be had.
    pub async fn serve(self, stop: CancellationToken) -> Result<Served, DoorError> {
        let news = News::default();
        let live = Live::new(news.clone());
        let secure = self.door.tls().is_some();
        let answers = Answers {
            door: self.door.clone(),
            page: Page::new(),
            news: news.clone(),
            stop: stop.clone(),
        };
        let server = Server::bind(self.door, answers).await?;
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

/// A page that is served.
#[derive(Debug)]
pub struct Served {
    /// Where it is.
    pub address: Address,
    /// Where the run says how far it is.
    pub live: Live,
    server: JoinHandle<()>,
}

impl Served {
    /// Ends a moment after the page was stopped, once its viewers have had their last events.
    pub async fn ended(self) {
        // A server that has panicked has ended too.
        let _ = self.server.await;
    }
}

/// Where the page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    secure: bool,
    socket: SocketAddr,
}

impl std::fmt::Display for Address {
    /// An address to open; one that stands for all of the machine's is shown as loopback.
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
