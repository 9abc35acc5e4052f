//! Sources of rewards: built-in rewards, TorchScript files and reward servers.

use crate::reward::task::Task;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use thiserror::Error;

/// The prefix of a TorchScript file.
const TORCHSCRIPT: &str = "torchscript:";

/// The separator between a TorchScript file's path and the form of its input.
const INPUT: &str = "?input=";

/// A source of rewards. Its text parses back to the same source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RewardSource {
    /// A built-in reward.
    Task(Task),
    /// `torchscript:PATH`: a TorchScript file.
    Script(Script),
    /// `grpc://HOST:PORT,HOST:PORT` or, with TLS, `grpcs://...`: reward servers.
    Servers(Servers),
}

/// A TorchScript file and the form of its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    /// Path of the file.
    pub path: String,
    /// The value of `?input=`; `None` means [`ScriptInput::Uint8`].
    pub input: Option<ScriptInput>,
}

/// The form of the pixels `[B, 3, H, W]` that a TorchScript module expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScriptInput {
    /// u8 from 0 to 255.
    Uint8,
    /// f32 from 0 to 1.
    Float,
}

/// One or more reward servers with the same kind of connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Servers {
    /// Whether connections are encrypted (`grpcs://`).
    pub tls: bool,
    /// Addresses in the order of the text.
    pub addresses: Vec<ServerAddress>,
}

/// A server's `HOST:PORT`; the host is a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// The error for a text that is not a source of rewards.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "one of {}, torchscript:PATH, grpc://HOST:PORT or grpcs://HOST:PORT (more after commas), \
     found \"{found}\"",
    Task::listing()
)]
pub struct UnknownSource {
    /// The text.
    pub found: String,
}

impl RewardSource {
    /// Returns the name of the reward in scores and files. For a file this is the last component of its
    /// path, so that the name does not depend on the folder.
    pub fn label(&self) -> String {
        match self {
            Self::Script(script) => {
                let name = Path::new(&script.path).file_name().and_then(|name| name.to_str());
                let path = name.unwrap_or(&script.path).to_owned();
                Script { path, ..script.clone() }.to_string()
            }
            other => other.to_string(),
        }
    }

    /// Returns the built-in reward, or `None` for files and servers.
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::Task(task) => Some(*task),
            _ => None,
        }
    }
}

impl ServerAddress {
    /// Returns the host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, from 1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Parses `HOST:PORT`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = |character: char| {
            character.is_ascii_alphanumeric()
                || matches!(character, '.' | '-' | '_')
                || (bracketed && matches!(character, ':' | '[' | ']' | '%'))
        };
        let port =
            port.parse::<u16>().ok().filter(|number| *number > 0 && !port.starts_with('+'))?;
        (!host.is_empty() && host.chars().all(plain)).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let scheme = if self.tls { "grpcs" } else { "grpc" };
        write!(formatter, "{scheme}://{}", addresses.join(","))
    }
}

impl fmt::Display for ScriptInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Uint8 => "uint8",
            Self::Float => "float",
        })
    }
}

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{TORCHSCRIPT}{}", self.path)?;
        self.input.map_or(Ok(()), |input| write!(formatter, "{INPUT}{input}"))
    }
}

impl fmt::Display for RewardSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => task.fmt(formatter),
            Self::Script(script) => script.fmt(formatter),
            Self::Servers(servers) => servers.fmt(formatter),
        }
    }
}

impl FromStr for RewardSource {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        let found = if let Some(script) = text.strip_prefix(TORCHSCRIPT) {
            self::script(script).map(Self::Script)
        } else if let Some(list) = text.strip_prefix("grpc://") {
            servers(false, list).map(Self::Servers)
        } else if let Some(list) = text.strip_prefix("grpcs://") {
            servers(true, list).map(Self::Servers)
        } else {
            Task::of_short(text).map(Self::Task)
        };
        found.ok_or_else(|| UnknownSource { found: text.to_owned() })
    }
}

fn script(text: &str) -> Option<Script> {
    let (path, input) = match text.rsplit_once(INPUT) {
        Some((path, "uint8")) => (path, Some(ScriptInput::Uint8)),
        Some((path, "float")) => (path, Some(ScriptInput::Float)),
        Some(_) => return None,
        None => (text, None),
    };
    (!path.is_empty()).then(|| Script { path: path.to_owned(), input })
}

fn servers(tls: bool, list: &str) -> Option<Servers> {
    let addresses: Option<Vec<_>> = list.split(',').map(ServerAddress::parse).collect();
    Some(Servers { tls, addresses: addresses? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RewardSource {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn prefix_determines_the_kind_of_source() {
        assert_eq!(parsed("aesthetic"), RewardSource::Task(Task::AestheticScore));
        assert_eq!(parsed("over50 years old"), RewardSource::Task(Task::Over50));
        let script = |path: &str, input| RewardSource::Script(Script { path: path.into(), input });
        assert_eq!(parsed("torchscript:a:b/c.pt"), script("a:b/c.pt", None));
        let float = Some(ScriptInput::Float);
        assert_eq!(parsed("torchscript:my reward.pt?input=float"), script("my reward.pt", float));
        let RewardSource::Servers(servers) = parsed("grpcs://a.b:1,[::1]:2") else {
            panic!("expected servers");
        };
        assert!(servers.tls);
        assert_eq!(servers.addresses[1].host(), "[::1]");
        assert_eq!(servers.addresses[1].port(), 2);
    }

    #[test]
    fn texts_parse_back_to_the_same_source() {
        for text in [
            "under30 years old",
            "torchscript:/models/x.pt?input=uint8",
            "torchscript:x.pt",
            "grpc://127.0.0.1:50060,reward-b:50061",
            "grpcs://[::1]:1",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert_eq!(
            parsed("torchscript:/a/b.pt?input=float").label(),
            "torchscript:b.pt?input=float"
        );
    }

    #[test]
    fn error_for_unknown_sources_lists_all_forms() {
        for text in [
            "beauty",
            "torchscript:",
            "torchscript:x.pt?input=double",
            "grpc://",
            "grpc://a:1,",
            "grpc://a",
            "grpc://a/b:1",
            "grpc://me@a:1",
            "grpc://a b:1",
            "grpc://a:0",
            "grpc://a:99999",
            "grpc://:1",
        ] {
            let found = text.parse::<RewardSource>().unwrap_err().to_string();
            assert!(found.starts_with("one of \"aesthetic score\""), "{found}");
            assert!(found.contains("torchscript:PATH"), "{found}");
            assert!(found.ends_with(&format!("found \"{text}\"")), "{found}");
        }
    }
}
