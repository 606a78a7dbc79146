//! Everything a backup keeps of a tree, measured by itself, without the engine.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};

/// Bytes of a block; a block of zeros counts as no block.
const BLOCK_LEN: u64 = 4096;
/// Allocated bytes that holes may differ by.
const HOLE_SLACK_LEN: u64 = 1 << 20;

/// One name of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub kind: FileType,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub size: u64,
    /// Hash of content, by blocks that are not zero.
    pub content: Option<blake3::Hash>,
    pub link: Option<Vec<u8>>,
    pub device: u64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first name of the same file.
    pub same_as: Option<String>,
}

/// The names of a tree, escaped for messages, with what was measured; the root is the empty name.
pub type Tree = BTreeMap<String, Facts>;

/// Expects two trees to be equal, roots included.
#[track_caller]
pub fn assert_same_tree(wanted: &Path, found: &Path) {
    assert_same(read(wanted), read(found), found);
}

/// Expects everything below two roots to be equal.
#[track_caller]
pub fn assert_same_contents(wanted: &Path, found: &Path) {
    let (mut wanted, (mut other, holes)) = (read(wanted), read(found));
    wanted.0.remove("");
    other.remove("");
    assert_same(wanted, (other, holes), found);
}

/// The tree at `root`.
pub fn of(root: &Path) -> Tree {
    read(root).0
}

#[track_caller]
fn assert_same(wanted: (Tree, Allocated), found: (Tree, Allocated), place: &Path) {
    let ((wanted, wanted_len), (found, found_len)) = (wanted, found);
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let (left, right) = (wanted.get(name), found.get(name));
        if left != right {
            differences.push(format!("{name:?}\n  wanted {left:?}\n  found  {right:?}"));
        }
        if let (Some(left), Some(right)) = (wanted_len.get(name), found_len.get(name))
            && *right > left + HOLE_SLACK_LEN
        {
            differences.push(format!("{name:?}: {left} bytes allocated became {right}"));
        }
    }
    let count = differences.len();
    differences.truncate(8);
    let shown = differences.join("\n");
    assert!(count == 0, "{count} names differ in {}:\n{shown}", place.display());
}

/// Bytes allocated for each file.
type Allocated = HashMap<String, u64>;

fn read(root: &Path) -> (Tree, Allocated) {
    let mut walk = Walk::default();
    let (folder, name) = (root.parent().unwrap(), root.file_name().unwrap());
    let folder = open_folder(fs::CWD, folder.as_os_str());
    walk.take(&folder, name, String::new());
    (walk.tree, walk.allocated)
}

#[derive(Default)]
struct Walk {
    tree: Tree,
    allocated: Allocated,
    first_names: HashMap<(u64, u64), String>,
}

impl Walk {
    /// Paths may be longer than the system takes: each step goes through its folder's handle.
    fn take(&mut self, folder: &OwnedFd, name: &OsStr, path: String) {
        let stat = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let kind = FileType::from_raw_mode(stat.st_mode);
        let own = through(folder, name);
        let is_file = kind == FileType::RegularFile;
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let facts = Facts {
            kind,
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            mtime: (stat.st_mtime, stat.st_mtime_nsec.try_into().unwrap()),
            size: if is_file { stat.st_size.try_into().unwrap() } else { 0 },
            content: is_file.then(|| content(&own, &stat)),
            link: (kind == FileType::Symlink)
                .then(|| std::fs::read_link(&own).unwrap().into_os_string().as_bytes().to_vec()),
            device: if is_device { stat.st_rdev } else { 0 },
            xattrs: xattrs(&own),
            same_as: self.same_as(&stat, kind, &path),
        };
        if is_file {
            self.allocated.insert(path.clone(), u64::try_from(stat.st_blocks).unwrap() * 512);
        }
        self.tree.insert(path.clone(), facts);
        if kind == FileType::Directory {
            let own = open_folder(folder, name);
            for child in names(&own) {
                self.take(&own, &child, format!("{path}/{}", child.as_bytes().escape_ascii()));
            }
        }
    }

    fn same_as(&mut self, stat: &Stat, kind: FileType, path: &str) -> Option<String> {
        if stat.st_nlink < 2 || kind == FileType::Directory {
            return None;
        }
        let file = (stat.st_dev, stat.st_ino);
        Some(self.first_names.entry(file).or_insert_with(|| path.to_owned()).clone())
    }
}

fn names(folder: &OwnedFd) -> Vec<std::ffi::OsString> {
    let entries = Dir::read_from(folder).unwrap().map(Result::unwrap);
    let name = |entry: fs::DirEntry| CStr::to_bytes(entry.file_name()).to_vec();
    let mut names: Vec<Vec<u8>> =
        entries.map(name).filter(|name| name != b"." && name != b"..").collect();
    names.sort();
    names.iter().map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

fn open_folder(folder: impl AsFd, name: &OsStr) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(folder, name, flags, Mode::empty()).unwrap()
}

/// A short path to a name in an open folder.
pub fn through(folder: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name)
}

/// Holes and blocks of zeros are the same content.
fn content(path: &Path, stat: &Stat) -> blake3::Hash {
    let file = File::open(path).unwrap();
    let size: u64 = stat.st_size.try_into().unwrap();
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK_LEN as usize];
    let mut at = 0;
    while at < size {
        let Ok(data) = fs::seek(&file, SeekFrom::Data(at)) else { break };
        let hole = fs::seek(&file, SeekFrom::Hole(data)).unwrap_or(size);
        at = data / BLOCK_LEN * BLOCK_LEN;
        while at < hole {
            let len = BLOCK_LEN.min(size - at) as usize;
            file.read_exact_at(&mut block[..len], at).unwrap();
            if block[..len].iter().any(|byte| *byte != 0) {
                hasher.update(&at.to_le_bytes()).update(&block[..len]);
            }
            at += BLOCK_LEN;
        }
    }
    hasher.finalize()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 64 << 10];
    let Ok(len) = fs::llistxattr(path, &mut list[..]) else { return BTreeMap::new() };
    let names = list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let len = fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        (name.to_vec(), value[..len].to_vec())
    };
    // Labels are the system's, not the tree's.
    names.filter(|name| !name.starts_with(b"security.selinux")).map(value).collect()
}
