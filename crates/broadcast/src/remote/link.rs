//! A connection to Redis that reconnects, and repeats commands for a limited time.

use super::config::{RedisConfig, Secrets};
use crate::error::BroadcastError;
use backon::{ExponentialBuilder, Retryable};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation,
    ServerErrorKind,
};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Pauses between attempts to connect.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(25))
    .with_max_delay(Duration::from_secs(1))
    .without_max_times();

/// A command or script. Every one must be safe to send twice.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

impl Ask<'_> {
    async fn send<T: FromRedisValue>(self, manager: &mut ConnectionManager) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(manager).await,
            Self::Script(script) => script.invoke_async(manager).await,
        }
    }
}

/// One connection, shared by all callers.
pub(super) struct Link {
    client: Client,
    config: ConnectionManagerConfig,
    secrets: Secrets,
    patience: Duration,
    manager: Mutex<Numbered>,
}

#[derive(Clone)]
struct Numbered {
    number: u64,
    manager: ConnectionManager,
}

impl Link {
    /// Creates a connection with the given `response_timeout`; it connects on first use.
    pub(super) fn new(
        client: &Client,
        secrets: &Secrets,
        config: &RedisConfig,
        response_timeout: Duration,
    ) -> Result<Self, BroadcastError> {
        // `ask` repeats attempts, because there a wrong password can be told from an unreachable
        // server.
        let manager_config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        let manager =
            ConnectionManager::new_lazy_with_config(client.clone(), manager_config.clone())
                .map_err(|error| describe("open a connection", &error, secrets, Duration::ZERO))?;
        Ok(Self {
            client: client.clone(),
            config: manager_config,
            secrets: secrets.clone(),
            patience: config.patience,
            manager: Mutex::new(Numbered { number: 0, manager }),
        })
    }

    /// Sends a command; repeats it while the server is unreachable, until the patience is over.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        action: &'static str,
        ask: Ask<'_>,
    ) -> Result<T, BroadcastError> {
        self.ask_until(action, ask, Instant::now() + self.patience).await
    }

    /// Sends a command; repeats it while the server is unreachable, until `deadline`.
    pub(super) async fn ask_until<T: FromRedisValue>(
        &self,
        action: &'static str,
        ask: Ask<'_>,
        deadline: Instant,
    ) -> Result<T, BroadcastError> {
        let began = Instant::now();
        let send = || async {
            let Numbered { number, mut manager } = self.numbered();
            ask.send(&mut manager).await.inspect_err(|error| {
                let unanswered = !error.is_connection_dropped() && !is_answer(error);
                if unanswered || is_of_a_replica(error) {
                    self.replace(number);
                }
            })
        };
        send.retry(PAUSES)
            .when(is_transient)
            .adjust(|_, pause| pause.filter(|&pause| Instant::now() + pause <= deadline))
            .notify(|error, _| {
                let error = self.secrets.hide(&error.to_string());
                tracing::debug!(action, error, "trying again");
            })
            .await
            .map_err(|error| describe(action, &error, &self.secrets, began.elapsed()))
    }

    fn numbered(&self) -> Numbered {
        self.manager.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the connection. The manager reconnects dropped connections, but keeps a connection
    /// that stopped answering, and keeps the failure if the server rejected the handshake.
    fn replace(&self, number: u64) {
        let mut current = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number != number {
            return;
        }
        let (client, config) = (self.client.clone(), self.config.clone());
        if let Ok(manager) = ConnectionManager::new_lazy_with_config(client, config) {
            *current = Numbered { number: number + 1, manager };
        }
    }
}

/// Returns whether the server has answered, even with an error.
fn is_answer(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType
    )
}

/// Returns whether the server is a replica. After a failover its name may have another address.
fn is_of_a_replica(error: &RedisError) -> bool {
    use ServerErrorKind::{MasterDown, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(MasterDown | ReadOnly))
}

/// Returns the state of a server that cannot do its work at the moment, by the code of its answer.
fn state_of(error: &RedisError) -> Option<&'static str> {
    Some(match error.code()? {
        "LOADING" => "is loading its data",
        "READONLY" => "is a read-only replica",
        "MASTERDOWN" => "is a replica without its primary",
        "CLUSTERDOWN" => "is in a cluster that is down",
        "TRYAGAIN" => "asks to try again",
        "BUSY" => "is busy with a script",
        "MISCONF" => "cannot save its data to disk",
        "NOREPLICAS" => "has too few replicas",
        _ => return None,
    })
}

fn is_transient(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io || error.code() == Some("OOM") || state_of(error).is_some()
}

fn describe(
    action: &'static str,
    error: &RedisError,
    secrets: &Secrets,
    after: Duration,
) -> BroadcastError {
    let reason = secrets.hide(&error.to_string());
    match (error.kind(), error.code()) {
        _ if error.is_timeout() => BroadcastError::Timeout { action, after },
        (ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm), _)
        | (_, Some("NOAUTH" | "WRONGPASS")) => BroadcastError::Refused { action, reason },
        (_, Some("OOM")) => BroadcastError::OutOfMemory { action },
        // A script's error quotes the code of the command that failed.
        _ if reason.contains("WRONGTYPE") => BroadcastError::WrongType { action, reason },
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => {
            BroadcastError::Unreadable { action, reason }
        }
        _ => match state_of(error) {
            Some(state) => BroadcastError::Waiting { action, state, reason },
            None if error.kind() == ErrorKind::Io => BroadcastError::Unavailable { action, reason },
            None => BroadcastError::Server { action, reason },
        },
    }
}
