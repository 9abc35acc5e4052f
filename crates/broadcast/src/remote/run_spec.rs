//! The run's specification in Redis: everything that samplers need besides weights.

use super::link::Ask;
use super::reply::settled;
use super::store::RedisBroadcast;
use crate::error::BroadcastError;
use crate::lease::Lease;
use ddpo_rollout::order::RunSpec;
use redis::Cmd;

impl RedisBroadcast {
    /// Stores the specification.
    ///
    /// # Errors
    /// [`BroadcastError::LostLease`] if the caller has lost the lease, [`BroadcastError::Invalid`]
    /// if the specification is of another run; otherwise errors of Redis.
    pub async fn put_run_spec(&self, lease: &Lease, spec: &RunSpec) -> Result<(), BroadcastError> {
        check_run(&self.run_id, spec)?;
        let text = text_of(spec)?;
        let mut script = self.scripts.put.key(self.keys.lease());
        script.key(self.keys.spec()).arg(lease.token.0).arg(text);
        let reply = self.link.ask("store the specification", Ask::Script(&script)).await?;
        settled(lease, reply).map(|_| ())
    }

    /// Returns whether exactly this specification is stored.
    ///
    /// # Errors
    /// Errors of Redis.
    pub async fn is_run_spec(&self, spec: &RunSpec) -> Result<bool, BroadcastError> {
        let text = text_of(spec)?;
        // One byte more than expected shows a longer text.
        let last = isize::try_from(text.len()).unwrap_or(isize::MAX);
        let command = Cmd::getrange(self.keys.spec(), 0, last);
        let found: Vec<u8> =
            self.link.ask("compare the specification", Ask::Command(&command)).await?;
        Ok(found == text.as_bytes())
    }

    /// Returns the stored specification.
    ///
    /// # Errors
    /// [`BroadcastError::Invalid`] if it cannot be parsed; otherwise errors of Redis.
    pub async fn run_spec(&self) -> Result<Option<RunSpec>, BroadcastError> {
        let command = Cmd::get(self.keys.spec());
        // Any client may have written it, so it may not be text.
        let text: Option<Vec<u8>> =
            self.link.ask("read the specification", Ask::Command(&command)).await?;
        let Some(text) = text else { return Ok(None) };
        let spec: RunSpec = serde_json::from_slice(&text).map_err(|error| {
            BroadcastError::invalid(
                "stored specification",
                "the JSON of a specification",
                error.to_string(),
            )
        })?;
        check_run(&self.run_id, &spec)?;
        Ok(Some(spec))
    }
}

fn text_of(spec: &RunSpec) -> Result<String, BroadcastError> {
    serde_json::to_string(spec).map_err(|error| {
        let expected = "a value that JSON can represent";
        BroadcastError::invalid("specification", expected, error.to_string())
    })
}

fn check_run(run_id: &str, spec: &RunSpec) -> Result<(), BroadcastError> {
    if spec.run_id == run_id {
        return Ok(());
    }
    Err(BroadcastError::invalid("run of a specification", run_id, &spec.run_id))
}
