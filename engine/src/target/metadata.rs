//! Owner, mode, attributes and times, set in the order in which none undoes another.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Target, guard};
use crate::model::{Time, Xattr};

const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// `UTIME_OMIT`: leaves the access time, which is not kept, as it is.
pub(super) const OMIT: i64 = 0x3fff_fffe;
/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;

/// What an entry is given besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    pub uid: u32,
    pub gid: u32,
    /// The low 12 bits of `st_mode`.
    pub mode: u32,
    pub mtime: Time,
    pub xattrs: Vec<Xattr>,
}

/// What is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Owners and groups are left as the system gives them.
    pub no_owner: bool,
    /// Set-user-id and set-group-id of files too; directories get theirs in any case.
    pub set_ids: bool,
}

/// Something that could not be set, with how many entries it befell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What could not be set, and why.
    pub what: String,
    pub count: u64,
    /// The first path it befell, below the target.
    pub first: Vec<u8>,
}

/// Notes by what they say.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<BTreeMap<String, (u64, Vec<u8>)>>);

/// What this process may do.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    pub(super) is_root: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups of this process.
    groups: Vec<u32>,
    /// Mode bits that new files do not get; all of them if unknown.
    pub(super) umask: u32,
}

/// What the object has already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    /// It was there before: attributes that are not wanted are removed.
    pub(super) strip: bool,
}

/// What the metadata is for, where it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    File,
    Directory,
}

impl Rights {
    pub(super) fn of_this_process() -> Self {
        let uid = rustix::process::geteuid();
        Self {
            is_root: uid.is_root(),
            uid: uid.as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups()
                .map(|groups| groups.into_iter().map(Gid::as_raw).collect())
                .unwrap_or_default(),
            umask: umask(),
        }
    }
}

/// Read, not set and reset: other threads create files meanwhile.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    digits.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o777)
}

impl Notes {
    pub(super) fn add(&self, what: String, path: &[u8]) {
        let mut notes = guard(&self.0);
        notes.entry(what).or_insert_with(|| (0, path.to_vec())).0 += 1;
    }

    pub(super) fn take(&self) -> Vec<Note> {
        let notes = std::mem::take(&mut *guard(&self.0));
        notes.into_iter().map(|(what, (count, first))| Note { what, count, first }).collect()
    }
}

impl Target {
    /// Sets everything by handle. What the system refuses becomes a note: the content is worth
    /// more.
    pub(super) fn apply(
        &self,
        handle: &OwnedFd,
        path: &[u8],
        metadata: &Metadata,
        before: &Before,
        shape: Shape,
    ) {
        let owned = self.wanted_owner(metadata, before.owner, path, |uid, gid| {
            rustix::fs::fchown(handle, uid, gid)
        });
        let mode = self.wanted_mode(metadata.mode, owned, shape, path);
        // Changing the owner clears the set-id bits.
        let keeps_owner = before.owner == Some((metadata.uid, metadata.gid));
        if before.mode != Some(mode) || (mode & SET_ID != 0 && !keeps_owner) {
            self.note(path, "mode", rustix::fs::fchmod(handle, Mode::from_raw_mode(mode)));
        }
        if before.strip {
            strip(handle, &metadata.xattrs);
        }
        for xattr in &metadata.xattrs {
            let set =
                rustix::fs::fsetxattr(handle, &xattr.name[..], &xattr.value, XattrFlags::empty());
            self.note_attribute(path, &xattr.name, set);
        }
        self.note(path, "time", rustix::fs::futimens(handle, &timestamps(metadata.mtime)));
    }

    /// The same for what cannot be opened: symbolic links, pipes, sockets and devices, by name in
    /// `folder`.
    pub(super) fn apply_by_name(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        path: &[u8],
        metadata: &Metadata,
        is_link: bool,
    ) {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let chown = |uid, gid| rustix::fs::chownat(folder, name, uid, gid, nofollow);
        let owned = self.wanted_owner(metadata, None, path, chown);
        if !is_link {
            let mode = self.wanted_mode(metadata.mode, owned, Shape::File, path);
            self.note(path, "mode", chmod_by_name(folder, name, mode));
        }
        let by_handle =
            [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat();
        for xattr in &metadata.xattrs {
            let set = rustix::fs::lsetxattr(
                &by_handle[..],
                &xattr.name[..],
                &xattr.value,
                XattrFlags::empty(),
            );
            self.note_attribute(path, &xattr.name, set);
        }
        self.note(
            path,
            "time",
            rustix::fs::utimensat(folder, name, &timestamps(metadata.mtime), nofollow),
        );
    }

    /// Gives the owner by `chown`; true if the object belongs to whom it should.
    fn wanted_owner(
        &self,
        metadata: &Metadata,
        before: Option<(u32, u32)>,
        path: &[u8],
        chown: impl Fn(Option<Uid>, Option<Gid>) -> rustix::io::Result<()>,
    ) -> bool {
        if before == Some((metadata.uid, metadata.gid)) {
            return true;
        }
        if self.policy.no_owner {
            return false;
        }
        let (uid, gid) = (raw_uid(metadata.uid), raw_gid(metadata.gid));
        if uid.is_none() || gid.is_none() {
            self.note(path, "owner", Err(Errno::INVAL));
            return false;
        }
        if !self.rights.is_root {
            return self.wanted_group(metadata, path, |gid| chown(None, Some(gid)));
        }
        let outcome = chown(uid, gid);
        self.note(path, "owner", outcome);
        outcome.is_ok()
    }

    /// Without privilege the group may still be another one of ours; nothing else is tried.
    fn wanted_group(
        &self,
        metadata: &Metadata,
        path: &[u8],
        chown: impl Fn(Gid) -> rustix::io::Result<()>,
    ) -> bool {
        let rights = &self.rights;
        let is_ours = metadata.gid == rights.gid || rights.groups.contains(&metadata.gid);
        let owned = metadata.uid == rights.uid && is_ours;
        if is_ours && let Err(errno) = chown(Gid::from_raw(metadata.gid)) {
            self.note(path, "group", Err(errno));
            return false;
        }
        if !owned {
            let what = "what belongs to others now belongs to the user who restores, as only root \
                        can give files away";
            self.notes.add(what.to_owned(), path);
        }
        owned
    }

    /// Set-id bits are for the recorded owner only.
    fn wanted_mode(&self, mode: u32, owned: bool, shape: Shape, path: &[u8]) -> u32 {
        let mode = mode & 0o7777;
        if mode & SET_ID != 0 && shape != Shape::Directory && !self.policy.set_ids {
            let what = "set-user-id and set-group-id were left out, as they were not asked for";
            self.notes.add(what.to_owned(), path);
            return mode & !SET_ID;
        }
        if owned || shape == Shape::Directory || mode & SET_ID == 0 {
            return mode;
        }
        self.notes.add("set-id bits were left out, as the owner could not be set".to_owned(), path);
        mode & !SET_ID
    }

    fn note_attribute(&self, path: &[u8], name: &[u8], outcome: rustix::io::Result<()>) {
        if outcome.is_err() {
            let class = match name {
                DEFAULT_ACL | ACCESS_ACL => "access control list".to_owned(),
                b"security.capability" => "file capability".to_owned(),
                _ => {
                    let class = name.split(|byte| *byte == b'.').next().unwrap_or_default();
                    format!("attribute {}.*", String::from_utf8_lossy(class).escape_debug())
                }
            };
            self.note(path, &class, outcome);
        }
    }

    fn note(&self, path: &[u8], what: &str, outcome: rustix::io::Result<()>) {
        if let Err(errno) = outcome {
            self.notes
                .add(format!("{what} could not be set: {}", std::io::Error::from(errno)), path);
        }
    }
}

/// All ones stands for "leave as it is" in the system call.
fn raw_uid(uid: u32) -> Option<Uid> {
    (uid != u32::MAX).then(|| Uid::from_raw(uid))
}

fn raw_gid(gid: u32) -> Option<Gid> {
    (gid != u32::MAX).then(|| Gid::from_raw(gid))
}

fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: i64::from(mtime.nanos) },
    }
}

/// The kernel's `fchmodat` follows links; a handle that was opened without following does not.
fn chmod_by_name(folder: &OwnedFd, name: &[u8], mode: u32) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::from_raw_mode(mode))
}

/// Removes the attributes of an object that was there before and that its entry does not have.
/// Labels of the system's security modules stay.
fn strip(handle: &OwnedFd, wanted: &[Xattr]) {
    let mut few = [0; 1024];
    let mut many = Vec::new();
    let names = match rustix::fs::flistxattr(handle, &mut few[..]) {
        Ok(len) => &few[..len],
        Err(Errno::RANGE) => {
            many.resize(64 << 10, 0);
            let Ok(len) = rustix::fs::flistxattr(handle, &mut many[..]) else { return };
            &many[..len]
        }
        Err(_) => return,
    };
    for name in names.split(|byte| *byte == 0) {
        let is_ours = name.starts_with(b"user.")
            || [DEFAULT_ACL, ACCESS_ACL, b"security.capability"].contains(&name);
        if is_ours && !wanted.iter().any(|xattr| xattr.name == name) {
            let _ = rustix::fs::fremovexattr(handle, name);
        }
    }
}

/// Removes what a new object inherited from the default ACL of the directory above.
pub(super) fn remove_acls(handle: &OwnedFd) {
    let _ = rustix::fs::fremovexattr(handle, DEFAULT_ACL);
    let _ = rustix::fs::fremovexattr(handle, ACCESS_ACL);
}

pub(super) fn has_default_acl(handle: impl AsFd) -> bool {
    let mut value = [0; 0];
    !matches!(
        rustix::fs::fgetxattr(handle, DEFAULT_ACL, &mut value[..]),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS)
    )
}
