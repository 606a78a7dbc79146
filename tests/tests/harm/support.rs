//! A repository, the hosts that use it, and pictures of trees to compare.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a run came to.
pub struct Ran {
    /// None: killed by a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// The id of the snapshot a backup acknowledged.
    pub fn snapshot_id(&self) -> Option<String> {
        let lines = self.out.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter_map(|line: serde_json::Value| Some(line["snapshot_id"].as_str()?.into()))
            .next()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A folder with a repository, its key file, and hosts with memory or without.
pub struct Site {
    root: tempfile::TempDir,
    pub repo: PathBuf,
    strangers: AtomicU64,
}

impl Site {
    /// A site whose repository does not exist yet.
    pub fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        let repo = root.path().join("repo");
        Self { root, repo, strangers: AtomicU64::new(0) }
    }

    pub fn new() -> Self {
        let site = Self::empty();
        site.home(&["init"]).expect(0);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A new empty folder.
    pub fn folder(&self) -> PathBuf {
        let count = self.strangers.fetch_add(1, Ordering::Relaxed);
        let path = self.root.path().join(format!("folder-{count}"));
        fs::create_dir(&path).unwrap();
        path
    }

    /// A command on the host that remembers, with cache and state.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_with(&self.repo, &self.path("state"), arguments)
    }

    /// A command on `repo` by a host whose memory is in `state`; its cache is beside that.
    pub fn command_with(&self, repo: &Path, state: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer-under-test"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COFFER") {
                command.env_remove(name);
            }
        }
        command.env("COFFER_KEY_FILE", self.path("key"));
        command.arg("--json").arg("-r").arg(repo).arg("--state-dir").arg(state);
        command.arg("--cache-dir").arg(state.with_extension("cache")).args(arguments);
        command.current_dir(self.root.path());
        command
    }

    /// Runs on the host that remembers.
    pub fn home(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs on the host that remembers and dies at its `n`th crash point.
    pub fn dying(&self, n: u64, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.env("COFFER_TEST_CRASH_AT", n.to_string()).output().unwrap().into()
    }

    /// Runs on a host that has never seen the repository: no memory, no cache.
    pub fn stranger(&self, arguments: &[&str]) -> Ran {
        let state = self.folder();
        let ran = self.command_with(&self.repo, &state, arguments).output().unwrap().into();
        let _ = fs::remove_dir_all(state.with_extension("cache"));
        fs::remove_dir_all(&state).unwrap();
        ran
    }

    /// Backs up `tree` as a job of its own, trusting file times at once; the acknowledged id.
    #[track_caller]
    pub fn backup(&self, tree: &Path) -> String {
        self.home(&backup_arguments(tree)).expect(0).snapshot_id().expect("acknowledged")
    }

    /// The ids a stranger sees listed.
    #[track_caller]
    pub fn listed(&self) -> Vec<String> {
        ids(&self.stranger(&["snapshots"]).expect(0).out)
    }

    /// Restores the contents of `tree` from snapshot `id` by a stranger.
    pub fn restore(&self, id: &str, tree: &Path) -> (Ran, Picture) {
        let target = self.folder();
        let from = format!("{id}:{}", tree.display());
        let ran = self.stranger(&["restore", &from, "--target", target.to_str().unwrap()]);
        let picture = Picture::of(&target);
        fs::remove_dir_all(&target).unwrap();
        (ran, picture)
    }

    /// Asserts that a stranger gets `picture` back from snapshot `id`.
    #[track_caller]
    pub fn assert_restores(&self, id: &str, tree: &Path, picture: &Picture) {
        let (ran, restored) = self.restore(id, tree);
        ran.expect(0);
        assert_eq!(restored, *picture, "snapshot {id}");
    }
}

pub fn backup_arguments(tree: &Path) -> [&str; 4] {
    ["backup", "--racy-window", "0s", tree.to_str().unwrap()]
}

/// The ids in the output of `snapshots --json`.
pub fn ids(out: &str) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(out).unwrap();
    list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

/// A tree as it is: what each path is, its mode and time, and its bytes.
#[derive(PartialEq, Eq, Clone)]
pub struct Picture(pub BTreeMap<PathBuf, Item>);

#[derive(PartialEq, Eq, Clone)]
pub struct Item {
    pub mode: u32,
    pub mtime: (i64, i64),
    /// A file's bytes, a link's target, nothing of a directory.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Takes a picture of all below `root`.
    pub fn of(root: &Path) -> Self {
        let mut items = BTreeMap::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let bytes = if metadata.is_dir() {
                    folders.push(path.clone());
                    Vec::new()
                } else if metadata.is_symlink() {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                } else {
                    fs::read(&path).unwrap()
                };
                let mtime = (metadata.mtime(), metadata.mtime_nsec());
                let item = Item { mode: metadata.mode(), mtime, bytes };
                items.insert(path.strip_prefix(root).unwrap().to_path_buf(), item);
            }
        }
        Self(items)
    }

    /// Paths of `self` that are not, or not with the same bytes, in `original`.
    pub fn wrong_in(&self, original: &Self) -> Vec<&Path> {
        let differs = |path: &Path, item: &Item| {
            original.0.get(path).is_none_or(|known| known.bytes != item.bytes)
        };
        let wrong = self.0.iter().filter(|(path, item)| differs(path, item));
        wrong.map(|(path, _)| path.as_path()).collect()
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line =
            |item: &Item| format!("{:o} {:?} {} bytes", item.mode, item.mtime, item.bytes.len());
        out.debug_map().entries(self.0.iter().map(|(path, item)| (path, line(item)))).finish()
    }
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes a small tree: folders, an empty file, text, noise, a link, a hard link, a mode of its own.
pub fn grow(tree: &Path, seed: u64) {
    fs::create_dir_all(tree.join("folder/deep")).unwrap();
    fs::write(tree.join("empty"), b"").unwrap();
    fs::write(tree.join("text"), format!("text {seed}\n").repeat(400)).unwrap();
    fs::write(tree.join("folder/noise"), noise(seed, 150_000)).unwrap();
    fs::write(tree.join("folder/deep/small"), noise(seed + 1000, 3_000)).unwrap();
    fs::set_permissions(tree.join("text"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("text", tree.join("link")).unwrap();
    fs::hard_link(tree.join("text"), tree.join("folder/twin")).unwrap();
}

/// A table whose rows change a little from round to round: it is stored as differences.
pub fn table(round: u64) -> String {
    let row = |number: u64| {
        let changed = (1..=round).rev().find(|round| number % 97 == round % 97).unwrap_or(0);
        format!("{number:06} {:010} row as of round {changed}\n", number * number % 1_000_003)
    };
    (0..10_000).map(row).collect()
}

/// Copies a folder of files and folders, modes kept.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Makes `to` a copy of `from`, whatever it was.
pub fn put_back(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    copy_folder(from, to);
}

/// Every object of the store in `repo` with its bytes, unfinished ones left out.
pub fn objects(repo: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = Picture::of(repo).0.into_iter();
    let named =
        all.filter(|(path, item)| !path.starts_with("tmp") && item.mode & 0o170_000 == 0o100_000);
    named.map(|(path, item)| (path.to_str().unwrap().to_owned(), item.bytes)).collect()
}

/// Asserts that each object whose name holds a hash has it, and that second copies are equal.
#[track_caller]
pub fn assert_objects_are_whole(repo: &Path) {
    let objects = objects(repo);
    for (name, bytes) in &objects {
        let last = name.rsplit(['/', '-']).next().unwrap();
        if last.len() == 64 {
            assert_eq!(blake3::hash(bytes).to_hex().as_str(), last, "{name} is half-written");
        }
        if let Some(first) = name.strip_suffix(".copy") {
            assert_eq!(objects.get(first), Some(bytes), "{name} differs from {first}");
        }
        assert!(!bytes.is_empty(), "{name} is empty");
    }
}

/// Puts `bytes` under `name` in the store, as damage does: over what is there.
pub fn overwrite(repo: &Path, name: &str, bytes: &[u8]) {
    let path = repo.join(name);
    let _ = fs::remove_file(&path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
