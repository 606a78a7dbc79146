//! Which path each found entry is stored under: links asked for and the keys of Kubernetes mounts
//! become what they point to.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::places::{Place, Places};
use crate::model::EntryKind;
use crate::source::tree::Found;

/// The link that a mount's keys go through; it is replaced in one step by another.
const DATA_LINK: &[u8] = b"..data";

/// A found entry with the path it is stored under, absolute.
pub(super) struct Planned {
    pub found: Found,
    pub path: PathBuf,
}

/// A link that must not move while what it leads to is read.
pub(super) struct Link {
    path: PathBuf,
    /// Its text, or, of a place that was asked for, where it leads in the end.
    was: PathBuf,
    is_mount: bool,
}

impl Link {
    pub(super) fn has_moved(&self) -> bool {
        let now =
            if self.is_mount { fs::read_link(&self.path) } else { fs::canonicalize(&self.path) };
        now.map_or(true, |now| now != self.was)
    }
}

struct Mount {
    folder: PathBuf,
    /// The folder that holds the keys now.
    version: PathBuf,
}

/// What is stored of `found`, whose links have their targets, and the links it hangs on.
pub(super) fn plan(found: Vec<Found>, places: &Places) -> (Vec<Planned>, Vec<Link>) {
    let (mounts, mut links) = mounts(&found);
    let moved: Vec<_> = places.list.iter().filter(|place| place.path != place.real).collect();
    links.extend(moved.iter().map(|place| Link {
        path: place.path.clone(),
        was: place.real.clone(),
        is_mount: false,
    }));
    // What is asked for by its own path too stays there, and a link to it stays a link.
    let is_followed = |place: &&Place| {
        let own = |it: &Place| it.path == it.real && place.real.starts_with(&it.path);
        !places.list.iter().any(own)
    };
    let followed: Vec<&Place> = moved.into_iter().filter(is_followed).collect();
    let planned = found.into_iter().flat_map(|found| {
        let paths = paths(&found, &mounts, &followed, places);
        paths.into_iter().map(move |path| Planned { found: found.clone(), path })
    });
    (planned.collect(), links)
}

/// Where an entry is stored: under every link that leads to it, and under its own path if that is
/// asked for or above what is.
fn paths(
    found: &Found,
    mounts: &[Mount],
    followed: &[&Place],
    places: &Places,
) -> BTreeSet<PathBuf> {
    let real = path_of(found);
    let Some(own) = in_mounts(mounts, found, real.clone()) else { return BTreeSet::new() };
    let under = |place: &&Place| {
        let below = own.strip_prefix(&place.real).or_else(|_| real.strip_prefix(&place.real));
        below.ok().map(|below| joined(&place.path, below))
    };
    let mut paths: BTreeSet<PathBuf> = followed.iter().filter_map(under).collect();
    let is_followed = followed.iter().any(|place| place.path == real);
    let is_wanted = |place: &Place| {
        own.starts_with(&place.path) || (found.entry.is_directory() && place.path.starts_with(&own))
    };
    if !is_followed && places.list.iter().any(is_wanted) {
        paths.insert(own);
    }
    paths
}

/// The mounts among what was found: folders with a link `..data` to a folder beside it.
fn mounts(found: &[Found]) -> (Vec<Mount>, Vec<Link>) {
    let (mut mounts, mut links) = (Vec::new(), Vec::new());
    for link in found.iter().filter(|found| found.entry.path.name() == DATA_LINK) {
        let EntryKind::Symlink { target } = &link.entry.kind else { continue };
        let path = path_of(link);
        let Some(folder) = path.parent().filter(|_| !target.contains(&b'/')) else { continue };
        let version = folder.join(OsStr::from_bytes(target));
        let is_there = found.iter().any(|it| it.entry.is_directory() && path_of(it) == version);
        if is_there {
            mounts.push(Mount { folder: folder.to_owned(), version });
        }
        let was = PathBuf::from(OsStr::from_bytes(target));
        links.push(Link { path, was, is_mount: true });
    }
    (mounts, links)
}

/// The path with the versions of mounts taken out of it; none for what only makes the mount work.
fn in_mounts(mounts: &[Mount], found: &Found, path: PathBuf) -> Option<PathBuf> {
    let Some(mount) = mounts.iter().find(|mount| path.starts_with(&mount.folder)) else {
        return Some(path);
    };
    if let Ok(key) = path.strip_prefix(&mount.version) {
        return (!key.as_os_str().is_empty()).then(|| joined(&mount.folder, key));
    }
    let below = path.strip_prefix(&mount.folder).ok()?;
    let is_inner = below
        .components()
        .next()
        .is_some_and(|first| first.as_os_str().as_bytes().starts_with(b".."));
    let is_key = matches!(&found.entry.kind, EntryKind::Symlink { target }
        if target.strip_prefix(DATA_LINK).is_some_and(|rest| rest.starts_with(b"/")));
    (!is_inner && !is_key).then_some(path)
}

fn path_of(found: &Found) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&found.absolute_path()))
}

/// Without the slash that joining an empty path leaves at the end.
fn joined(folder: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { folder.to_owned() } else { folder.join(below) }
}
