//! All servers of a reward. A batch goes to the next free server; if that server does not answer, the
//! batch goes to another one or waits.

use super::error::ServerError;
use super::options::ServerOptions;
use super::peer::Peer;
use super::reach::{LOOK, Reachability};
use super::work::Work;
use crate::external::waiting::Waiting;
use ddpo_delivery::reward::{EncodedImage, RewardCallError};
use ddpo_proto::limits::Limits;
use ddpo_proto::reward::Description;
use ddpo_rollout::reward::Servers;
use ddpo_rollout::score::Score;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, sleep_until};

/// The servers, after at least one has described its reward.
pub(super) struct Fleet {
    peers: Vec<Peer>,
    description: Description,
    reach: Reachability,
    limits: Limits,
}

impl Fleet {
    /// Waits for the first description. All descriptions that arrive by then must agree.
    pub(super) async fn open(
        servers: &Servers,
        options: &ServerOptions,
        waiting: Waiting,
    ) -> Result<Self, ServerError> {
        let ways = options.ways(servers)?;
        let peer = |(address, endpoint): &(String, _)| {
            Peer::new(address.clone(), endpoint, ways.bearer.clone(), options)
        };
        let mut peers: Vec<Peer> = ways.endpoints.iter().map(peer).collect();
        let names = peers.iter().map(|peer| peer.address.clone()).collect();
        let mut reach = Reachability::new(names, waiting);
        loop {
            let meeting = join_all(peers.iter_mut().map(Peer::meet));
            let met = reach.unless_called_off(meeting).await?;
            if let Some(description) = first_of(&mut peers, met, &reach)? {
                reach.opened();
                return Ok(Self { peers, description, reach, limits: Limits::default() });
            }
            while peers.iter().all(|peer| peer.not_before > tokio::time::Instant::now()) {
                reach.check_called_off()?;
                sleep(LOOK.min(options.backoff.first)).await;
            }
        }
    }

    /// Returns the description of the reward.
    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Returns one score for each image, in the same order.
    pub(super) async fn score(
        &mut self,
        images: Vec<EncodedImage>,
    ) -> Result<Vec<Score>, ServerError> {
        let Self { peers, description, reach, limits } = self;
        let work = Work::new(images, peers.len());
        let call = Call { work: &work, description, reach, limits };
        let mut workers: FuturesUnordered<_> =
            peers.iter_mut().enumerate().map(|(index, peer)| call.work_at(index, peer)).collect();
        let scoring = async {
            loop {
                tokio::select! {
                    biased;
                    () = work.finished() => return Ok::<(), ServerError>(()),
                    Some(ended) = workers.next() => ended?,
                }
            }
        };
        reach.unless_called_off(scoring).await??;
        drop(workers);
        Ok(work.into_scores())
    }

    /// Returns whether no server answers.
    pub(super) fn is_lost(&self) -> bool {
        self.reach.is_lost()
    }

    /// Checks between calls whether lost servers answer again.
    pub(super) async fn probe(&mut self) {
        let Self { peers, description, reach, .. } = self;
        let meeting = join_all(peers.iter_mut().map(Peer::meet));
        // The next call reports a cancellation.
        let Ok(met) = reach.unless_called_off(meeting).await else { return };
        for (index, (peer, met)) in peers.iter_mut().zip(met).enumerate() {
            if met.is_ok_and(|found| found.is_same_reward(description)) {
                peer.answered();
                reach.answered(index);
            }
        }
    }
}

/// Returns the first description, if a server answers. All others must agree with it.
fn first_of(
    peers: &mut [Peer],
    met: Vec<Result<Description, RewardCallError>>,
    reach: &Reachability,
) -> Result<Option<Description>, ServerError> {
    let mut first: Option<(String, Description)> = None;
    for (index, (peer, met)) in peers.iter_mut().zip(met).enumerate() {
        let address = peer.address.clone();
        match (met, &first) {
            (Ok(found), None) => first = Some((address, found)),
            (Ok(found), Some((_, expected))) if found.is_same_reward(expected) => {}
            (Ok(found), Some((first, expected))) => {
                let (first, expected) = (first.clone(), Box::new(expected.clone()));
                return Err(ServerError::Differs { address, first, expected, found: found.into() });
            }
            (Err(RewardCallError::NoAnswer(reason)), _) => {
                peer.failed();
                reach.failed(index, &reason)?;
                continue;
            }
            (Err(source), _) => return Err(ServerError::Answer { address, source }),
        }
        peer.answered();
        reach.answered(index);
    }
    Ok(first.map(|(_, description)| description))
}

/// The state that the servers of one call share.
struct Call<'a> {
    work: &'a Work,
    description: &'a Description,
    reach: &'a Reachability,
    limits: &'a Limits,
}

impl Call<'_> {
    /// Scores batch after batch on one server until all images are done.
    async fn work_at(&self, index: usize, peer: &mut Peer) -> Result<(), ServerError> {
        loop {
            sleep_until(peer.not_before).await;
            if !self.work.wanted().await {
                return Ok(());
            }
            // Check the server before it gets images, so that a lost server does not delay them.
            let max_batch = match self.meet(peer).await {
                Ok(max_batch) => max_batch,
                Err(reason) => {
                    peer.failed();
                    self.reach.failed(index, &reason)?;
                    continue;
                }
            };
            let batch = self.work.take(max_batch, self.limits);
            if batch.is_empty() {
                continue;
            }
            match peer.score(self.work.images(&batch), self.description).await {
                Ok(scores) => {
                    peer.answered();
                    self.reach.answered(index);
                    self.work.done(&batch, scores);
                }
                Err(RewardCallError::NoAnswer(reason) | RewardCallError::NotGrpc(reason)) => {
                    self.work.put_back(&batch);
                    peer.failed();
                    self.reach.failed(index, &reason)?;
                }
                Err(source) => {
                    return Err(ServerError::Answer { address: peer.address.clone(), source });
                }
            }
        }
    }

    /// Returns the server's largest batch if the server is reachable, healthy and unchanged. Otherwise
    /// the run waits for somebody to repair it.
    async fn meet(&self, peer: &mut Peer) -> Result<usize, String> {
        let found = peer.meet().await.map_err(|error| error.to_string())?;
        match found.is_same_reward(self.description) {
            true => Ok(found.max_batch),
            false => Err(format!("expected {}, found {found}", self.description)),
        }
    }
}
