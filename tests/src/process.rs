//! A `ddpo` process: started, watched, signalled, and waited for with a deadline.

use crate::binary;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that anything here is waited for. A busy machine is slow; a hang is for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at a folder.
const LOOK: Duration = Duration::from_micros(200);

/// How a process ended and what it said.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Checks that it went well.
    ///
    /// # Panics
    /// When the status is not zero.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Checks that it was refused as everything is refused: a status that is not zero, no panic,
    /// and one line on standard error, which is given without its `error: `.
    ///
    /// # Panics
    /// When any of that is not so.
    #[track_caller]
    pub fn refused(&self) -> &str {
        assert!(self.code.is_some_and(|code| code != 0), "expected a refusal, found {self}");
        assert_eq!(self.stderr.lines().count(), 1, "expected one line, found {self}");
        let message = self.stderr.trim_end().strip_prefix("error: ");
        let message = message.unwrap_or_else(|| panic!("expected `error: `, found {self}"));
        let panicked = message.contains("panicked") || message.contains("inside the program");
        assert!(!panicked, "expected no panic, found {self}");
        message
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

/// `ddpo ARGUMENTS` in `folder`, with none of the caller's settings, and without the help of
/// `LD_LIBRARY_PATH`.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::ddpo());
    prepare(&mut command, folder);
    command.args(arguments);
    command
}

/// Sets the working folder and takes away the caller's settings.
pub fn prepare(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env_remove("LD_LIBRARY_PATH");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["DDPO_", "HF_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    // No test may reach for the network.
    command.env("HF_HUB_OFFLINE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// A process under way. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<()>>,
    said: String,
    complained: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    /// Starts a command made by [`command`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut stderr = child.stderr.take().expect("standard error is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let complained = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complained);
        let stderr = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(bytes @ 1..) = stderr.read(&mut some) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend(&some[..bytes]);
            }
        });
        Self { child, lines, stderr: Some(stderr), said: String::new(), complained }
    }

    /// Waits for the process to say `text`, or to end without; whether it did.
    ///
    /// # Panics
    /// When neither happens in time.
    pub fn says(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.said.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said += &(line + "\n"),
                Err(_) if left.is_zero() => panic!("waited for `{text}`, found {}", self.said),
                Err(_) => return false,
            }
        }
        true
    }

    /// What follows `start` in the first line that begins with it.
    ///
    /// # Panics
    /// When the process ends without such a line.
    #[track_caller]
    pub fn said_after(&mut self, start: &str) -> String {
        assert!(self.says(start), "it ended without `{start}`: {}", self.said);
        let line = self.said.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_default().to_owned()
    }

    /// Waits for the process to say `text` on standard error, or to end without; whether it did.
    ///
    /// # Panics
    /// When neither happens in time.
    pub fn complains(&mut self, text: &str) -> bool {
        let complained = Arc::clone(&self.complained);
        self.reaches(|| text_of(&complained).contains(text))
    }

    /// Waits until `condition` holds or the process has ended; whether it holds.
    ///
    /// # Panics
    /// When neither happens in time.
    pub fn reaches(&mut self, condition: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // In this order: what it did last counts too.
            let ended = self.has_ended();
            if condition() {
                return true;
            }
            if ended {
                return false;
            }
            assert!(Instant::now() < deadline, "waited in vain, found {}", self.said);
            std::thread::sleep(LOOK);
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Lets the process run for `time`, but not beyond `limit`, which a machine that has become
    /// faster may reach before.
    ///
    /// # Panics
    /// When the process hangs.
    pub fn runs_for(&mut self, time: Duration, limit: impl Fn() -> bool) {
        let end = Instant::now() + time;
        self.reaches(|| Instant::now() >= end || limit());
    }

    /// Kills the process: SIGKILL, which it cannot see coming.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("a child can be killed");
        self.end()
    }

    /// Sends a signal, such as `INT`, by the shell's own `kill`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "the process has ended before the signal");
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn end(mut self) -> Ended {
        // A text that no process says: this reads on to the end of standard output.
        while self.says("\0") {}
        let status = self.child.wait().expect("a child can be waited for");
        let read = self.stderr.take().and_then(|thread| thread.join().ok());
        read.expect("standard error can be read");
        let stderr = text_of(&self.complained);
        Ended { code: status.code(), stdout: std::mem::take(&mut self.said), stderr }
    }
}

fn text_of(bytes: &Mutex<Vec<u8>>) -> String {
    let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where the process has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
