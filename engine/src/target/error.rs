//! What goes wrong at a target: with one entry, or with the whole of it.

use rustix::io::Errno;

use crate::error::Error;

/// A failure while writing into a target.
#[derive(Debug)]
pub enum TargetError {
    /// This entry cannot be restored; others can.
    Entry(String),
    /// The target is full or broken: nothing more can be written.
    Fatal { what: String, errno: Errno },
}

/// What target operations return.
pub type Outcome<T> = std::result::Result<T, TargetError>;

impl TargetError {
    /// A system call's error; a full or broken disk is fatal, as is a process without
    /// memory or handles; anything else concerns the entry.
    pub(super) fn from_errno(what: &str, errno: Errno) -> Self {
        match errno {
            Errno::NOSPC
            | Errno::DQUOT
            | Errno::IO
            | Errno::NOMEM
            | Errno::MFILE
            | Errno::NFILE => Self::Fatal { what: what.to_owned(), errno },
            _ => Self::Entry(format!("{what}: {}", describe(errno))),
        }
    }

    /// The error of a whole restore into `location`.
    pub fn into_error(self, location: &str) -> Error {
        match self {
            Self::Entry(what) => Error::new(
                crate::error::Kind::Refused,
                format!("restore target {location}: {what}"),
            ),
            Self::Fatal { what, errno } => {
                Error::io(format!("restore target {location}: {what}"), errno.into())
            }
        }
    }
}

/// Names the call that failed.
pub(super) trait Named<T> {
    fn named(self, what: &str) -> Outcome<T>;
}

impl<T> Named<T> for std::result::Result<T, Errno> {
    fn named(self, what: &str) -> Outcome<T> {
        self.map_err(|errno| TargetError::from_errno(what, errno))
    }
}

fn describe(errno: Errno) -> String {
    match errno {
        Errno::ISDIR | Errno::NOTEMPTY => "a directory is in the way".to_owned(),
        Errno::NOTDIR | Errno::LOOP => "something that is not a directory is in the way".to_owned(),
        Errno::EXIST => "something with this name is in the way".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}
