//! Errors of a repository, and errors of a source: two types, so that one never becomes the other.

use std::fmt;
use std::io;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The named thing does not exist.
    NotFound,
    /// No slot opens with the given credential.
    WrongKey,
    /// A version, feature or kind this program does not know.
    Unsupported,
    /// Stored bytes are damaged.
    Corrupt,
    /// The store or disk did not answer; trying again may help.
    Unavailable,
    /// Something exists that should not.
    Conflict,
    /// A disk or quota is full.
    NoSpace,
    /// A safety rule forbids it.
    Refused,
    /// The repository is older than, or another branch of, what this host has seen.
    RolledBack,
    /// The ring of keys was replaced since the repository was opened: it is to be opened anew.
    NewRing,
    /// Asked to stop.
    Interrupted,
    /// The request itself cannot be carried out as given.
    Input,
}

impl Kind {
    /// True if one object is at fault, so that work that does not need it can go on.
    #[must_use]
    pub fn is_damage(self) -> bool {
        matches!(self, Self::Corrupt | Self::NotFound | Self::Unsupported)
    }
}

/// An error of the repository, its keys, its store, or a restore target.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What engine operations return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `what` says what failed, where, and the way out.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    /// An operating system's error; the kind follows from it.
    pub fn io(what: impl Into<String>, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Kind::NoSpace,
            io::ErrorKind::AlreadyExists => Kind::Conflict,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Refused,
            _ => Kind::Unavailable,
        };
        Self { kind, what: what.into(), cause: Some(Box::new(error)) }
    }

    /// Adds what was being done, or to which object, in front.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self { what: format!("{what}: {}", self.what), ..self }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the operating system said, if the error began there.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.cause.as_ref()?.downcast_ref::<io::Error>().map(io::Error::kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(out, "{}: {cause}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

impl std::error::Error for Error {}

/// Something of a source that could not be read. Never made from an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The raw path, as the operating system knows it.
    pub path: Vec<u8>,
    pub what: String,
}

impl SourceError {
    /// Names `path` and what happened to it.
    pub fn new(path: impl Into<Vec<u8>>, what: impl fmt::Display) -> Self {
        Self { path: path.into(), what: what.to_string() }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", String::from_utf8_lossy(&self.path), self.what)
    }
}

impl std::error::Error for SourceError {}
