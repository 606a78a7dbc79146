//! The kernel's questions, answered from the tree of snapshots.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffer_engine::browse::{Listed, OpenFile, Tree};
use coffer_engine::error::Error;
use coffer_engine::model::{EntryKind, Xattr};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyXattr, Request,
};

use super::attributes;
use super::handles::Handles;
use super::layout::{Layout, Place};
use super::nodes::{Node, Nodes};
use crate::output::{escape, json, stderr_json, stderr_line};

/// Snapshots never change: what the kernel knows stays true.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Bytes the kernel may ask for ahead of a reader, as far as the system lets it.
const READAHEAD_LEN: u32 = 1 << 20;
/// Different messages told; a damaged pack makes one for each of its chunks.
const TOLD_COUNT_MAX: usize = 1000;

/// The names every folder has, which the kernel resolves itself, with the offsets behind them.
const DOTS: [(u64, &str); 2] = [(1, "."), (2, "..")];

/// The file system of a mount.
pub struct Coffer {
    tree: Arc<Tree<'static>>,
    layout: Layout,
    nodes: Nodes,
    files: Handles<OpenFile>,
    folders: Handles<Vec<Child>>,
    as_json: bool,
    told: Mutex<HashSet<String>>,
}

/// A name in an open folder.
struct Child {
    name: OsString,
    node: Node,
}

type Answer<T> = Result<T, Errno>;

impl Coffer {
    pub fn new(tree: Arc<Tree<'static>>, layout: Layout, as_json: bool) -> Self {
        let nodes = Nodes::new(layout.len());
        let (files, folders) = (Handles::new(), Handles::new());
        Self { tree, layout, nodes, files, folders, as_json, told: Mutex::default() }
    }

    fn node(&self, number: INodeNo) -> Answer<Node> {
        self.nodes.get(number.into()).ok_or(Errno::ENOENT)
    }

    fn place(&self, number: usize) -> Answer<&(Place, i64)> {
        self.layout.get(number).ok_or(Errno::ENOENT)
    }

    /// The snapshot and path of a folder in a snapshot; none for a folder of the layout.
    fn stored_folder(&self, node: &Node) -> Answer<Option<(usize, Vec<u8>)>> {
        match node {
            Node::Stored(snapshot, listed) if listed.entry.is_directory() => {
                Ok(Some((*snapshot, listed.entry.path.as_bytes().to_vec())))
            }
            Node::Stored(..) => Err(Errno::ENOTDIR),
            Node::Place(number) => match self.place(*number)? {
                (Place::Snapshot(snapshot), _) => Ok(Some((*snapshot, Vec::new()))),
                (Place::Folder(_), _) => Ok(None),
                (Place::Link(_), _) => Err(Errno::ENOTDIR),
            },
        }
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Answer<Node> {
        let parent = self.node(parent)?;
        let Some((snapshot, mut path)) = self.stored_folder(&parent)? else {
            let Node::Place(number) = parent else { return Err(Errno::ENOENT) };
            let (Place::Folder(children), _) = self.place(number)? else {
                return Err(Errno::ENOENT);
            };
            return children.get(name.as_bytes()).map(|n| Node::Place(*n)).ok_or(Errno::ENOENT);
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        let found = self.told(self.tree.entry(snapshot, &path))?;
        found.map(|listed| Node::Stored(snapshot, listed)).ok_or(Errno::ENOENT)
    }

    fn children(&self, folder: &Node) -> Answer<Vec<Child>> {
        if let Some((snapshot, path)) = self.stored_folder(folder)? {
            let listing = self.told(self.tree.list(snapshot, &path))?;
            let child = |(name, listed): (&Vec<u8>, &Listed)| Child {
                name: OsString::from_vec(name.clone()),
                node: Node::Stored(snapshot, listed.clone()),
            };
            return Ok(listing.iter().map(child).collect());
        }
        let Node::Place(number) = folder else { return Err(Errno::ENOTDIR) };
        let (Place::Folder(children), _) = self.place(*number)? else {
            return Err(Errno::ENOTDIR);
        };
        let child = |(name, number): (&Vec<u8>, &usize)| Child {
            name: OsString::from_vec(name.clone()),
            node: Node::Place(*number),
        };
        Ok(children.iter().map(child).collect())
    }

    /// Gives a node its number, which counts as told to the kernel, and its attributes.
    fn tell(&self, node: &Node) -> Answer<FileAttr> {
        match node {
            Node::Place(place) => self.attributes(node, Nodes::of_place(*place)),
            Node::Stored(snapshot, listed) => {
                self.attributes(node, self.nodes.tell(*snapshot, listed))
            }
        }
    }

    fn attributes(&self, node: &Node, number: u64) -> Answer<FileAttr> {
        match node {
            Node::Place(place) => {
                let (place, at_ns) = self.place(*place)?;
                Ok(attributes::of_place(number, place, *at_ns))
            }
            Node::Stored(snapshot, listed) => {
                let count = self.told(self.tree.link_count(*snapshot, listed));
                // With a part of the manifest lost the count is unknown, but above one.
                Ok(attributes::of_entry(number, &listed.entry, count.unwrap_or(2)))
            }
        }
    }

    fn stored(&self, number: INodeNo) -> Answer<Listed> {
        match self.node(number)? {
            Node::Stored(_, listed) => Ok(listed),
            Node::Place(_) => Err(Errno::EINVAL),
        }
    }

    fn xattrs(&self, number: INodeNo) -> Answer<Vec<Xattr>> {
        match self.node(number)? {
            Node::Stored(_, listed) => self.told(self.tree.attributes(&listed.entry)),
            Node::Place(_) => Ok(Vec::new()),
        }
    }

    /// Tells an error on standard error, once; the program that asked gets `EIO`.
    fn told<T>(&self, result: coffer_engine::error::Result<T>) -> Answer<T> {
        result.map_err(|error: Error| {
            let message = error.to_string();
            let mut told = lock(&self.told);
            if told.len() < TOLD_COUNT_MAX && told.insert(message.clone()) {
                if self.as_json {
                    stderr_json(&json::Message { message_type: "error", message: &message });
                } else {
                    let word = if error.kind().is_damage() { "damage" } else { "error" };
                    stderr_line(&format!("coffer: {word}: {}", escape::text(&message)));
                }
            }
            Errno::EIO
        })
    }
}

impl Filesystem for Coffer {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What the kernel does not have costs speed and nothing else.
        let _ = config.set_max_readahead(READAHEAD_LEN);
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_READ,
        ] {
            let _ = config.add_capabilities(wanted);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.child(parent, name).and_then(|node| self.tell(&node)) {
            Ok(attributes) => reply.entry(&KEEP, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, times: u64) {
        self.nodes.forget(number.into(), times);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(number).and_then(|node| self.attributes(&node, number.into())) {
            Ok(attributes) => reply.attr(&KEEP, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.node(number) {
            Ok(Node::Place(place)) => match self.place(place) {
                Ok((Place::Link(target), _)) => reply.data(target),
                _ => reply.error(Errno::EINVAL),
            },
            Ok(Node::Stored(_, listed)) => match &listed.entry.kind {
                EntryKind::Symlink { target } => reply.data(target),
                _ => reply.error(Errno::EINVAL),
            },
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self
            .stored(number)
            .and_then(|listed| OpenFile::new(listed.entry).map_err(|_| Errno::EISDIR));
        match opened {
            Ok(file) => reply.opened(self.files.put(file), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = |file: Arc<OpenFile>| self.told(self.tree.read(&file, offset, size as usize));
        match self.files.get(handle).and_then(read) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files.remove(handle);
        reply.ok();
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.node(number).and_then(|node| self.children(&node)) {
            Ok(children) => reply.opened(
                self.folders.put(children),
                FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok(children) = self.folders.get(handle) else { return reply.error(Errno::EBADF) };
        for (next, dots) in DOTS.into_iter().skip(to_usize(offset)) {
            if reply.add(number, next, FileType::Directory, dots) {
                return reply.ok();
            }
        }
        let dots = DOTS.len() as u64;
        let behind = to_usize(offset.saturating_sub(dots));
        for (next, child) in (dots + 1..).zip(children.iter()).skip(behind) {
            let (number, kind) = match &child.node {
                Node::Place(place) => {
                    let number = Nodes::of_place(*place);
                    let Ok((place, at_ns)) = self.place(*place) else { continue };
                    (number, attributes::of_place(number, place, *at_ns).kind)
                }
                // A number only counts once the kernel looks the name up: the folder's stands in.
                Node::Stored(_, listed) => (number.into(), attributes::kind_of(&listed.entry)),
            };
            if reply.add(INodeNo(number), next, kind, &child.name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        folder: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Ok(children) = self.folders.get(handle) else { return reply.error(Errno::EBADF) };
        let own = self.node(folder).and_then(|node| self.attributes(&node, folder.into()));
        let Ok(own) = own else { return reply.error(Errno::EIO) };
        for (next, dots) in DOTS.into_iter().skip(to_usize(offset)) {
            if reply.add(folder, next, dots, &KEEP, &own, Generation(0)) {
                return reply.ok();
            }
        }
        let dots = DOTS.len() as u64;
        let behind = to_usize(offset.saturating_sub(dots));
        for (next, child) in (dots + 1..).zip(children.iter()).skip(behind) {
            let Ok(attributes) = self.tell(&child.node) else { continue };
            let number = attributes.ino;
            if reply.add(number, next, &child.name, &KEEP, &attributes, Generation(0)) {
                // It did not fit: the kernel was not told.
                self.nodes.forget(number.into(), 1);
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.folders.remove(handle);
        reply.ok();
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match self.xattrs(number) {
            Ok(xattrs) => match xattrs.iter().find(|xattr| xattr.name == name.as_bytes()) {
                Some(xattr) => answer_xattr(&xattr.value, size, reply),
                None => reply.error(Errno::ENODATA),
            },
            Err(error) => reply.error(error),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        match self.xattrs(number) {
            Ok(xattrs) => {
                let ended = |xattr: &Xattr| [xattr.name.as_slice(), b"\0"].concat();
                let names: Vec<u8> = xattrs.iter().flat_map(ended).collect();
                answer_xattr(&names, size, reply);
            }
            Err(error) => reply.error(error),
        }
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let found = self.files.get(handle).and_then(|file| {
            let for_hole = match whence {
                libc::SEEK_DATA => false,
                libc::SEEK_HOLE => true,
                _ => return Err(Errno::EINVAL),
            };
            let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
            let found = attributes::seek(file.entry(), offset, for_hole).ok_or(Errno::ENXIO)?;
            i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
        });
        match found {
            Ok(offset) => reply.offset(offset),
            Err(error) => reply.error(error),
        }
    }
}

/// Gives the size when `size` is 0, else the bytes if they fit.
fn answer_xattr(bytes: &[u8], size: u32, reply: ReplyXattr) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match size {
        0 => reply.size(len),
        _ if len <= size => reply.data(bytes),
        _ => reply.error(Errno::ERANGE),
    }
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
