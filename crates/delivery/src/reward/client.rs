//! The client of one reward server.

use super::call::RewardCallError;
use crate::transport::Bearer;
use ddpo_proto::convert::reward::{
    MalformedReward, description_from_wire, image_to_wire, scores_from_wire,
};
use ddpo_proto::limits::Limits;
use ddpo_proto::reward::Description;
use ddpo_proto::wire;
use ddpo_proto::wire::reward_model_client::RewardModelClient;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::Score;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// An encoded image. Clones share its pixels, so resending is cheap.
#[derive(Clone, Debug)]
pub struct EncodedImage(wire::Image);

impl EncodedImage {
    /// Copies the pixels; `index` names the image in the error.
    ///
    /// # Errors
    /// An image without pixels, or larger than `limits`.
    pub fn new(index: usize, image: &RgbImage, limits: &Limits) -> Result<Self, MalformedReward> {
        image_to_wire(index, image, limits).map(Self)
    }

    /// Returns the largest number of bytes that it adds to a request.
    pub fn bytes(&self) -> usize {
        // Two sides, three tags and two lengths.
        self.0.rgb8.len() + 32
    }
}

/// A client of one server. Clones share its connection.
#[derive(Clone, Debug)]
pub struct RewardClient {
    inner: RewardModelClient<Channel>,
    bearer: Bearer,
    limits: Limits,
}

impl RewardClient {
    /// Creates a client on `channel` that presents `bearer` with every call.
    pub fn new(channel: Channel, bearer: Bearer, limits: Limits) -> Self {
        let inner = RewardModelClient::new(channel)
            .max_decoding_message_size(limits.max_reward_answer_bytes());
        Self { inner, bearer, limits }
    }

    /// Asks the server for its description.
    ///
    /// # Errors
    /// [`RewardCallError`]; [`RewardCallError::NoAnswer`] after `limit`.
    pub async fn describe(&mut self, limit: Duration) -> Result<Description, RewardCallError> {
        let request = self.request(wire::DescribeRequest {}, limit);
        let response = answered(self.inner.describe(request), limit).await?;
        Ok(description_from_wire(response, &self.limits)?)
    }

    /// Requests one score per image and checks them against `description`.
    ///
    /// # Errors
    /// [`RewardCallError`]; [`RewardCallError::NoAnswer`] after `limit`.
    pub async fn score(
        &mut self,
        images: Vec<EncodedImage>,
        description: &Description,
        limit: Duration,
    ) -> Result<Vec<Score>, RewardCallError> {
        let count = images.len();
        let images = images.into_iter().map(|image| image.0).collect();
        let request = self.request(wire::ScoreRequest { images }, limit);
        let response = answered(self.inner.score(request), limit).await?;
        Ok(scores_from_wire(response, count, description)?)
    }

    fn request<T>(&self, message: T, limit: Duration) -> Request<T> {
        let mut request = Request::new(message);
        // Tells the server when to stop: a second after `limit`, so that this side reports the
        // timeout.
        request.set_timeout(limit.saturating_add(Duration::from_secs(1)));
        self.bearer.present(&mut request);
        request
    }
}

async fn answered<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
    limit: Duration,
) -> Result<T, RewardCallError> {
    match timeout(limit, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(RewardCallError::overdue(limit)),
    }
}
