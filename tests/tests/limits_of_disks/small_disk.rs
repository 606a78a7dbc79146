//! A small file system in memory, in a mount namespace of its own, reached through its holder.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Mounts, then makes the file system read-only when a line comes, then waits for the end of input.
const HOLDER: &str = r#"mount -t tmpfs -o "size=${1}k" none "$0" && echo ready && read -r _ &&
mount -o remount,ro "$0" && echo ready && exec cat"#;

pub struct SmallDisk {
    holder: Child,
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of `kib` KiB; none, said on standard error, where that is not allowed. The
    /// tests that limit the size of files run everywhere.
    pub fn mount(kib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
        let spawned = Command::new("unshare")
            .args([flags, "sh", "-c", HOLDER])
            .arg(folder.path())
            .arg(kib.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = match spawned {
            Ok(holder) => holder,
            Err(error) => {
                eprintln!("no small disk: {error}");
                return None;
            }
        };
        let is_ready = hears_ready(&mut holder);
        let inside = folder.path().strip_prefix("/").unwrap();
        let path = Path::new("/proc").join(holder.id().to_string()).join("root").join(inside);
        let disk = Self { holder, folder, path };
        if !is_ready {
            eprintln!("no small disk: mounting is not allowed");
            return None;
        }
        Some(disk)
    }

    /// The disk's root folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the disk up to `free` bytes, in whole pages.
    pub fn fill_but(&self, free: u64) {
        let path = self.path.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        let page = [1; 4096];
        while file.write_all(&page).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len.saturating_sub(free.next_multiple_of(4096))).unwrap();
    }

    /// Removes what `fill_but` wrote.
    pub fn empty(&self) {
        fs::remove_file(self.path.join("ballast")).unwrap();
    }

    pub fn make_read_only(&mut self) {
        self.holder.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        assert!(hears_ready(&mut self.holder), "the disk cannot be made read-only");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        assert!(self.folder.path().exists(), "the mount point is gone");
    }
}

/// True if the holder says so before it ends.
fn hears_ready(holder: &mut Child) -> bool {
    let mut line = String::new();
    let out = holder.stdout.as_mut().unwrap();
    let heard = BufReader::new(out.by_ref().take(6)).read_line(&mut line);
    heard.is_ok() && line == "ready\n"
}
