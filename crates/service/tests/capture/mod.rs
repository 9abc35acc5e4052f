//! Logs, kept in memory to be read back.

use std::io::{Result, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Everything that was logged. Clones share it.
#[derive(Clone, Default)]
pub struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    /// A writer for telemetry.
    pub fn writer(&self) -> BoxMakeWriter {
        let capture = self.clone();
        BoxMakeWriter::new(move || capture.clone())
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
