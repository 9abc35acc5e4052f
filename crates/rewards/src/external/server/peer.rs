//! One reward server: whether it is there and well, what it is, and what it says of images.

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

/// The service that has to be well.
const SERVICE: &str = "ddpo.v1.RewardModel";

/// One server.
pub(super) struct Peer {
    pub(super) address: String,
    client: RewardClient,
    health: HealthClient<Channel>,
    bearer: Bearer,
    options: ServerOptions,
    /// Attempts in vain since its last answer.
    pub(super) failures: u32,
    /// It is not tried again before.
    pub(super) not_before: Instant,
}

impl Peer {
    /// Connects when it is first asked.
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

    /// Asks the server whether it is well and what it is.
    pub(super) async fn meet(&mut self) -> Result<Description, RewardCallError> {
        let limit = self.options.describing;
        let mut client = self.client.clone();
        let (well, description) = tokio::join!(self.is_well(limit), client.describe(limit));
        // Its description first: a port where something else listens is told by that.
        let description = description?;
        well?;
        Ok(description)
    }

    /// `grpc.health.v1`; a server without it is taken to be well.
    async fn is_well(&mut self, limit: Duration) -> Result<(), RewardCallError> {
        let (named, whole) = (self.health_of(SERVICE, limit).await?, "");
        let status = match named {
            // Health is kept, but not of this service: then that of the whole counts.
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

    /// One checked score for each image.
    pub(super) async fn score(
        &mut self,
        images: Vec<EncodedImage>,
        description: &Description,
    ) -> Result<Vec<Score>, RewardCallError> {
        self.client.score(images, description, self.options.scoring).await
    }

    /// Notes an answer.
    pub(super) fn answered(&mut self) {
        self.failures = 0;
    }

    /// Notes an attempt in vain: the next one comes after a pause.
    pub(super) fn failed(&mut self) {
        self.not_before = Instant::now() + self.options.backoff.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
    }
}

/// What a server says of its health.
enum Health {
    Serving,
    NotServing,
    /// It does not know the service's name.
    NotNamed,
    /// It does not tell.
    NotKept,
}
