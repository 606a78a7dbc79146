//! Nothing of a secret stands anywhere in clear: not its bytes, not its name, not a plain hash of them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{key_without_secrets, with_key};
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
    needles: Needles,
}

impl Site {
    fn new() -> Self {
        let scene = Scene::in_memory();
        make::file(&scene.source, "plain", "plain");
        let vault = scene.path("vault");
        make::file(&vault, NAME, BYTES);
        make::file(&vault, "repeated", BYTES.repeat(3000));
        make::file(&vault.join(NAME).with_extension("d"), "deep", BYTES);
        let mount = scene.path("mount");
        make::file(&mount.join("..1"), NAME, BYTES);
        std::os::unix::fs::symlink("..1", mount.join("..data")).unwrap();
        std::os::unix::fs::symlink(format!("..data/{NAME}"), mount.join(NAME)).unwrap();
        let named = make::file(&scene.source.join("inner"), NAME, BYTES);
        make::file(&scene.path("settings"), "env", format!("X_FILE={}\n", named.to_str().unwrap()));
        let temporary = scene.path("temporary");
        fs::create_dir(&temporary).unwrap();
        Self { scene, temporary, needles: Needles::new() }
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
        command.env("TMPDIR", &self.temporary).args(args);
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

    #[track_caller]
    fn look(&self) {
        for folder in [&self.scene.repo, &self.scene.cache, &self.scene.state, &self.temporary] {
            self.needles.absent_below(folder);
        }
    }
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
    site.run(&["--json", "snapshots"]).ok();
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
    // And all of it is there.
    let target = site.scene.fresh_target();
    site.scene.restore_into("latest", &target, &[]).ok();
    assert_eq!(fs::read(target.join("printed")).unwrap(), PRINTED.as_bytes());
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
