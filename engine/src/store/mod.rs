//! The dumb service a repository lives in: names, immutable bytes, create only if absent.

mod discard;
mod fault;
mod local;
mod memory;
mod staged;
#[cfg(test)]
mod tests;

pub use discard::DiscardStore;
pub use fault::{FaultStore, Operation, When};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use staged::Staged;

use crate::error::{Error, Kind, Result};

/// What became of an attempt to create an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The object is now there, durably, with the given bytes.
    Created,
    /// The name was taken before; nothing was changed. It may hold other bytes, or be our own
    /// object whose first success was lost on the way: read it and compare.
    Exists,
}

/// Receives one listed object: its full name and its length in bytes.
pub type Listed<'a> = dyn FnMut(&str, u64) -> Result<()> + 'a;

/// Keeps objects: a name and immutable bytes.
///
/// Names are relative paths of lower-case letters, digits, `.`, `-` and `_`; see page 1 of the format.
/// Every method returns `Unavailable` if trying again may help.
pub trait Store: Send + Sync {
    /// Tells a human where the store is, without secrets.
    fn location(&self) -> String;

    /// True if reading something back costs next to nothing: no slow line, and no fee. Else what a backup
    /// compares with comes from the cache of this host.
    fn is_local(&self) -> bool {
        true
    }

    /// Reads a whole object of at most `len_max` bytes.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Corrupt` if it is longer than `len_max`.
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>>;

    /// Reads exactly `len` bytes from `offset` on, both in bytes of the stored object.
    ///
    /// # Errors
    /// `NotFound` if there is no such object; `Corrupt` if it ends before `offset + len`.
    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>>;

    /// Tells the length of an object in bytes; none if it does not exist.
    ///
    /// # Errors
    /// Only if the store cannot answer.
    fn len(&self, name: &str) -> Result<Option<u64>>;

    /// Creates a small object in one step. When it returns `Created` the object is durable.
    ///
    /// # Errors
    /// `NoSpace`, `Refused` or `Unavailable`. After an error the object may or may not exist, as
    /// after a lost reply: it counts as not written, and its name is not used for other bytes.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation> {
        let mut staged = self.stage()?;
        staged.append(bytes)?;
        self.publish(staged, name)
    }

    /// Begins an object that grows by appending and has no name yet.
    ///
    /// # Errors
    /// `NoSpace`, `Refused` or `Unavailable`.
    fn stage(&self) -> Result<Staged>;

    /// Gives a staged object its name, in one step and durably, if the name is absent.
    ///
    /// # Errors
    /// As [`Store::create`].
    fn publish(&self, staged: Staged, name: &str) -> Result<Creation>;

    /// Calls `each` for every object under `prefix`: empty, or a folder's name ending in `/`.
    ///
    /// # Errors
    /// When the listing could not be brought to its end, and whatever `each` returns: what was
    /// listed until then is not the whole.
    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()>;

    /// When the object was stored, by the store's own clock, in nanoseconds since 1970-01-01T00:00:00 UTC;
    /// none if the store does not know, or has no such object. Nothing that must hold may rest on it.
    ///
    /// # Errors
    /// Only if the store cannot answer.
    fn modified_ns(&self, name: &str) -> Result<Option<i64>> {
        let _ = name;
        Ok(None)
    }

    /// Deletes an object; one that is already gone is no error.
    ///
    /// # Errors
    /// `Refused` or `Unavailable`.
    fn delete(&self, name: &str) -> Result<()>;
}

/// Bytes of a name, at most: well below what a file system allows.
const NAME_LEN_MAX: usize = 200;

/// The folder of unfinished objects, which is no part of the repository.
const TMP: &str = "tmp";

/// Refuses a name that is not a plain relative path of the store's alphabet.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let sound = name.len() <= NAME_LEN_MAX
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain))
        && name.split('/').next() != Some(TMP);
    if sound {
        Ok(())
    } else {
        Err(Error::new(Kind::Input, format!("no name for an object: {name:?}")))
    }
}

/// Refuses a prefix that is neither empty nor the name of a folder with a `/` at its end.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    match prefix.strip_suffix('/') {
        Some(folder) => check_name(folder),
        None if prefix.is_empty() => Ok(()),
        None => Err(Error::new(Kind::Input, format!("no folder of a store: {prefix:?}"))),
    }
}

/// The error for an object that is not there.
pub(crate) fn not_found(name: &str, location: &str) -> Error {
    Error::new(Kind::NotFound, format!("{name} is not in {location}"))
}

/// The error for an object that is longer than its kind may be.
pub(crate) fn too_long(name: &str, len: u64, len_max: u64) -> Error {
    Error::new(Kind::Corrupt, format!("{name} has {len} bytes, more than the limit of {len_max}"))
}

/// The error for a read behind the end of an object.
pub(crate) fn too_short(name: &str, len: u64, end: u64) -> Error {
    Error::new(Kind::Corrupt, format!("{name} ends at byte {len}, before byte {end}"))
}
