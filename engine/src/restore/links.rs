//! Which file the names of a link group lead to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::target::{Folder, Outcome, Spool, Target};

/// Groups kept whole in memory; older ones go to a spool, at about 40 bytes each.
const RECENT_COUNT_MAX: usize = if cfg!(test) { 50 } else { 32 << 10 };
/// Bytes of a spooled record before the paths: device, inode, length of the folder's path.
const HEAD_LEN: usize = 18;
/// Bits of a record's length beside its offset: a record is at most a path and a head.
const LEN_BITS: u32 = 16;

/// The first name of each link group.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Groups>);

#[derive(Debug, Default)]
struct Groups {
    recent: HashMap<u64, Link>,
    /// Offset and length of the record of each older group.
    spooled: HashMap<u64, u64>,
    spool: Option<Spool>,
}

/// A first name. Until the file has it, it has no inode.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) folder: Arc<Folder>,
    pub(super) name: Box<[u8]>,
    pub(super) inode: Option<(u64, u64)>,
}

impl Links {
    pub(super) fn contains(&self, group: u64) -> bool {
        let groups = self.groups();
        groups.recent.contains_key(&group) || groups.spooled.contains_key(&group)
    }

    /// Notes that `folder`/`name` is, or with an `inode` has become, the first name of `group`;
    /// group 0 is none.
    pub(super) fn set(
        &self,
        group: u64,
        folder: &Arc<Folder>,
        name: &[u8],
        inode: Option<(u64, u64)>,
    ) {
        if group != 0 {
            let link = Link { folder: Arc::clone(folder), name: name.into(), inode };
            self.groups().recent.insert(group, link);
        }
    }

    /// The first name could not be made: the next one brings the content again.
    pub(super) fn forget(&self, group: u64) {
        if group != 0 {
            let mut groups = self.groups();
            groups.recent.remove(&group);
            groups.spooled.remove(&group);
        }
    }

    pub(super) fn get(&self, group: u64, target: &Target) -> Outcome<Option<Link>> {
        let groups = self.groups();
        if let Some(link) = groups.recent.get(&group) {
            return Ok(Some(link.clone()));
        }
        match (groups.spooled.get(&group), &groups.spool) {
            (Some(place), Some(spool)) => {
                let len = (place & ((1 << LEN_BITS) - 1)) as usize;
                Ok(decode(&spool.read(place >> LEN_BITS, len)?, target))
            }
            _ => Ok(None),
        }
    }

    /// Moves what is settled out of memory if it is much. A spool that cannot be written leaves
    /// everything where it is.
    pub(super) fn spill(&self, target: &Target) {
        let mut groups = self.groups();
        if groups.recent.len() <= RECENT_COUNT_MAX {
            return;
        }
        if groups.spool.is_none() {
            groups.spool = target.spool().ok();
        }
        let Groups { recent, spooled, spool: Some(spool) } = &mut *groups else { return };
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for (group, link) in recent.iter() {
            // The planner is ahead: what it made may stand in a directory without its name.
            if let Some(inode) = link.inode.filter(|_| link.folder.is_published()) {
                let start = bytes.len();
                encode(link, inode, &mut bytes);
                places.push((*group, start as u64, (bytes.len() - start) as u64));
            }
        }
        let Ok(base) = spool.append(&bytes) else { return };
        for (group, start, len) in places {
            recent.remove(&group);
            spooled.insert(group, (base + start) << LEN_BITS | len);
        }
        recent.shrink_to(RECENT_COUNT_MAX);
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(link: &Link, (device, inode): (u64, u64), bytes: &mut Vec<u8>) {
    let folder = link.folder.path();
    bytes.extend(device.to_le_bytes());
    bytes.extend(inode.to_le_bytes());
    bytes.extend(u16::try_from(folder.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(&folder);
    bytes.extend(&link.name);
}

fn decode(bytes: &[u8], target: &Target) -> Option<Link> {
    let (head, paths) = bytes.split_at_checked(HEAD_LEN)?;
    let device = u64::from_le_bytes(head.get(..8)?.try_into().ok()?);
    let inode = u64::from_le_bytes(head.get(8..16)?.try_into().ok()?);
    let folder_len = u16::from_le_bytes(head.get(16..)?.try_into().ok()?);
    let (folder, name) = paths.split_at_checked(usize::from(folder_len))?;
    Some(Link { folder: target.reach(folder), name: name.into(), inode: Some((device, inode)) })
}
