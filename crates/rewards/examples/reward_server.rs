//! A reward server in Rust: rewards red images.
//!
//! ```sh
//! cargo run --release -p ddpo-rewards --example reward_server -- 127.0.0.1:50060 &
//! ddpo train --config examples/quickstart.toml --reward grpc://127.0.0.1:50060 --output-dir runs/red
//! ```
//!
//! `Redness` is the reward; [`Served`] answers the two calls of `ddpo.v1.RewardModel` for any
//! [`RewardModel`]. To compile a reward into the programs instead, see CONTRIBUTING.md.

#![allow(clippy::print_stdout)] // A program's output.

use ddpo_proto::convert::reward::{description_to_wire, images_from_wire, scores_to_wire};
use ddpo_proto::limits::Limits;
use ddpo_proto::reward::Description;
use ddpo_proto::wire;
use ddpo_proto::wire::reward_model_server::{RewardModel as Calls, RewardModelServer};
use ddpo_rewards::{RewardDescription, RewardError, RewardModel};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::{Component, Score};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The mean level of red above the mean of green and blue.
struct Redness;

impl RewardModel for Redness {
    fn describe(&self) -> RewardDescription {
        let components = vec!["red".to_owned(), "others".to_owned()];
        RewardDescription { name: "redness".into(), unit: "levels of 255".into(), components }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        Ok(images.iter().map(redness).collect())
    }
}

fn redness(image: &RgbImage) -> Score {
    let mean = |channel: usize| {
        let levels = image.pixels().iter().skip(channel).step_by(3);
        let sum: u64 = levels.map(|&level| u64::from(level)).sum();
        sum as f32 * 3.0 / image.pixels().len() as f32
    };
    let (red, others) = (mean(0), (mean(1) + mean(2)) / 2.0);
    let component = |name: &str, value| Component { name: name.to_owned(), value };
    Score {
        reward: red - others,
        components: vec![component("red", red), component("others", others)],
    }
}

/// Serves a reward model.
struct Served(Mutex<Box<dyn RewardModel>>);

#[tonic::async_trait]
impl Calls for Served {
    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        let RewardDescription { name, unit, components } =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).describe();
        let description = Description { name, unit, components, max_batch: 32 };
        Ok(Response::new(description_to_wire(&description)))
    }

    async fn score(
        &self,
        request: Request<wire::ScoreRequest>,
    ) -> Result<Response<wire::ScoreResponse>, Status> {
        let images = images_from_wire(request.into_inner(), &Limits::default())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let scores = self.0.lock().unwrap_or_else(PoisonError::into_inner).score(&images);
        let scores = scores.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(scores_to_wire(&scores)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr =
        std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:50060").parse()?;
    println!("listening on {address}");
    let limit = Limits::default().max_score_request_bytes;
    let calls = RewardModelServer::new(Served(Mutex::new(Box::new(Redness))));
    let server = Server::builder().add_service(calls.max_decoding_message_size(limit));
    Ok(server.serve(address).await?)
}
