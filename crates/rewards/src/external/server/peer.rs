//! One reward server: its health, its description and its scores.

use super::options::ServerOptions;
use ddpo_delivery::reward::{EncodedImage, RewardCallError, RewardClient};
use ddpo_delivery::transport::Bearer;
use ddpo_proto::limits::Limits;
use ddpo_proto::reward::Description;
use ddpo_rollout::score::Score;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The service whose health counts.
const SERVICE: &str = "ddpo.v1.RewardModel";

/// The settings of the time limit for scores.
const DEADLINE: &str = "--reward-deadline of ddpo, reward_deadline_seconds of ddpo-rewarder";

/// One server.
pub(super) struct Peer {
    pub(super) address: String,
    client: RewardClient,
    health: HealthClient<Channel>,
    bearer: Bearer,
    options: ServerOptions,
    /// Failed attempts since the last answer.
    pub(super) failures: u32,
    /// Earliest time of the next attempt.
    pub(super) not_before: Instant,
}

impl Peer {
    /// Creates a client that connects at its first call.
    pub(super) fn new(
        address: String,
        endpoint: &Endpoint,
        bearer: Bearer,
        options: &ServerOptions,
    ) -> Self {
        let channel = endpoint.connect_lazy();
        Self {
            address,
            client: RewardClient::new(channel.clone(), bearer.clone(), Limits::default()),
            health: HealthClient::new(channel),
            bearer,
            options: options.clone(),
            failures: 0,
            not_before: Instant::now(),
        }
    }

    /// Asks the server for its description and its health.
    pub(super) async fn meet(&mut self) -> Result<Description, RewardCallError> {
        let limit = self.options.describing;
        let mut client = self.client.clone();
        let (well, description) = tokio::join!(self.is_well(limit), client.describe(limit));
        // The description comes first: its error is clearest if another program listens on the port.
        let description = description?;
        well?;
        Ok(description)
    }

    /// Checks `grpc.health.v1`. A server without it counts as healthy.
    async fn is_well(&mut self, limit: Duration) -> Result<(), RewardCallError> {
        let (named, whole) = (self.health_of(SERVICE, limit).await?, "");
        let status = match named {
            // The server does not report this service's health, so its overall health counts.
            Health::NotNamed => self.health_of(whole, limit).await?,
            known => known,
        };
        match status {
            Health::Serving | Health::NotNamed | Health::NotKept => Ok(()),
            Health::NotServing => {
                Err(RewardCallError::NoAnswer("its health is NOT_SERVING".to_owned()))
            }
        }
    }

    async fn health_of(&mut self, of: &str, limit: Duration) -> Result<Health, RewardCallError> {
        let mut request = Request::new(HealthCheckRequest { service: of.to_owned() });
        self.bearer.present(&mut request);
        let Ok(answer) = timeout(limit, self.health.check(request)).await else {
            return Err(RewardCallError::overdue(limit));
        };
        match answer {
            Ok(response) => Ok(match response.into_inner().status() {
                ServingStatus::Serving => Health::Serving,
                _ => Health::NotServing,
            }),
            Err(status) => match status.code() {
                Code::Unimplemented => Ok(Health::NotKept),
                Code::NotFound => Ok(Health::NotNamed),
                _ => Err(status.into()),
            },
        }
    }

    /// Returns one checked score for each image.
    pub(super) async fn score(
        &mut self,
        images: Vec<EncodedImage>,
        description: &Description,
    ) -> Result<Vec<Score>, RewardCallError> {
        let limit = self.options.scoring;
        let scored = self.client.score(images, description, limit).await;
        scored.map_err(|error| {
            if error == RewardCallError::overdue(limit) {
                return RewardCallError::NoAnswer(format!("{error}; hint: {DEADLINE}"));
            }
            error
        })
    }

    /// Records an answer.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
    }

    /// Records a failed attempt; the next one follows after a pause.
    pub(super) fn failed(&mut self) {
        self.not_before = Instant::now() + self.options.backoff.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
    }
}

/// The health that a server reports.
enum Health {
    Serving,
    NotServing,
    /// The server does not know the service's name.
    NotNamed,
    /// The server does not support health checks.
    NotKept,
}
