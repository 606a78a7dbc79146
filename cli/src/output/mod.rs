//! Everything that is printed.

pub mod escape;
pub mod json;
pub mod progress;
pub mod retention;
pub mod table;
pub mod units;
pub mod watcher;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

use coffer_engine::error::SourceError;
use serde::Serialize;

use crate::exit::{Code, Failure, Result};

/// Standard output, buffered. A reader that went away ends the command quietly.
pub struct Stdout(BufWriter<File>);

impl Stdout {
    /// Standard output of this process.
    ///
    /// # Errors
    /// When it is not open.
    pub fn new() -> Result<Self> {
        let own = io::stdout().as_fd().try_clone_to_owned().map_err(output_failure)?;
        Ok(Self(BufWriter::with_capacity(64 << 10, File::from(own))))
    }

    /// Writes one line of text, already escaped.
    ///
    /// # Errors
    /// When nobody takes it any more.
    pub fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.0, "{text}").map_err(output_failure)
    }

    /// Writes one value as a line of JSON.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.0, value)
            .map_err(io::Error::from)
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(output_failure)
    }

    /// Sends what is buffered.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn finish(mut self) -> Result<()> {
        self.0.flush().map_err(output_failure)
    }
}

/// Writes raw bytes; for content rather than lines.
impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An error of standard output: a closed pipe is no failure.
#[must_use]
pub fn output_failure(error: io::Error) -> Failure {
    let code = if is_closed(&error) { Code::OutputClosed } else { Code::Failed };
    Failure::new(code, format!("standard output: {error}"))
}

/// True if whoever read our output is gone.
#[must_use]
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Writes a line to standard error; there is nowhere to tell that this failed.
pub fn stderr_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a value as a line of JSON to standard error.
pub fn stderr_json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        stderr_line(&text);
    }
}

/// Tells what could not be read of a source, as text or as `error`.
pub fn tell_problem(problem: &SourceError, as_json: bool) {
    if !as_json {
        let path = escape::name(&problem.path);
        return stderr_line(&format!("coffer: warning: {path}: {}", escape::text(&problem.what)));
    }
    item_error(&problem.path, &problem.what, "archival");
}

/// Writes an `error` about one path to standard error.
pub fn item_error(path: &[u8], message: &str, during: &'static str) {
    let json::PathText { text: item, base64: item_b64 } = json::PathText::absolute(path);
    let error = json::ErrorText { message };
    stderr_json(&json::ItemError { message_type: "error", error, during, item, item_b64 });
}

/// Tells how the command failed, as text with a hint or as `exit_error`.
pub fn tell_failure(failure: &Failure, as_json: bool) {
    if failure.code == Code::OutputClosed {
        return;
    }
    if as_json {
        stderr_json(&json::ExitError::new(failure));
        return;
    }
    let kind = if failure.code == Code::Partial { "warning" } else { "error" };
    stderr_line(&format!("coffer: {kind}: {}", escape::text(&failure.message)));
    if let Some(hint) = &failure.hint {
        stderr_line(&format!("hint: {}", escape::text(hint)));
    }
}
