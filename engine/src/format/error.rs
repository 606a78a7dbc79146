//! What can be wrong with bytes that were opened.

use crate::error::{Error, Kind};

/// Why bytes are not what they should be; `repo` adds the object it knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("{what} has {len} bytes, more than {len_max}")]
    TooLong { what: &'static str, len: u64, len_max: u64 },
    #[error("{field} is {count}, more than {count_max}")]
    TooMany { field: &'static str, count: u64, count_max: u64 },
    #[error("bytes end within {field}")]
    Truncated { field: &'static str },
    #[error("{count} bytes follow the end of {what}")]
    Trailing { what: &'static str, count: u64 },
    #[error("reserved bytes of {field} are not zero")]
    Reserved { field: &'static str },
    #[error("{field} overflows")]
    Overflow { field: &'static str },
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: &'static str },
    #[error("{field}: not a valid value")]
    Bad { field: &'static str },
    #[error("{field}: {count} is more than the format allows")]
    Excess { field: &'static str, count: u64 },
    #[error("{what} has version {found}; this program knows version {known}")]
    Version { what: &'static str, found: u64, known: u64 },
    #[error("CBOR: {0}")]
    Cbor(String),
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        let kind = match &error {
            FormatError::Version { .. } => Kind::Unsupported,
            _ => Kind::Corrupt,
        };
        Self::new(kind, error.to_string())
    }
}
