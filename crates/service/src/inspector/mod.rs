//! `ddpo.v1.Inspector`: the status of a service and the trajectories on its board.

mod convert;
mod pictures;
mod service;
mod status;

pub use service::InspectorService;
pub use status::{ServiceInfo, Status, StatusSource};
