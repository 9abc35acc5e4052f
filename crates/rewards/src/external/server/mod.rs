//! A reward served by a user's program in any language: `ddpo.v1.RewardModel` in
//! `proto/ddpo/v1/reward.proto`, as `grpc://host:port`, with commas between several servers.
//!
//! ```text
//!   score ==> the client's thread ==> Work ==> Peer, Peer, ..  (whichever is free)
//!                                      ^          |
//!                                      +----------+ unanswered batches
//! ```
//!
//! A server that does not answer is skipped and retried. While no server answers, scoring waits as
//! configured by [`Waiting`]. An invalid answer ends scoring, because a wrong score would corrupt
//! training.

pub mod error;
mod fleet;
mod options;
mod peer;
mod reach;
mod work;

use error::ServerError;
pub use options::ServerOptions;

use crate::error::RewardError;
use crate::external::waiting::Waiting;
use crate::model::{RewardDescription, RewardModel};
use crate::runtime::RewardRuntime;
use ddpo_delivery::reward::EncodedImage;
use ddpo_proto::limits::Limits;
use ddpo_proto::reward::Description;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::Servers;
use ddpo_rollout::score::Score;
use fleet::Fleet;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Interval between checks for lost servers while no scores are requested.
const PROBE: Duration = Duration::from_secs(1);

type Scores = Result<Vec<Score>, ServerError>;

/// Opens the reward of `grpc://HOST:PORT,HOST:PORT`, with token and CA certificates from the
/// environment.
///
/// # Errors
/// As [`ServerReward::open`].
pub fn open(
    servers: &Servers,
    runtime: &RewardRuntime,
) -> Result<Box<dyn RewardModel>, RewardError> {
    let waiting = runtime.waiting.clone();
    let options = ServerOptions { scoring: waiting.answer, ..ServerOptions::from_environment() };
    Ok(Box::new(ServerReward::open(servers, options, waiting)?))
}

/// A reward from servers.
pub struct ServerReward {
    description: RewardDescription,
    jobs: mpsc::Sender<Job>,
}

struct Job {
    images: Vec<EncodedImage>,
    answer: SyncSender<Scores>,
}

impl ServerReward {
    /// Asks the servers for their descriptions and waits for the first answer. A separate thread owns
    /// the connections, so any thread can call this and score.
    ///
    /// # Errors
    /// [`ServerError`] if an address, token or CA certificate cannot be used, a server's answer is
    /// invalid or differs from another's, or no server answers in time.
    pub fn open(
        servers: &Servers,
        options: ServerOptions,
        waiting: Waiting,
    ) -> Result<Self, ServerError> {
        let servers = servers.clone();
        let (jobs, queue) = mpsc::channel(1);
        let (opened, description) = sync_channel(1);
        let client = move || serve(&servers, &options, waiting, &opened, queue);
        let thread = std::thread::Builder::new().name("reward-client".to_owned());
        thread.spawn(client).map_err(ServerError::Thread)?;
        let description = description.recv().map_err(|_| ServerError::Lost)??;
        Ok(Self { description, jobs })
    }

    fn ask(&self, images: &[RgbImage]) -> Scores {
        let limits = Limits::default();
        let encoded = images.iter().enumerate();
        let encoded = encoded.map(|(index, image)| EncodedImage::new(index, image, &limits));
        let (answer, scores) = sync_channel(1);
        let job = Job { images: encoded.collect::<Result<_, _>>()?, answer };
        // The channel has room: the previous caller waited for its answer.
        self.jobs.try_send(job).map_err(|_| ServerError::Lost)?;
        scores.recv().map_err(|_| ServerError::Lost)?
    }
}

impl RewardModel for ServerReward {
    fn describe(&self) -> RewardDescription {
        self.description.clone()
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        Ok(self.ask(images)?)
    }
}

/// Runs the client's thread until all senders are dropped.
fn serve(
    servers: &Servers,
    options: &ServerOptions,
    waiting: Waiting,
    opened: &SyncSender<Result<RewardDescription, ServerError>>,
    mut queue: mpsc::Receiver<Job>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // The receiver exists: `open` waits for this message.
            let _ = opened.send(Err(ServerError::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        match Fleet::open(servers, options, waiting).await {
            Ok(mut fleet) => {
                let _ = opened.send(Ok(described(fleet.description())));
                answer_all(&mut fleet, &mut queue).await;
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
    });
}

fn described(found: &Description) -> RewardDescription {
    let Description { name, unit, components, .. } = found.clone();
    RewardDescription { name, unit, components }
}

async fn answer_all(fleet: &mut Fleet, queue: &mut mpsc::Receiver<Job>) {
    loop {
        let job = tokio::select! {
            biased;
            job = queue.recv() => job,
            () = sleep(PROBE), if fleet.is_lost() => {
                fleet.probe().await;
                continue;
            }
        };
        let Some(Job { images, answer }) = job else { return };
        // Fails if the caller has ended.
        let _ = answer.send(fleet.score(images).await);
    }
}
