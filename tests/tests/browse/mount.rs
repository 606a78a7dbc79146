//! `mount`: what is seen there is what a restore writes. These tests need FUSE, and fail without it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::tree::{assert_same_contents, assert_same_tree};
use crate::support::{Run, Scene, below, is_root, make};

/// Longer than a mount takes to come and go on a slow machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A running mount; unmounted when dropped, whatever became of the test.
pub struct Mount {
    child: Child,
    pub folder: PathBuf,
}

impl Mount {
    pub fn new(scene: &Scene, args: &[&str]) -> Self {
        assert!(Path::new("/dev/fuse").exists(), "this test needs /dev/fuse");
        let folder = scene.fresh_target();
        fs::create_dir(&folder).unwrap();
        let mut command = scene.command();
        command.arg("--json").arg("mount").args(args).arg(&folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mount = Self { child, folder };
        assert!(line.contains("\"message_type\":\"mounted\""), "no mount: {line}");
        mount
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.lines().any(|line| line.split(' ').nth(1) == self.folder.to_str())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the command to end; its exit code and what it said on standard error.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < WAIT_MAX, "the mount does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(!self.is_mounted(), "still mounted");
        let errors = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        (status.code(), errors)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.folder).stderr(Stdio::null()).status();
    }
}

/// Every kind of entry, and what is hard about each.
fn grow(scene: &Scene) {
    let root = &scene.source;
    let file = make::file(root, "folder/file", "twelve bytes");
    fs::hard_link(&file, root.join("folder/twin")).unwrap();
    make::file(root, "big", make::noise(3, 9_000_000));
    make::file(root, "empty", "");
    make::file(root, make::raw(b"odd\xff\n"), "odd");
    symlink("folder/file", root.join("link")).unwrap();
    make::node(&root.join("fifo"), FileType::Fifo, 0);
    make::node(&root.join("socket"), FileType::Socket, 0);
    if is_root() {
        make::node(&root.join("device"), FileType::CharacterDevice, rustix::fs::makedev(1, 3));
        std::os::unix::fs::chown(root.join("empty"), Some(4242), Some(4343)).unwrap();
    }
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 5 << 20).unwrap();
    make::xattr(&file, "user.note", b"a value");
    make::xattr(&file, "user.long", &[7; 3000]);
    make::mode(&file, 0o4750);
    make::mtime(&root.join("link"), 1_000_000_000, 123_456_789);
    make::mtime(&root.join("empty"), -86_400, 5);
    make::mtime(&root.join("folder"), 1_100_000_000, 987_654_321);
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp -a {}", from.display());
}

#[test]
fn a_copy_from_a_mount_equals_a_restore_and_the_source() {
    let scene = Scene::new();
    grow(&scene);
    let id = scene.backup();
    let mount = Mount::new(&scene, &[&id]);
    let mounted = below(&mount.folder, &scene.source);
    let wanted = scene.restored(&id);
    assert_same_tree(&wanted, &mounted);
    let copied = scene.fresh_target();
    copy(&mounted, &copied);
    assert_same_tree(&wanted, &copied);
    assert_same_contents(&scene.source, &copied);
    let twin = fs::metadata(mounted.join("folder/twin")).unwrap();
    let file = fs::metadata(mounted.join("folder/file")).unwrap();
    assert_eq!((twin.nlink(), twin.ino()), (2, file.ino()));
    assert!(fs::metadata(mounted.join("sparse")).unwrap().blocks() * 512 < 1 << 20);
    assert!(fs::write(mounted.join("empty"), "x").is_err(), "the mount is read-only");
    mount.signal(Signal::INT);
    assert_eq!(mount.ended(), (Some(0), String::new()));
}

#[test]
fn every_snapshot_has_its_folder_and_links_by_id_host_and_tag() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "first");
    let first = scene.try_backup(&["--host", "web", "--tag", "a/b"]).ok().snapshot_id();
    make::file(&scene.source, "file", "second");
    let second = scene.try_backup(&["--host", "db"]).ok().snapshot_id();
    let mount = Mount::new(&scene, &[]);
    let read = |name: &str| {
        let file = below(&mount.folder.join(name), &scene.source).join("file");
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (name, wanted) in [
        (format!("ids/{}", &first[..8]), "first"),
        (format!("ids/{}", &second[..8]), "second"),
        ("latest".into(), "second"),
        ("snapshots/latest".into(), "second"),
        ("hosts/web/latest".into(), "first"),
        ("hosts/db/latest".into(), "second"),
        ("tags/a_b/latest".into(), "first"),
    ] {
        assert_eq!(read(&name), wanted, "{name}");
    }
    assert_eq!(fs::read_dir(mount.folder.join("snapshots")).unwrap().count(), 3);
    assert!(!mount.folder.join("snapshots/none").exists());
    let status = Command::new("umount").arg(&mount.folder).status().unwrap();
    assert!(status.success());
    assert_eq!(mount.ended().0, Some(0));
}

#[test]
fn a_damaged_chunk_is_an_error_and_never_wrong_bytes() {
    let scene = Scene::new();
    make::file(&scene.source, "small", "small and sound");
    scene.backup();
    make::file(&scene.source, "victim", make::noise(5, 3_000_000));
    scene.backup();
    let largest = packs(&scene.repo.join("packs")).into_iter().max().unwrap().1;
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
    let mount = Mount::new(&scene, &["latest"]);
    let mounted = below(&mount.folder, &scene.source);
    let error = fs::read(mounted.join("victim")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    assert_eq!(fs::read(mounted.join("small")).unwrap(), b"small and sound");
    mount.signal(Signal::TERM);
    let (code, errors) = mount.ended();
    assert!(code == Some(0) && errors.contains("pack"), "{code:?} {errors}");
}

#[test]
fn many_small_files_and_a_large_folder_are_all_there() {
    let scene = Scene::in_memory();
    for number in 0..3000 {
        make::file(&scene.source, format!("flat/file-{number}"), format!("{number}"));
    }
    let id = scene.backup();
    let mount = Mount::new(&scene, &[&id]);
    assert_same_tree(&scene.source, &below(&mount.folder, &scene.source));
}

#[test]
fn folders_that_cannot_be_used_are_mistakes() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let refuse = |target: &Path| -> Run {
        scene.coffer(["mount".as_ref(), target.as_os_str()]).fails_with(2)
    };
    assert!(refuse(&scene.source).errors().contains("is not empty"));
    refuse(&scene.path("missing"));
    refuse(&scene.source.join("file"));
    let folder = scene.fresh_target();
    fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    scene.coffer(["mount", "latest", folder]).fails_with(1);
    scene.coffer(["mount", "zebra", folder]).fails_with(2);
}

fn packs(folder: &Path) -> Vec<(u64, PathBuf)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(packs(&path));
        } else {
            files.push((fs::metadata(&path).unwrap().len(), path));
        }
    }
    files
}
