//! Outputs of commands as sources.

use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::support::{Scene, assert_same_tree, below, make, run};

#[test]
fn outputs_stand_beside_a_tree_and_come_back() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let args = [
        &["--json", "backup", source][..],
        &["--command", "printf one; printf told >&2", "--name", "dumps/one.sql"],
        &["--command", "seq 1 300000", "--name", "two.txt"],
    ];
    let run = scene.coffer(args.concat()).ok();
    assert!(run.errors().contains("told"), "{}", run.errors());
    let target = scene.fresh_target();
    scene.restore_into(&run.snapshot_id(), &target, &[]).ok();
    assert_eq!(fs::read(target.join("dumps/one.sql")).unwrap(), b"one");
    assert!(fs::read(target.join("two.txt")).unwrap().ends_with(b"\n300000\n"));
    assert_same_tree(&scene.source, &below(&target, &scene.source));
}

#[test]
fn a_command_that_fails_fails_its_source_alone() {
    let scene = Scene::new();
    make::file(&scene.source, "file", "x");
    let source = scene.source.to_str().unwrap();
    let failing = ["--command", "seq 1 300000; exit 7", "--name", "dump.sql"];
    let run = scene.coffer([&["--json", "backup", source][..], &failing].concat()).fails_with(3);
    assert!(run.errors().contains("dump.sql") && run.errors().contains("exit status 7"));
    assert_eq!(run.summary()["partial"], true);
    let cat = scene.coffer(["cat", "latest:dump.sql"]);
    assert_ne!(cat.code, Some(0), "half a dump is no dump");
    let listed = scene.listed().len();
    let run = scene.coffer([&["backup"][..], &failing].concat()).fails_with(1);
    assert!(run.errors().contains("exit status 7"), "{}", run.errors());
    assert_eq!(scene.listed().len(), listed);
}

#[test]
fn names_belong_to_commands_and_stand_once() {
    let scene = Scene::new();
    let bad: [&[&str]; 5] = [
        &["--command", "true"],
        &["--command", "true", "--name", "../x"],
        &["--command", "echo", "--name", "x", "--command", "echo", "--name", "x"],
        &["--command", "echo", "--name", "files", "/etc/hostname"],
        &["--name", "x", "/etc/hostname"],
    ];
    for args in bad {
        scene.coffer([&["backup"][..], args].concat()).fails_with(2);
    }
    assert!(scene.listed().is_empty());
}

/// A new terminal: its two ends.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut outer, mut inner) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: two places for handles, and nothing else is asked for.
    let made = unsafe {
        libc::openpty(&raw mut outer, &raw mut inner, none, none.cast_const().cast(), none.cast())
    };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    // SAFETY: both are new and ours.
    unsafe { (OwnedFd::from_raw_fd(outer), OwnedFd::from_raw_fd(inner)) }
}

/// Runs the command in the foreground of a terminal, as a user does.
fn on_a_terminal(command: &mut Command) -> run::Run {
    let (outer, inner) = terminal();
    let take = || {
        // SAFETY: both calls are async-signal-safe and take plain values.
        let taken = unsafe { libc::setsid() != -1 && libc::ioctl(0, libc::TIOCSCTTY, 0) != -1 };
        if taken { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: see above; nothing is allocated between fork and exec.
    unsafe { command.pre_exec(take) };
    let run = run::finish(command.stdin(Stdio::from(inner)), None);
    drop(File::from(outer));
    run
}

#[test]
fn a_command_that_asks_on_the_terminal_fails_instead_of_hanging() {
    let scene = Scene::new();
    let mut control = Command::new("/bin/sh");
    control.args(["-c", "exec 3<>/dev/tty && echo open"]);
    assert_eq!(on_a_terminal(&mut control).text(), "open\n");
    let mut command = scene.command();
    command.args(["backup", "--command", "read -r password </dev/tty && echo $password"]);
    let run = on_a_terminal(command.args(["--name", "dump"])).fails_with(1);
    assert!(run.errors().contains("/dev/tty"), "{}", run.errors());
    assert!(scene.listed().is_empty());
}
