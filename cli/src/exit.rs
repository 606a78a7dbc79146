//! How a command ends: the exit code, the message, and the way out.

use std::fmt;

use coffer_engine::error::{Error, Kind};

/// Exit codes; restic's numbers where restic has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Whoever read standard output is gone: the command ends quietly, as if all was said.
    OutputClosed = 0,
    Failed = 1,
    Usage = 2,
    Partial = 3,
    Damage = 4,
    Refused = 5,
    RolledBack = 6,
    NoRepository = 10,
    WrongPassword = 12,
    Interrupted = 130,
}

impl Code {
    /// The number a shell sees.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code of an engine error. A missing thing is a plain failure: only opening a repository
    /// knows that the missing thing is the repository itself.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            Kind::Corrupt => Self::Damage,
            Kind::WrongKey => Self::WrongPassword,
            // The system's "permission denied" is no safety rule of ours.
            Kind::Refused if error.io_kind().is_none() => Self::Refused,
            Kind::RolledBack => Self::RolledBack,
            Kind::Interrupted => Self::Interrupted,
            Kind::Input => Self::Usage,
            Kind::Refused
            | Kind::NotFound
            | Kind::Unsupported
            | Kind::Unavailable
            | Kind::Conflict
            | Kind::NewRing
            | Kind::NoSpace => Self::Failed,
        }
    }
}

/// Why a command did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

/// What commands return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// A mistake in the command line or the environment.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// The user asked to stop.
    #[must_use]
    pub fn interrupted() -> Self {
        let hint = "nothing half-written is left visible; run the command again to go on";
        Self::new(Code::Interrupted, "interrupted").hint(hint)
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// An engine error met while opening the repository at `location`: there, "not found" means
    /// that there is no repository.
    #[must_use]
    pub fn opening(location: &str, error: Error) -> Self {
        if error.kind() == Kind::NotFound {
            return Self::no_repository(location);
        }
        Self::from(error)
    }

    /// There is no repository at `location`.
    #[must_use]
    pub fn no_repository(location: &str) -> Self {
        Self::new(Code::NoRepository, format!("there is no repository at {location}")).hint(
            "create one with `coffer init`, or name another with -r or COFFER_REPOSITORY; \
             is its disk mounted?",
        )
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.kind() == Kind::Interrupted {
            return Self::interrupted();
        }
        let hint = hint_for(error.kind()).map(str::to_owned);
        Self { code: Code::of(&error), message: error.to_string(), hint }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

fn hint_for(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::WrongKey => Some(
            "give the right one with --password-file, --password-command, COFFER_PASSWORD \
             or --key-file",
        ),
        Kind::Unsupported => Some("a newer coffer wrote this; use that version or a later one"),
        Kind::Corrupt => Some(
            "`coffer verify` tells what is damaged; other snapshots stay restorable, and the next \
             backup stores again what it still finds at the source",
        ),
        Kind::Unavailable => Some("try again; nothing half-written is left visible"),
        Kind::NoSpace => Some("make room, then run the command again: stored data is used again"),
        Kind::RolledBack => Some(
            "somebody put back an older copy of the repository or made another branch of it; if \
             that was you, give this host a new --state-dir to accept it",
        ),
        Kind::NotFound
        | Kind::Conflict
        | Kind::NewRing
        | Kind::Refused
        | Kind::Interrupted
        | Kind::Input => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn every_kind_has_its_exit_code() {
        let codes = [
            (Kind::NotFound, 1),
            (Kind::WrongKey, 12),
            (Kind::Unsupported, 1),
            (Kind::Corrupt, 4),
            (Kind::Unavailable, 1),
            (Kind::Conflict, 1),
            (Kind::NewRing, 1),
            (Kind::NoSpace, 1),
            (Kind::Refused, 5),
            (Kind::RolledBack, 6),
            (Kind::Interrupted, 130),
            (Kind::Input, 2),
        ];
        for (kind, code) in codes {
            assert_eq!(Failure::from(Error::new(kind, "x")).code.number(), code, "{kind:?}");
        }
    }

    #[test]
    fn a_missing_repository_is_code_10_only_while_opening() {
        let missing = || Error::new(Kind::NotFound, "config");
        assert_eq!(Failure::opening("/r", missing()).code, Code::NoRepository);
        assert_eq!(Failure::from(missing()).code, Code::Failed);
        let wrong = Error::new(Kind::WrongKey, "no slot opens");
        assert_eq!(Failure::opening("/r", wrong).code, Code::WrongPassword);
    }

    #[test]
    fn permission_denied_is_no_safety_rule() {
        let denied = Error::io("packs/", io::ErrorKind::PermissionDenied.into());
        assert_eq!(Failure::from(denied).code, Code::Failed);
    }
}
