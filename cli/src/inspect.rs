//! `ddpo inspect`: shows a service's status and trajectories in a terminal, as grpcurl would.

use crate::arguments::InspectCommand;
use crate::output::show;
use anyhow::{Context, Result, bail};
use ddpo_proto::wire::inspector_client::InspectorClient;
use ddpo_proto::wire::{
    GetStatusRequest, GetStatusResponse, GetTrajectoryRequest, GetTrajectoryResponse,
    ListTrajectoriesRequest, Stage, TrajectoryEvent, TrajectorySummary, WatchTrajectoriesRequest,
};
use ddpo_service::auth::AuthChannel;
use ddpo_service::output::is_closed;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest side of an image that a watch may request, in pixels.
const LARGEST_SIDE: u32 = 512;

type Client = InspectorClient<AuthChannel>;

/// Runs the command.
pub fn run(command: &InspectCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(inspect(command))
}

async fn inspect(command: &InspectCommand) -> Result<()> {
    let mut client: Client = InspectorClient::new(command.auth.channel(&command.address)?);
    if let Some(id) = &command.trajectory {
        return trajectory(&mut client, command, id).await;
    }
    let status = answer(command, client.get_status(GetStatusRequest {})).await?;
    show(&status_text(&status));
    if command.watch {
        return watch(&mut client, command).await;
    }
    let request = ListTrajectoriesRequest { limit: command.limit };
    let listed = answer(command, client.list_trajectories(request)).await?;
    let lines: Vec<String> = listed.trajectories.iter().map(|one| line(one) + "\n").collect();
    show(&format!("\n{}", lines.concat()));
    Ok(())
}

/// Waits for an answer; a timeout is an error that names the address.
async fn answer<T>(
    command: &InspectCommand,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    let address = &command.address;
    match timeout(PATIENCE, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => bail!("{address}: {}: {}", status.code(), status.message()),
        Err(_) => bail!("{address}: no answer within {PATIENCE:?}"),
    }
}

async fn watch(client: &mut Client, command: &InspectCommand) -> Result<()> {
    let request = WatchTrajectoriesRequest {
        with_thumbnails: command.images.is_some(),
        thumbnail_side_pixels: LARGEST_SIDE,
    };
    if let Some(folder) = &command.images {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
    }
    loop {
        let mut events = answer(command, client.watch_trajectories(request)).await?;
        // The stream ends if the service stops, or if this client reads too slowly.
        let ended = loop {
            match events.message().await {
                Ok(Some(event)) => changed(command, &event)?,
                Ok(None) => return Ok(()),
                Err(status) => break status,
            }
            if is_closed() && command.images.is_none() {
                return Ok(());
            }
        };
        if ended.code() != Code::ResourceExhausted {
            let address = &command.address;
            bail!("{address}: the watch has ended: {}: {}", ended.code(), ended.message());
        }
        show("(some changes were missed)\n");
    }
}

fn changed(command: &InspectCommand, event: &TrajectoryEvent) -> Result<()> {
    let Some(trajectory) = &event.trajectory else { return Ok(()) };
    show(&(line(trajectory) + "\n"));
    match &command.images {
        Some(folder) => keep_image(folder, &trajectory.trajectory_id, &event.thumbnail_png),
        None => Ok(()),
    }
}

/// Replaces the trajectory's image atomically. An event without an image, such as an abandoned
/// trajectory, changes nothing.
fn keep_image(folder: &Path, trajectory_id: &str, png: &[u8]) -> Result<()> {
    if png.is_empty() {
        return Ok(());
    }
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = trajectory_id.chars().map(plain).collect();
    Ok(ddpo_files::write_file(&folder.join(name + ".png"), png)?)
}

async fn trajectory(client: &mut Client, command: &InspectCommand, id: &str) -> Result<()> {
    let request =
        GetTrajectoryRequest { trajectory_id: id.into(), with_image: command.png.is_some() };
    let found = answer(command, client.get_trajectory(request)).await?;
    show(&trajectory_text(&found));
    if let Some(path) = &command.png {
        ddpo_files::write_file(path, &found.image_png)?;
        show(&format!("image      {}\n", path.display()));
    }
    Ok(())
}

fn status_text(status: &GetStatusResponse) -> String {
    let serving = if status.serving { "serving" } else { "not serving" };
    let mebibytes = |bytes: u64| bytes >> 20;
    let mut text = format!(
        "{} {} (run {}, version {}, up {:.0} s): {serving}, {}\n",
        status.service,
        status.worker_id,
        status.run_id,
        status.program_version,
        status.uptime_seconds,
        status.activity,
    );
    if let Some(version) = status.policy_version {
        text += &format!("weights    v{version} {:.16}\n", status.weights_digest);
    }
    text += &format!(
        "in flight  {} trajectories\nmemory     {} MiB, at most {} MiB\n",
        status.trajectories_in_flight,
        mebibytes(status.memory_bytes),
        mebibytes(status.peak_memory_bytes),
    );
    let counters = status.counters.iter().filter(|(_, count)| **count > 0);
    counters.for_each(|(name, count)| text += &format!("{count:>10}  {name}\n"));
    text
}

fn line(one: &TrajectorySummary) -> String {
    let reward = one.reward.map_or(String::new(), |reward| format!("  reward {reward:.4}"));
    let reason = if one.reason.is_empty() { String::new() } else { format!("  {}", one.reason) };
    format!(
        "{:<8} {:>3}/{:<3} v{:<4} {}  {}{reward}{reason}",
        stage(one),
        one.steps_done,
        one.steps_total,
        one.policy_version,
        one.trajectory_id,
        one.worker_id,
    )
}

fn stage(one: &TrajectorySummary) -> &'static str {
    match one.stage() {
        Stage::Unspecified => "unknown",
        Stage::Growing => "growing",
        Stage::Complete => "complete",
        Stage::Scored => "scored",
        Stage::Accepted => "accepted",
        Stage::Trained => "trained",
        Stage::Rejected => "rejected",
    }
}

fn trajectory_text(found: &GetTrajectoryResponse) -> String {
    let mut text = found.trajectory.as_ref().map_or(String::new(), |one| line(one) + "\n");
    text += &format!("timesteps  {:?}\n", found.timesteps);
    if !found.log_probs.is_empty() {
        text += &format!("log-probs  {:?}\n", found.log_probs);
    }
    if let Some(score) = &found.score {
        text += &format!("reward     {}\n", score.reward);
        for part in &score.components {
            text += &format!("           {} {}\n", part.name, part.value);
        }
    }
    text
}
