//! The gRPC service, answered from a board and a status.

use crate::inspector::convert::{event, full, summary};
use crate::inspector::pictures::Pictures;
use crate::inspector::status::StatusSource;
use crate::memory;
use ddpo_inspector::board::Board;
use ddpo_inspector::thumbnail::{self, ThumbnailError};
use ddpo_proto::wire;
use ddpo_proto::wire::inspector_server::{Inspector, InspectorServer};
use futures::stream::{BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Instant;
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status as GrpcStatus};

const LIST_DEFAULT: u32 = 100;
const LIST_MOST: u32 = 1000;
const SIDE_DEFAULT: u32 = 64;
const SIDE_MOST: u32 = 512;

/// Serves `ddpo.v1.Inspector`.
pub struct InspectorService {
    board: Board,
    source: Arc<dyn StatusSource>,
    started: Instant,
}

impl InspectorService {
    /// Returns a server that answers from `board` and `source`.
    pub fn server(board: Board, source: Arc<dyn StatusSource>) -> InspectorServer<Self> {
        InspectorServer::new(Self { board, source, started: Instant::now() })
    }
}

#[tonic::async_trait]
impl Inspector for InspectorService {
    async fn get_status(
        &self,
        _: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, GrpcStatus> {
        let status = self.source.status();
        Ok(Response::new(wire::GetStatusResponse {
            service: status.service.to_owned(),
            worker_id: status.worker_id,
            incarnation: status.incarnation,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            run_id: status.run_id,
            serving: status.serving,
            activity: status.activity,
            policy_version: status.weights.map(|(version, _)| version.0),
            weights_digest: status.weights.map_or(String::new(), |(_, digest)| digest.to_string()),
            epoch: status.epoch,
            trajectories_in_flight: self.board.in_flight() as u64,
            counters: status.counters.into_iter().collect(),
            memory_bytes: memory::resident_bytes().unwrap_or(0),
            peak_memory_bytes: memory::peak_bytes().unwrap_or(0),
        }))
    }

    async fn list_trajectories(
        &self,
        request: Request<wire::ListTrajectoriesRequest>,
    ) -> Result<Response<wire::ListTrajectoriesResponse>, GrpcStatus> {
        let limit = within(request.into_inner().limit, LIST_DEFAULT, LIST_MOST);
        let trajectories = self.board.list(limit).iter().map(summary).collect();
        Ok(Response::new(wire::ListTrajectoriesResponse { trajectories }))
    }

    type WatchTrajectoriesStream = BoxStream<'static, Result<wire::TrajectoryEvent, GrpcStatus>>;

    async fn watch_trajectories(
        &self,
        request: Request<wire::WatchTrajectoriesRequest>,
    ) -> Result<Response<Self::WatchTrajectoriesStream>, GrpcStatus> {
        let asked = request.into_inner();
        let mut pictures = asked.with_thumbnails.then(|| {
            let side = within(asked.thumbnail_side_pixels, SIDE_DEFAULT, SIDE_MOST);
            Pictures::new(side, Instant::now())
        });
        let news = BroadcastStream::new(self.board.watch()).map(move |news| match news {
            Ok(record) => {
                let due = pictures.as_mut().and_then(|all| all.due(&record, Instant::now()));
                Ok(event(&record, due))
            }
            Err(_) => Err(GrpcStatus::resource_exhausted(
                "the watcher is too slow and has missed changes; hint: watch again",
            )),
        });
        // The stream ends after the first error, so a lagging watcher is disconnected.
        let news = news.scan(false, |over, item| {
            let last = std::mem::replace(over, item.is_err());
            std::future::ready((!last).then_some(item))
        });
        Ok(Response::new(news.boxed()))
    }

    async fn get_trajectory(
        &self,
        request: Request<wire::GetTrajectoryRequest>,
    ) -> Result<Response<wire::GetTrajectoryResponse>, GrpcStatus> {
        let asked = request.into_inner();
        let id: String = asked.trajectory_id.chars().take(200).collect();
        let record = self.board.get(&id).ok_or_else(|| {
            GrpcStatus::not_found(format!("trajectory {id:?}: not found; hint: ListTrajectories"))
        })?;
        let image = if asked.with_image {
            thumbnail::png(&record, usize::MAX).map_err(|error| refused(&error))?
        } else {
            Vec::new()
        };
        Ok(Response::new(full(&record, image)))
    }
}

fn refused(error: &ThumbnailError) -> GrpcStatus {
    match error {
        ThumbnailError::Gone(_) => GrpcStatus::not_found(error.to_string()),
        ThumbnailError::Image(_) => GrpcStatus::failed_precondition(error.to_string()),
        ThumbnailError::Picture(_) => GrpcStatus::internal(error.to_string()),
    }
}

fn within(asked: u32, default: u32, most: u32) -> usize {
    (if asked == 0 { default } else { asked.min(most) }) as usize
}
