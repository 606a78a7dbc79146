//! Names of users and groups, asked once each.

use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits;
use crate::model::Owner;

/// Bytes for one record of the user or group database; a group with many members is long.
const RECORD_LEN_MIN: usize = 1 << 10;
const RECORD_LEN_MAX: usize = 4 << 20;

/// The owners seen so far, with their names.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<HashMap<(u32, u32), Arc<Owner>>>);

impl Owners {
    /// The owner of these numbers, with names as the system's databases tell them now.
    pub(super) fn get(&self, uid: u32, gid: u32) -> Arc<Owner> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = known.entry((uid, gid)).or_insert_with(|| {
            Arc::new(Owner { uid, gid, user: user_name(uid), group: group_name(gid) })
        });
        Arc::clone(owner)
    }
}

fn user_name(uid: u32) -> Vec<u8> {
    look_up(|buffer| {
        // SAFETY: plain data for the call to fill.
        let mut record: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call, and the length is the buffer's. The name
        // points into the buffer, which outlives its use.
        unsafe {
            let start = buffer.as_mut_ptr().cast::<c_char>();
            let status = libc::getpwuid_r(uid, &mut record, start, buffer.len(), &mut found);
            (status, (!found.is_null()).then(|| copy_text(record.pw_name)))
        }
    })
}

fn group_name(gid: u32) -> Vec<u8> {
    look_up(|buffer| {
        // SAFETY: as in `user_name`.
        let mut record: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: as in `user_name`.
        unsafe {
            let start = buffer.as_mut_ptr().cast::<c_char>();
            let status = libc::getgrgid_r(gid, &mut record, start, buffer.len(), &mut found);
            (status, (!found.is_null()).then(|| copy_text(record.gr_name)))
        }
    })
}

/// # Safety
/// `text` is null or points to a text that ends in a NUL.
unsafe fn copy_text(text: *const c_char) -> Vec<u8> {
    if text.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
}

/// Calls `ask` with longer buffers until the record fits; empty if there is none.
fn look_up(mut ask: impl FnMut(&mut [u8]) -> (i32, Option<Vec<u8>>)) -> Vec<u8> {
    let mut buffer = vec![0; RECORD_LEN_MIN];
    loop {
        match ask(&mut buffer) {
            (libc::ERANGE, _) if buffer.len() < RECORD_LEN_MAX => {
                buffer.resize(buffer.len() * 4, 0)
            }
            (libc::EINTR, _) => {}
            (_, name) => {
                // A name the format cannot hold counts as unknown.
                let fits = |name: &Vec<u8>| name.len() <= limits::OWNER_NAME_LEN_MAX;
                return name.filter(fits).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_the_names_the_system_gives_them() {
        let owners = Owners::default();
        let root = owners.get(0, 0);
        assert_eq!((root.user.as_slice(), root.group.as_slice()), (&b"root"[..], &b"root"[..]));
        assert!(Arc::ptr_eq(&root, &owners.get(0, 0)));
        let nobody = owners.get(3_999_999_999, 3_999_999_998);
        assert_eq!((nobody.uid, nobody.gid), (3_999_999_999, 3_999_999_998));
        assert!(nobody.user.is_empty() && nobody.group.is_empty());
    }
}
