//! Nothing of a secret stands anywhere in clear: not its bytes, not its name, not a plain hash of them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use super::{key_without_secrets, with_key};
use crate::browse::mount::Mount;
use crate::support::{Run, Scene, make, run};

const BYTES: &str = "canary-value-83a1f0c57be94d26a6";
const NAME: &str = "canary-name-5d20e9b7";
const PRINTED: &str = "canary-printed-c0417fe2";

/// What must not be found, in every form it may leak in.
struct Needles(Vec<Vec<u8>>);

impl Needles {
    fn new() -> Self {
        let mut needles = Vec::new();
        for text in [BYTES, NAME, PRINTED] {
            let raw = text.as_bytes();
            let hex =
                |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            needles.push(raw.to_vec());
            needles.push(hex(raw).into_bytes());
            needles.push(hex(raw).to_uppercase().into_bytes());
            let hash = blake3::hash(raw);
            needles.push(hash.as_bytes().to_vec());
            needles.push(hash.as_bytes()[..8].to_vec());
            needles.push(hash.to_hex()[..16].as_bytes().to_vec());
            needles.push(piped("sha256sum", raw)[..16].to_vec());
            // However it stands within other bytes: whole groups of three are the same.
            for skip in 0..3 {
                let whole = (raw.len() - skip) / 3 * 3;
                needles.push(piped("base64", &raw[skip..skip + whole]));
            }
        }
        Self(needles)
    }

    #[track_caller]
    fn absent(&self, bytes: &[u8], place: &dyn std::fmt::Debug) {
        for needle in &self.0 {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{:?} in {place:?}", String::from_utf8_lossy(needle));
        }
    }

    #[track_caller]
    fn absent_below(&self, path: &Path) {
        self.absent(path.as_os_str().as_bytes(), &path);
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.absent_below(&entry.unwrap().path());
            }
        } else if path.is_file() {
            self.absent(&fs::read(path).unwrap(), &path);
        }
    }

    #[track_caller]
    fn absent_in(&self, run: &Run) {
        self.absent(&run.stdout, &run.args);
        self.absent(&run.stderr, &run.args);
    }
}

fn piped(program: &str, input: &[u8]) -> Vec<u8> {
    let run = run::finish(&mut Command::new(program), Some(input));
    run.text().trim_end().as_bytes().to_vec()
}

struct Site {
    scene: Scene,
    temporary: PathBuf,
    /// The folder that commands run in.
    current: PathBuf,
    needles: Needles,
    /// A live database with rows in its WAL.
    _database: Connection,
}

impl Site {
    fn new() -> Self {
        let scene = Scene::in_memory();
        make::file(&scene.source, "plain", "plain");
        let vault = scene.path("vault");
        make::file(&vault, NAME, BYTES);
        make::file(&vault, "repeated", BYTES.repeat(3000));
        let deep = make::file(&vault.join(NAME).with_extension("d"), "deep", BYTES);
        make::xattr(&deep, "user.kept", BYTES.as_bytes());
        fs::hard_link(&deep, vault.join(format!("twin-{NAME}"))).unwrap();
        std::os::unix::fs::symlink(format!("/{NAME}/{BYTES}"), vault.join("pointer")).unwrap();
        let database = database(&vault.join(format!("{NAME}.db")));
        for name in ["one", "two"] {
            let link = scene.path("links").join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&deep, link).unwrap();
        }
        let mount = scene.path("mount");
        make::file(&mount.join("..1"), NAME, BYTES);
        std::os::unix::fs::symlink("..1", mount.join("..data")).unwrap();
        std::os::unix::fs::symlink(format!("..data/{NAME}"), mount.join(NAME)).unwrap();
        let named = make::file(&scene.source.join("inner"), NAME, BYTES);
        make::file(&scene.path("settings"), "env", format!("X_FILE={}\n", named.to_str().unwrap()));
        let temporary = scene.path("temporary");
        fs::create_dir(&temporary).unwrap();
        let current = scene.path("current");
        fs::create_dir(&current).unwrap();
        Self { scene, temporary, current, needles: Needles::new(), _database: database }
    }

    /// The options of a backup of everything; the command prints what its own line does not hold.
    fn backup(&self) -> Vec<String> {
        let path = |name: &str| self.scene.path(name).to_str().unwrap().to_owned();
        let (head, tail) = PRINTED.split_at(9);
        let print = format!("printf %s%s {head} {tail}");
        let words = [
            "backup".to_owned(),
            path("source"),
            "--secrets".to_owned(),
            path("vault"),
            "--secrets".to_owned(),
            path("mount"),
            "--secrets".to_owned(),
            path("links/one"),
            "--secrets".to_owned(),
            path("links/two"),
            "--secret-env".to_owned(),
            path("settings/env"),
            "--secret-command".to_owned(),
            print,
            "--secret-name".to_owned(),
            "printed".to_owned(),
        ];
        words.to_vec()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.scene.command();
        command.env("TMPDIR", &self.temporary).current_dir(&self.current).args(args);
        command
    }

    /// Runs and looks everywhere.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Run {
        let run = run::finish(&mut self.command(args), None);
        self.look();
        self.needles.absent_in(&run);
        run
    }

    /// Runs what shows secrets to who may see them, and looks everywhere else.
    #[track_caller]
    fn run_shown(&self, args: &[&str]) -> Run {
        let run = run::finish(&mut self.command(args), None);
        self.look();
        self.needles.absent(&run.stderr, &run.args);
        run
    }

    #[track_caller]
    fn look(&self) {
        for folder in [&self.scene.repo, &self.scene.cache, &self.scene.state, &self.temporary] {
            self.needles.absent_below(folder);
        }
        assert_eq!(fs::read_dir(&self.current).unwrap().count(), 0, "a core, or what?");
    }
}

/// A database with canaries in its schema and rows, all of it in the WAL.
fn database(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let sql = format!("CREATE TABLE \"{NAME}\" (x); INSERT INTO \"{NAME}\" VALUES ('{BYTES}')");
    connection.execute_batch(&sql).unwrap();
    connection
}

#[test]
fn the_canary_is_found_where_it_is() {
    let needles = Needles::new();
    let found = |bytes: Vec<u8>| std::panic::catch_unwind(|| needles.absent(&bytes, &"")).is_err();
    assert!(
        found(format!("x{BYTES}y").into_bytes())
            && found(NAME.to_uppercase().to_lowercase().into())
    );
    assert!(found(piped("base64", format!("ab{PRINTED}c").as_bytes())));
    assert!(!found(b"nothing of it".to_vec()));
}

#[test]
fn no_run_leaves_anything_of_a_secret() {
    let site = Site::new();
    let backup = site.backup();
    let backup: Vec<&str> = backup.iter().map(String::as_str).collect();
    site.run(&[&["-vv"][..], &backup].concat()).ok();
    site.run(&[&["-vv", "--json"][..], &backup].concat()).ok();
    site.run(&[&["-vv"][..], &backup, &["-n"]].concat()).ok();
    for args in [&["--json", "snapshots"][..], &["snapshots", "-v"], &["-vv", "check"], &["stats"]]
    {
        site.run(args).ok();
    }
    site.run(&["check"]).ok();
    site.run(&["--json", "verify"]).ok();
    site.run(&["find", "-l", "*"]).ok();
    site.run(&["--json", "find", "*"]).ok();
    site.run(&["--json", "stats"]).ok();
    site.run(&["ls", "--facts", "latest"]).ok();
    let vault = site.scene.path("vault");
    make::file(&vault, "repeated", BYTES.repeat(10));
    let first = site.scene.listed().remove(0);
    site.run(&backup).ok();
    site.run(&["--json", "diff", "--metadata", &first, "latest"]).ok();
    site.run(&["diff", &first, "latest"]).ok();
    site.run(&["-vv", "verify"]).ok();
    let plain = site.scene.source.join("plain");
    let plain = format!("latest:{}", plain.to_str().unwrap());
    let target = site.scene.fresh_target();
    site.run(&["-vv", "restore", &plain, "--target", target.to_str().unwrap()]).ok();
    site.needles.absent_below(&target);
    let key = key_without_secrets(&site.scene);
    for args in [&["check"][..], &["verify"], &["-vv", "ls", "latest"], &["--json", "ls", "latest"]]
    {
        site.needles.absent_in(&with_key(&site.scene, &key, args).ok());
    }
    site.look();
    for options in [&["--key-file", key.to_str().unwrap()][..], &[]] {
        let mount = Mount::new(&site.scene, options);
        site.needles.absent_below(&mount.folder);
        site.look();
        mount.signal(Signal::TERM);
        let (_, errors) = mount.ended();
        site.needles.absent(errors.as_bytes(), &"what mount says");
    }
    // And all of it is there, for who may read it.
    let twin = format!("latest:{}", vault.join(format!("twin-{NAME}")).to_str().unwrap());
    assert_eq!(site.run_shown(&["cat", &twin]).ok().stdout, BYTES.as_bytes());
    assert!(site.run_shown(&["-vv", "ls", "-l", "latest"]).ok().text().contains(NAME));
    let target = site.scene.fresh_target();
    site.run_shown(&["restore", "latest", "--target", target.to_str().unwrap()]).ok();
    assert_eq!(fs::read(target.join("printed")).unwrap(), PRINTED.as_bytes());
    let restored = crate::support::below(&target, &vault.join(format!("{NAME}.db")));
    let sql = format!("SELECT x FROM \"{NAME}\"");
    let row = Connection::open(restored).unwrap().query_row(&sql, [], |row| row.get(0));
    assert_eq!(row, Ok(BYTES.to_owned()));
}

#[test]
fn what_goes_wrong_with_a_secret_does_not_name_it() {
    let site = Site::new();
    let backup = site.backup();
    let backup: Vec<&str> = backup.iter().map(String::as_str).collect();
    let vault = site.scene.path("vault");
    make::file(&vault, format!("{NAME}-refused"), format!("SQLite format 3\0{BYTES}"));
    let locked = vault.join(format!("{NAME}-locked"));
    let locked = Connection::open(locked).unwrap();
    let sql = format!("CREATE TABLE \"{NAME}\" (x); BEGIN EXCLUSIVE");
    locked.execute_batch(&sql).unwrap();
    let harmed = database(&vault.join(format!("{NAME}-harmed")));
    harm(harmed, &vault.join(format!("{NAME}-harmed")));
    let settings = site.scene.path("settings/env");
    // No setting names it any more: it would be an ordinary file.
    fs::remove_dir_all(site.scene.source.join("inner")).unwrap();
    let lines = format!("X_FILE=/{NAME}/{BYTES}\nY_FILE={NAME}\n");
    fs::write(settings, lines).unwrap();
    for options in [&["-vv"][..], &["-vv", "--json"], &["-vv", "-n"]] {
        let run = site.run(&[&backup[..], &["--lock-max", "1s"], options].concat()).fails_with(3);
        for word in ["refuses", "cannot read now", "damaged", "line 1", "line 2"] {
            assert!(run.errors().contains(word), "no {word}: {}", run.errors());
        }
    }
    // More than fits, and a key that may not.
    let long = fs::File::create(vault.join(format!("{NAME}-long"))).unwrap();
    long.set_len(40 << 20).unwrap();
    site.run(&[&["-vv"][..], &backup].concat()).fails_with(3);
    let key = key_without_secrets(&site.scene);
    site.needles.absent_in(&with_key(&site.scene, &key, &backup).fails_with(5));
    site.look();
}

/// Breaks a rule of a table, whose name the check would tell.
fn harm(connection: Connection, path: &Path) {
    let sql = format!(
        "INSERT INTO \"{NAME}\" VALUES (NULL);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '(x)', '(x NOT NULL)');"
    );
    connection.execute_batch(&sql).unwrap();
    drop(connection);
    let again = Connection::open(path).unwrap();
    let found: String = again.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert!(found.contains(NAME), "the check tells no name: {found}");
}

#[test]
fn a_run_that_breaks_down_leaves_no_core() {
    let site = Site::new();
    let waits = site.scene.path("waits");
    // With the other secrets in memory, and until nobody listens any more.
    let wait = format!("; echo > {}; while :; do echo; sleep 0.1; done", waits.display());
    let mut words = site.backup();
    let line = words.iter().position(|word| word == "--secret-command").unwrap() + 1;
    words[line].push_str(&wait);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = site.command(&words).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !waits.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the command is not run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(6) && !status.core_dumped(), "{status}");
    site.look();
}

#[test]
fn a_killed_run_leaves_nothing_of_a_secret() {
    let site = Site::new();
    let backup = site.backup();
    let backup: Vec<&str> = backup.iter().map(String::as_str).collect();
    for n in 1..500 {
        // Other secrets each time, so that all are stored again.
        make::file(&site.scene.path("vault"), "counted", format!("{n}{BYTES}"));
        let mut command = site.command(&backup);
        let run = run::finish(command.env("COFFER_TEST_CRASH_AT", n.to_string()), None);
        site.look();
        site.needles.absent_in(&run);
        if run.code == Some(0) {
            assert!(n > 20, "killed {} times", n - 1);
            return;
        }
        assert_eq!(run.code, None, "{}", run.errors());
    }
    panic!("no end of crash points");
}
