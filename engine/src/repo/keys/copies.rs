//! Objects that stand in the store twice, so that one of them may be lost.

use super::{Unlocked, corrupt, hash_of, ring_name};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::ObjectHash;
use crate::store::{Creation, Store};

fn copy_name(name: &str) -> String {
    format!("{name}.copy")
}

/// Creates an object and its copy, and reads both back equal.
///
/// # Errors
/// `Conflict` if the name is taken by other bytes, and then nothing was changed; `Corrupt` if only
/// the copy's is.
pub(super) fn put_twice(store: &dyn Store, name: &str, bytes: &[u8], len_max: u64) -> Result<()> {
    let copy = copy_name(name);
    let orphan = || corrupt(format!("{copy} stands in the store, but {name} is another or gone"));
    if store.len(&copy)?.is_some() && store.len(name)?.is_none() {
        return Err(orphan());
    }
    put(store, name, bytes, len_max)?;
    put(store, &copy, bytes, len_max)
        .map_err(|error| if error.kind() == Kind::Conflict { orphan() } else { error })
}

/// Creates an object and reads it back equal.
///
/// # Errors
/// `Conflict` if the name is taken by other bytes.
pub(super) fn put(store: &dyn Store, name: &str, bytes: &[u8], len_max: u64) -> Result<()> {
    let creation = store.create(name, bytes).map_err(|error| error.context(name))?;
    let stored = store.get(name, len_max).map_err(|error| error.context(name))?;
    if stored == bytes {
        // Ours, even if the reply to a first try was lost.
        return Ok(());
    }
    Err(match creation {
        Creation::Exists => Error::new(Kind::Conflict, format!("{name} exists already")),
        Creation::Created => corrupt(format!("{name} was read back with other bytes than written")),
    })
}

/// Gives the object's bytes to `use_it`, and if that finds fault, those of its copy.
///
/// # Errors
/// What the first of them met, unless only the copy exists. A copy with the same bytes is not tried again,
/// so that a wrong credential costs one derivation.
pub(super) fn with_either<T>(
    store: &dyn Store,
    name: &str,
    len_max: u64,
    mut use_it: impl FnMut(Vec<u8>) -> Result<T>,
) -> Result<T> {
    let mut tried = None;
    let mut attempt = |name: &str| {
        let bytes = store.get(name, len_max)?;
        let hash = hash_of(&bytes);
        if tried.replace(hash) == Some(hash) {
            return Ok(None);
        }
        use_it(bytes).map(Some)
    };
    let first = match attempt(name) {
        Ok(Some(done)) => return Ok(done),
        Err(error) if error.kind() == Kind::RolledBack => return Err(error),
        Err(error) => error,
        Ok(None) => corrupt(name),
    };
    match attempt(&copy_name(name)) {
        Ok(Some(done)) => Ok(done),
        Err(second) if first.kind() == Kind::NotFound || second.kind() == Kind::WrongKey => {
            Err(second)
        }
        Ok(None) | Err(_) => Err(first),
    }
}

/// Puts the missing copy of the config or of the current ring, as a writer does before it uses
/// keys that only one object holds. A copy with other bytes is left to `check` and `repair`.
///
/// # Errors
/// If the store cannot be read or written.
pub fn complete_copies(store: &dyn Store, unlocked: &Unlocked) -> Result<()> {
    complete(store, "config", limits::CONFIG_LEN_MAX, unlocked.config_hash)?;
    if unlocked.ring.number > 0 {
        let name = ring_name(unlocked.ring.number);
        complete(store, &name, limits::RING_LEN_MAX, unlocked.keyring.ring().hash)?;
    }
    Ok(())
}

fn complete(store: &dyn Store, name: &str, len_max: u64, hash: ObjectHash) -> Result<()> {
    let copy = copy_name(name);
    for (missing, other) in [(name, copy.as_str()), (&copy, name)] {
        if store.len(missing)?.is_none() {
            let bytes = store.get(other, len_max)?;
            if hash_of(&bytes) != hash {
                return Err(corrupt(format!("{other} is not the object that was opened")));
            }
            put(store, missing, &bytes, len_max)?;
        }
    }
    Ok(())
}
