//! A reward that a program of the user's own serves, in any language: `ddpo.v1.RewardModel` in
//! `proto/ddpo/v1/reward.proto`, as `grpc://host:port`, several with commas between.
//!
//! ```text
//!   score ==> a thread of its own ==> Work ==> Peer, Peer, ..  (whichever is free)
//!                                      ^          |
//!                                      +----------+ what was not answered
//! ```
//!
//! A server that does not answer is left out and asked again; while none answers, scoring waits as
//! [`Waiting`] says. An answer that cannot be right ends it: a wrong score is never made up for.

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

/// Between two looks whether a lost server is back, while nobody asks for scores.
const PROBE: Duration = Duration::from_secs(1);

type Scores = Result<Vec<Score>, ServerError>;

/// The reward of `grpc://HOST:PORT,HOST:PORT`, with token and authorities from the environment.
///
/// # Errors
/// As [`ServerReward::open`].
pub fn open(
    servers: &Servers,
    runtime: &RewardRuntime,
) -> Result<Box<dyn RewardModel>, RewardError> {
    let (reach, waiting) = (ServerOptions::from_environment(), runtime.waiting.clone());
    Ok(Box::new(ServerReward::open(servers, reach, waiting)?))
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
    /// Asks the servers what they are; waits for the first that answers. The connections live on a
    /// thread of their own, so this and scoring may be called from anywhere.
    ///
    /// # Errors
    /// [`ServerError`]: an address, token or authority that cannot be used, a server that differs
    /// from another or says what it must not, or nobody that answers in time.
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
        // There is room: whoever asked before has waited for the answer.
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

/// The client's thread, from the first connection until nobody can ask any more.
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
            // Whoever opens it is there: it waits for this.
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
        // The caller may have ended.
        let _ = answer.send(fleet.score(images).await);
    }
}
