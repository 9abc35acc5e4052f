//! Reads a service's counters through its Inspector.

use ddpo_proto::wire::GetStatusRequest;
use ddpo_proto::wire::inspector_client::InspectorClient;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Counters by name.
pub type Counters = BTreeMap<String, u64>;

/// Returns what a service has counted since its start.
///
/// # Errors
/// The service does not answer.
pub async fn counters(address: SocketAddr) -> Result<Counters, String> {
    let ask = async {
        let uri = format!("http://{address}");
        let mut client = InspectorClient::connect(uri).await.map_err(|error| error.to_string())?;
        let status = client.get_status(GetStatusRequest {}).await;
        let status = status.map_err(|error| error.to_string())?.into_inner();
        let mut counters: Counters = status.counters.into_iter().collect();
        counters.insert("in_flight".to_owned(), status.trajectories_in_flight);
        Ok(counters)
    };
    timeout(Duration::from_secs(10), ask)
        .await
        .map_err(|_| format!("{address}: no answer within 10 s"))?
}
