//! Temporary names, and the list of those in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Folder, guard};
use crate::model::Entropy;

const PREFIX: &[u8] = b".coffer-";
const DIGIT_COUNT: usize = 16;

/// A name that only this engine makes: `.coffer-` and 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TemporaryName([u8; PREFIX.len() + DIGIT_COUNT]);

impl TemporaryName {
    fn new(number: u64) -> Self {
        let mut name = [0; PREFIX.len() + DIGIT_COUNT];
        let (prefix, digits) = name.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * (DIGIT_COUNT - 1 - at)) & 15) as usize];
        }
        Self(name)
    }

    /// A name nobody can foresee.
    pub(super) fn random() -> Self {
        Self::new(u64::from_le_bytes(Entropy::system().bytes()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// True if `name` is a temporary of this or an earlier restore.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.strip_prefix(PREFIX)
        .is_some_and(|digits| digits.len() == DIGIT_COUNT && digits.iter().all(is_digit))
}

/// A temporary that has not got its final name.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) folder: Arc<Folder>,
    pub(super) is_tree: bool,
}

/// The temporaries in use, and where the next name comes from.
#[derive(Debug)]
pub(super) struct Temporaries {
    next: AtomicU64,
    in_use: Mutex<HashMap<TemporaryName, Temporary>>,
}

impl Temporaries {
    pub(super) fn new() -> Self {
        let seed = u64::from_le_bytes(Entropy::system().bytes());
        Self { next: AtomicU64::new(seed), in_use: Mutex::default() }
    }

    /// A name not given before by this process. After a collision `fresh` draws anew, so that
    /// nobody who saw names can occupy the next ones.
    pub(super) fn name(&self, fresh: bool) -> TemporaryName {
        if fresh {
            return TemporaryName::random();
        }
        let number = self.next.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        TemporaryName::new(number)
    }

    /// Calls `make` with names until one was free; the made temporary is in use until
    /// [`Self::release`].
    pub(super) fn make<T>(
        &self,
        folder: &Arc<Folder>,
        is_tree: bool,
        make: impl Fn(&[u8]) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<(TemporaryName, T)> {
        let mut tries = 0;
        loop {
            let name = self.name(tries > 0);
            match make(name.as_bytes()) {
                Ok(made) => {
                    let temporary = Temporary { folder: Arc::clone(folder), is_tree };
                    guard(&self.in_use).insert(name, temporary);
                    return Ok((name, made));
                }
                Err(rustix::io::Errno::EXIST) if tries < 16 => tries += 1,
                Err(errno) => return Err(errno),
            }
        }
    }

    pub(super) fn release(&self, name: &TemporaryName) {
        guard(&self.in_use).remove(name);
    }

    pub(super) fn take_all(&self) -> Vec<(TemporaryName, Temporary)> {
        guard(&self.in_use).drain().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_are_known_again_and_others_are_not() {
        let temporaries = Temporaries::new();
        let names = [temporaries.name(false), temporaries.name(false), temporaries.name(true)];
        assert!(names.iter().all(|name| is_temporary(name.as_bytes())));
        assert!(names[0] != names[1] && names[1] != names[2]);
        for name in [
            &b".coffer-"[..],
            b".coffer-0123",
            b".coffer-0123456789ABCDEF",
            b"x.coffer-0123456789abcdef",
        ] {
            assert!(!is_temporary(name));
        }
    }
}
