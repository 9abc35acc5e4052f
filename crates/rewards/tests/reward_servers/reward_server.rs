//! A reward server for tests, which can also be told to misbehave. It rewards the mean level of red;
//! its components are the mean levels of green and blue.

use ddpo_proto::convert::reward::{description_to_wire, images_from_wire, scores_to_wire};
use ddpo_proto::limits::Limits;
use ddpo_proto::reward::Description;
use ddpo_proto::wire::reward_model_server::{RewardModel, RewardModelServer};
use ddpo_proto::wire::{DescribeRequest, DescribeResponse, ScoreRequest, ScoreResponse};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::{Component, Score};
use std::future::pending;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

/// The server's answer to a request for scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    /// Correct scores.
    Well,
    /// No answer.
    Silent,
    /// NaN as reward.
    NotANumber,
    /// An infinite component.
    Endless,
    /// One score too few.
    TooFew,
    /// One score too many.
    TooMany,
    /// Scores without components.
    Bare,
    /// A gRPC status.
    Refusing(Code),
}

/// The server's description and the calls it received.
pub struct State {
    pub mood: Mood,
    pub description: Description,
    /// If set, calls without this token are rejected.
    pub token: Option<&'static str>,
    /// Number of images and bytes of pixels of each `Score` call.
    pub batches: Vec<(usize, usize)>,
}

/// The server. Dropping it closes its connections.
pub struct RewardServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    health: HealthReporter,
    runtime: Option<Runtime>,
}

/// Returns the default description of the server.
pub fn redness(max_batch: usize) -> Description {
    let components = vec!["green".to_owned(), "blue".to_owned()];
    Description { name: "redness".into(), unit: "levels".into(), components, max_batch }
}

/// Returns the server's score of an image.
pub fn expected(image: &RgbImage) -> Score {
    let mean = |channel: usize| {
        let levels = image.pixels().iter().skip(channel).step_by(3);
        let sum: u32 = levels.map(|&level| u32::from(level)).sum();
        sum as f32 / (image.width() * image.height()) as f32
    };
    let part = |name: &str, channel| Component { name: name.into(), value: mean(channel) };
    Score { reward: mean(0), components: vec![part("green", 1), part("blue", 2)] }
}

impl RewardServer {
    /// Starts a server on a free port.
    pub fn start() -> Self {
        Self::start_at(free_address(), redness(0))
    }

    /// Starts a server at `address` with the given description.
    pub fn start_at(address: SocketAddr, description: Description) -> Self {
        let state = State { mood: Mood::Well, description, token: None, batches: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let runtime = Runtime::new().unwrap();
        let _entered = runtime.enter();
        let (health, service) = health_reporter();
        let limits = Limits::default();
        let own = RewardModelServer::new(Service(Arc::clone(&state)))
            .max_decoding_message_size(limits.max_score_request_bytes);
        let listener = runtime.block_on(bound(address));
        let address = listener.local_addr().unwrap();
        let router = Server::builder().add_service(service).add_service(own);
        runtime.spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        let server = Self { address, state, health, runtime: Some(runtime) };
        server.serving(true);
        server
    }

    pub fn url(&self) -> String {
        format!("grpc://{}", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets the health of the server.
    pub fn serving(&self, well: bool) {
        let status = if well { ServingStatus::Serving } else { ServingStatus::NotServing };
        let set = self.health.set_service_status("ddpo.v1.RewardModel", status);
        self.runtime.as_ref().unwrap().block_on(set);
    }
}

impl Drop for RewardServer {
    fn drop(&mut self) {
        // Closes connections in the middle of calls.
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Returns an address that is probably unused.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Service(Arc<Mutex<State>>);

impl Service {
    fn admitted<T>(&self, request: &Request<T>) -> Result<MutexGuard<'_, State>, Status> {
        let state = self.0.lock().unwrap();
        let shown = request.metadata().get("authorization");
        let shown = shown.map(|value| value.to_str().unwrap().to_owned());
        match state.token.map(|token| format!("Bearer {token}")) {
            Some(token) if shown.as_ref() != Some(&token) => {
                Err(Status::unauthenticated("who are you?"))
            }
            _ => Ok(state),
        }
    }
}

#[tonic::async_trait]
impl RewardModel for Service {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let state = self.admitted(&request)?;
        Ok(Response::new(description_to_wire(&state.description)))
    }

    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let mood = self.admitted(&request)?.mood;
        let images = images_from_wire(request.into_inner(), &Limits::default())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let bytes = images.iter().map(|image| image.pixels().len()).sum();
        self.0.lock().unwrap().batches.push((images.len(), bytes));
        let mut scores: Vec<Score> = images.iter().map(expected).collect();
        match mood {
            Mood::Well => {}
            Mood::Silent => pending().await,
            Mood::NotANumber => scores[0].reward = f32::NAN,
            Mood::Endless => scores[0].components[1].value = f32::INFINITY,
            Mood::TooFew => drop(scores.pop()),
            Mood::TooMany => scores.push(Score::plain(0.0)),
            Mood::Bare => scores.iter_mut().for_each(|score| score.components.clear()),
            Mood::Refusing(code) => return Err(Status::new(code, "not like this")),
        }
        Ok(Response::new(scores_to_wire(&scores)))
    }
}

/// Binds the address. A connection of another test may use its port for a moment.
async fn bound(address: SocketAddr) -> tokio::net::TcpListener {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{address}: {error}"),
        }
    }
}
