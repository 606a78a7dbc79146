//! What every module shares: a scene with a repository and folders, runs of the binary, trees.

pub mod make;
pub mod run;
pub mod tree;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

pub use run::Run;
pub use tree::{assert_same_contents, assert_same_tree};

/// Options of backups whose files were written a moment ago: what is equal counts as equal.
pub const NOT_RACY: [&str; 2] = ["--racy-window", "0s"];

/// Folders of one test, gone with it; a key file opens the repository, so commands start at once.
pub struct Scene {
    dir: TempDir,
    pub repo: PathBuf,
    pub cache: PathBuf,
    pub state: PathBuf,
    pub key: PathBuf,
    /// Exists and is empty.
    pub source: PathBuf,
    /// Does not exist.
    pub target: PathBuf,
    target_count: AtomicUsize,
}

impl Scene {
    /// A scene with a new repository.
    pub fn new() -> Self {
        let scene = Self::without_repository();
        scene.coffer(["init"]).ok();
        scene
    }

    /// A scene on a file system in memory where there is one: for many files or many runs.
    pub fn in_memory() -> Self {
        let scene = Self::in_folder(memory_folder());
        scene.coffer(["init"]).ok();
        scene
    }

    /// A scene without a repository.
    pub fn without_repository() -> Self {
        Self::in_folder(std::env::temp_dir())
    }

    fn in_folder(folder: PathBuf) -> Self {
        let dir = TempDir::with_prefix_in("coffer-test-", folder).unwrap();
        // Manifests hold resolved paths.
        let root = dir.path().canonicalize().unwrap();
        let source = root.join("source");
        fs::create_dir(&source).unwrap();
        Self {
            repo: root.join("repo"),
            cache: root.join("cache"),
            state: root.join("state"),
            key: root.join("key"),
            source,
            target: root.join("target"),
            target_count: AtomicUsize::new(0),
            dir,
        }
    }

    /// A path in the scene's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.source.with_file_name(name)
    }

    /// A target that does not exist yet.
    pub fn fresh_target(&self) -> PathBuf {
        self.path(&format!("target-{}", self.target_count.fetch_add(1, Ordering::Relaxed)))
    }

    /// The binary with the scene's repository, key file, cache and state in its environment.
    pub fn command(&self) -> Command {
        let mut command = self.locked_command();
        command.env("COFFER_KEY_FILE", &self.key);
        command
    }

    /// As [`Self::command`], without a key.
    pub fn locked_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer-under-test"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COFFER_") {
                command.env_remove(name);
            }
        }
        command
            .env("COFFER_REPOSITORY", &self.repo)
            .env("COFFER_CACHE_DIR", &self.cache)
            .env("COFFER_STATE_DIR", &self.state)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    #[must_use]
    pub fn coffer<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        run::finish(self.command().args(args), None)
    }

    /// Runs the binary to its end with `input` on its standard input.
    #[must_use]
    pub fn coffer_reading<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Run {
        run::finish(self.command().args(args), Some(input))
    }

    /// Runs `backup --json` of the source folder; the last line is the summary.
    #[must_use]
    pub fn try_backup(&self, options: &[&str]) -> Run {
        let mut args: Vec<OsString> = vec!["--json".into(), "backup".into()];
        args.extend(options.iter().map(OsString::from));
        args.push(self.source.clone().into());
        self.coffer(args)
    }

    /// Backs the source folder up and returns the snapshot's id.
    pub fn backup(&self) -> String {
        self.try_backup(&[]).ok().snapshot_id()
    }

    /// Restores a snapshot into a fresh target and returns where the source folder is now.
    pub fn restored(&self, snapshot: &str) -> PathBuf {
        let target = self.fresh_target();
        self.restore_into(snapshot, &target, &["--setuid", "--devices"]).ok();
        below(&target, &self.source)
    }

    /// Runs `restore` into `target`.
    #[must_use]
    pub fn restore_into(&self, snapshot: &str, target: &Path, options: &[&str]) -> Run {
        let mut args: Vec<OsString> = vec!["restore".into(), snapshot.into(), "--target".into()];
        args.push(target.into());
        args.extend(options.iter().map(OsString::from));
        self.coffer(args)
    }

    /// Backs up, restores, compares, verifies: the whole promise in one call.
    pub fn assert_round_trip(&self) {
        let restored = self.restored(&self.backup());
        assert_same_tree(&self.source, &restored);
        self.coffer(["verify"]).ok();
    }

    /// The ids of all listed snapshots, oldest first.
    pub fn listed(&self) -> Vec<String> {
        let run = self.coffer(["--json", "snapshots"]).ok();
        let lines = run.json();
        let list = lines[0].as_array().expect("one list");
        list.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Where `absolute` stands in a whole restore into `target`.
pub fn below(target: &Path, absolute: &Path) -> PathBuf {
    target.join(absolute.strip_prefix("/").unwrap())
}

/// True if this test may do what only root may.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn memory_folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if tempfile::tempfile_in(shared).is_ok() { shared.into() } else { std::env::temp_dir() }
}
