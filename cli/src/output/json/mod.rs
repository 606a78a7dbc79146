//! The JSON lines; field names are restic's where restic has them.

mod browse;
mod listing;
mod retention;
mod summary;
mod tune;

pub use browse::{
    ChangeLine, DiffLine, FindLine, FindSummaryLine, MountedLine, SettingsLine, StatsLine,
};
pub use listing::{KeyLine, NodeLine, SnapshotLine, entry_type, short, slot_kind, source_status};
pub use retention::{ForgetLine, ForgetUndoLine, GroupLine, PruneLine, PruneUndoLine};
pub use summary::{BackupLine, FindingLine, ReportLine, RestoreLine, TouchedLine};
pub use tune::TuneLine;

use serde::Serialize;

use super::escape;
use crate::exit::Failure;

/// The last line on stderr of a command that does not end with 0.
#[derive(Debug, Serialize)]
pub struct ExitError<'a> {
    message_type: &'static str,
    code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> ExitError<'a> {
    /// The line for `failure`.
    #[must_use]
    pub fn new(failure: &'a Failure) -> Self {
        let (message_type, code) = ("exit_error", failure.code.number());
        Self { message_type, code, message: &failure.message, hint: failure.hint.as_deref() }
    }
}

/// A raw path as text, and as base64 of its bytes when they are not UTF-8.
#[derive(Debug)]
pub struct PathText {
    pub text: String,
    pub base64: Option<String>,
}

impl PathText {
    /// A path of a manifest, with a leading slash.
    #[must_use]
    pub fn absolute(bytes: &[u8]) -> Self {
        let mut absolute = if bytes.starts_with(b"/") { Vec::new() } else { b"/".to_vec() };
        absolute.extend_from_slice(bytes);
        Self::as_given(&absolute)
    }

    /// A path as it is.
    #[must_use]
    pub fn as_given(bytes: &[u8]) -> Self {
        let base64 = std::str::from_utf8(bytes).err().map(|_| escape::base64(bytes));
        Self { text: String::from_utf8_lossy(bytes).into_owned(), base64 }
    }
}

/// The path fields of a line.
#[derive(Debug, Serialize)]
pub struct JsonPath {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
}

impl JsonPath {
    /// A path of a manifest, with a leading slash.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let PathText { text: path, base64: path_b64 } = PathText::absolute(bytes);
        Self { path, path_b64 }
    }
}

/// A new repository.
#[derive(Debug, Serialize)]
pub struct Initialized {
    pub message_type: &'static str,
    pub id: String,
    pub repository: String,
}

/// A note, or a problem that is no file's.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub message_type: &'static str,
    pub message: &'a str,
}

/// Counts while the work goes on; what a command does not count is left out.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    pub message_type: &'static str,
    pub seconds_elapsed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_remaining: Option<u64>,
    pub percent_done: f64,
    pub total_files: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_done: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_restored: Option<u64>,
    pub total_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_done: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_restored: Option<u64>,
    pub error_count: u64,
}

/// What happened to one entry.
#[derive(Debug, Serialize)]
pub struct VerboseStatus {
    pub message_type: &'static str,
    pub action: &'static str,
    pub item: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_b64: Option<String>,
    /// restic's field for a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_size: Option<u64>,
    /// restic's field for a restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A file that could not be read or written.
#[derive(Debug, Serialize)]
pub struct ItemError<'a> {
    pub message_type: &'static str,
    pub error: ErrorText<'a>,
    pub during: &'static str,
    pub item: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_b64: Option<String>,
}

/// The text of an [`ItemError`].
#[derive(Debug, Serialize)]
pub struct ErrorText<'a> {
    pub message: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    fn text(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn an_exit_error_has_the_peers_fields() {
        let failure = Failure::new(Code::NoRepository, "no \"r\"");
        let line = r#"{"message_type":"exit_error","code":10,"message":"no \"r\""}"#;
        assert_eq!(text(&ExitError::new(&failure)), line);
    }

    #[test]
    fn a_path_that_is_not_text_has_its_bytes_too() {
        assert_eq!(text(&JsonPath::new(b"etc/a")), r#"{"path":"/etc/a"}"#);
        let odd = text(&JsonPath::new(b"\xff"));
        assert_eq!(odd, "{\"path\":\"/\u{fffd}\",\"path_b64\":\"L/8=\"}");
    }
}
