//! Random changes of a tree, the same for the same seed.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::support::make;

/// A small generator (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'p>(&mut self, paths: &'p [PathBuf]) -> Option<&'p PathBuf> {
        let count = paths.len() as u64;
        (count > 0).then(|| &paths[self.below(count) as usize])
    }

    /// A length: mostly small, sometimes of several chunks.
    fn len(&mut self) -> usize {
        let bound = [1, 100, 5_000, 70_000, 400_000][self.below(5) as usize];
        self.below(bound + 1) as usize
    }

    fn name(&mut self) -> OsString {
        let number = self.below(40);
        match self.below(6) {
            0 => make::raw(&[0xff, b'a' + (number % 26) as u8]).to_owned(),
            1 => format!("a name {number}\n").into(),
            _ => format!("n{number}").into(),
        }
    }
}

/// The first state of a tree.
pub fn plant(root: &Path, random: &mut Random) {
    for _ in 0..40 {
        change(root, random);
    }
}

/// Everything below `root`: folders with the root first, and what is none.
fn list(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut folders, mut others) = (vec![root.to_owned()], Vec::new());
    let mut at = 0;
    while at < folders.len() {
        let entries = fs::read_dir(&folders[at]).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let is_folder = fs::symlink_metadata(&path).unwrap().is_dir();
            if is_folder { folders.push(path) } else { others.push(path) }
        }
        at += 1;
    }
    (folders, others)
}

/// One change; a few do nothing, as when a name is taken.
pub fn change(root: &Path, random: &mut Random) {
    let (folders, others) = list(root);
    let is_file = |path: &&PathBuf| fs::symlink_metadata(path).unwrap().is_file();
    let files: Vec<PathBuf> = others.iter().filter(is_file).cloned().collect();
    let folder = random.pick(&folders).unwrap().clone();
    let fresh = folder.join(random.name());
    let is_free = fs::symlink_metadata(&fresh).is_err();
    match random.below(16) {
        0..=3 if is_free => create(&fresh, random),
        4 if is_free => fs::create_dir(&fresh).unwrap(),
        5 if is_free => symlink(random.name(), &fresh).unwrap(),
        6 if is_free && random.below(3) == 0 => make::node(&fresh, FileType::Fifo, 0),
        7 if is_free => {
            if let Some(file) = random.pick(&files) {
                fs::hard_link(file, &fresh).unwrap();
            }
        }
        8 if is_free => {
            if let Some(path) = random.pick(&others) {
                fs::rename(path, &fresh).unwrap();
            }
        }
        9 => move_folder(&folders, random),
        10 => {
            if let Some(path) = random.pick(&others) {
                fs::remove_file(path).unwrap();
            }
        }
        11 if random.below(4) == 0 && folders.len() > 4 => {
            fs::remove_dir_all(&folders[1 + random.below(folders.len() as u64 - 1) as usize])
                .unwrap();
        }
        12 => touch(root, &folders, &others, random),
        _ => {
            if let Some(file) = random.pick(&files) {
                rewrite(file, random);
            }
        }
    }
}

fn create(path: &Path, random: &mut Random) {
    let len = random.len();
    let bytes = match random.below(3) {
        0 => vec![b'a' + random.below(26) as u8; len],
        // Few seeds: some files are equal, or begin equally.
        _ => make::noise(random.below(6), len),
    };
    fs::write(path, bytes).unwrap();
}

fn move_folder(folders: &[PathBuf], random: &mut Random) {
    if folders.len() < 2 {
        return;
    }
    let from = &folders[1 + random.below(folders.len() as u64 - 1) as usize];
    let to = random.pick(folders).unwrap().join(random.name());
    // Refused into itself, or where something is: then nothing changes.
    let _ = fs::rename(from, to);
}

/// Mode, owner or time of something.
fn touch(root: &Path, folders: &[PathBuf], others: &[PathBuf], random: &mut Random) {
    let all: Vec<PathBuf> = folders.iter().chain(others).cloned().collect();
    let path = random.pick(&all).unwrap();
    match random.below(3) {
        0 if !path.is_symlink() && path != root => {
            make::mode(path, 0o700 | random.below(0o100) as u32)
        }
        1 if crate::support::is_root() => {
            let id = Some(random.below(3000) as u32);
            std::os::unix::fs::lchown(path, id, id).unwrap();
        }
        _ => {
            let seconds = random.below(4_000_000_000) as i64 - 1_000_000_000;
            make::mtime(path, seconds, random.below(1_000_000_000) as i64);
        }
    }
}

/// Changes the bytes of a file: in place, at its end, or its length.
fn rewrite(path: &Path, random: &mut Random) {
    let size = fs::metadata(path).unwrap().len();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    match random.below(5) {
        0 if size > 0 => {
            let bytes = make::noise(random.next(), random.below(300) as usize);
            file.write_all_at(&bytes, random.below(size)).unwrap();
        }
        1 => file.set_len(random.below(size + 1)).unwrap(),
        // A hole at the end.
        2 => file.set_len(size + random.below(500_000)).unwrap(),
        3 => {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            let len = random.len();
            file.write_all(&make::noise(random.next(), len)).unwrap();
        }
        _ => {
            // The same size, other bytes.
            file.write_all_at(&make::noise(random.next(), size as usize), 0).unwrap();
        }
    }
}
