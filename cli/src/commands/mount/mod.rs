//! Snapshots as folders, through FUSE.

mod attributes;
mod filesystem;
mod handles;
mod layout;
mod nodes;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coffer_engine::browse::Tree;
use coffer_engine::model::Snapshot;
use coffer_engine::repo::{ChunkReader, Repository};
use fuser::{Config, MountOption, Session, SessionACL};

use self::filesystem::Coffer;
use self::layout::Layout;
use super::{Context, to_filter, unusable};
use crate::args::MountArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, escape, json};
use crate::settings::absolute;

const DEVICE: &str = "/dev/fuse";
/// Threads that open data ahead of readers, at most.
const AHEAD_THREAD_COUNT_MAX: usize = 4;
/// How often the command looks whether it was asked to stop, or unmounted.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long programs that still have files open keep the command from ending.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Shows snapshots until asked to stop.
///
/// # Errors
/// Fails if the folder cannot be used, or the system has no FUSE.
pub fn run(context: &Context, args: &MountArgs) -> Result<()> {
    let target = absolute(&args.target)?;
    need_empty_folder(&target)?;
    need_device(Path::new(DEVICE))?;
    // fuser wants what it serves to live as long as the process, and it does: the mount is all there is.
    let repository: &'static Repository = Box::leak(Box::new(context.open()?));
    if args.secrets && !repository.keyring().has_secrets() {
        let what = "the key in use may not read secrets: `coffer key list` tells which may";
        return Err(Failure::new(Code::Refused, what));
    }
    let watcher = context.watcher();
    let (snapshots, layout) = chosen(context, repository, args)?;
    let reader: &'static ChunkReader<'static> = Box::leak(Box::new(repository.reader(&watcher)?));
    let frame_cache_len = usize::try_from(args.frame_cache).unwrap_or(usize::MAX);
    let tree = Arc::new(Tree::new(reader, snapshots, frame_cache_len, args.secrets));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores.min(AHEAD_THREAD_COUNT_MAX) {
        let (tree, interrupt) = (Arc::clone(&tree), context.interrupt.clone());
        thread::spawn(move || tree.open_ahead(&|| interrupt.is_set()));
    }
    let filesystem = Coffer::new(tree, layout, context.global.json);
    let session = Session::new(filesystem, &target, &config(args.allow_other, cores))
        .map_err(|error| not_mounted(&target, &error))?;
    tell_mounted(context, &target)?;
    serve(context, session)
}

fn config(allow_other: bool, cores: usize) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoAtime,
        MountOption::FSName("coffer".into()),
    ];
    if allow_other {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.n_threads = Some(cores.saturating_add(2));
    config
}

/// Answers the kernel until the mount is gone or the user asked to stop; then unmounts.
fn serve(context: &Context, mut session: Session<Coffer>) -> Result<()> {
    let mut unmounter = session.unmount_callable();
    let serving = thread::spawn(move || session.run());
    while !serving.is_finished() && !context.interrupt.is_set() {
        thread::sleep(LOOK_EVERY);
    }
    let unmounted = unmounter.unmount();
    // A program with an open file keeps the connection; the mount itself is gone.
    let asked = Instant::now();
    while !serving.is_finished() && asked.elapsed() < LINGER_MAX {
        thread::sleep(LOOK_EVERY);
    }
    if serving.is_finished() {
        let served = serving.join().unwrap_or_else(|_| Err(std::io::Error::other("panic")));
        served.map_err(|error| Failure::new(Code::Failed, format!("mount: {error}")))?;
    }
    unmounted.map_err(|error| Failure::new(Code::Failed, format!("unmounting: {error}")))
}

/// The snapshots to show, oldest first, and under which names.
fn chosen(
    context: &Context,
    repository: &Repository,
    args: &MountArgs,
) -> Result<(Vec<Snapshot>, Layout)> {
    if let Some(name) = &args.snapshot {
        let snapshot = context.select(repository, name, &args.filter)?;
        let layout = Layout::of_one(&snapshot);
        return Ok((vec![snapshot], layout));
    }
    let filter = to_filter(&args.filter);
    let all = repository.snapshots(false, &context.watcher())?.into_iter();
    let list: Vec<Snapshot> =
        all.map(|(_, snapshot)| snapshot).filter(|s| filter.matches(s)).collect();
    let layout = Layout::of_all(&list, repository.clock().now_ns());
    Ok((list, layout))
}

fn tell_mounted(context: &Context, target: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = target.as_os_str().as_bytes();
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::MountedLine::new(path))?;
    } else if !context.global.quiet {
        let shown = escape::name(path);
        out.line(&format!("mounted on {shown}; Ctrl-C or `fusermount -u {shown}` unmounts"))?;
    }
    out.finish()
}

fn need_empty_folder(target: &Path) -> Result<()> {
    let mut entries = std::fs::read_dir(target).map_err(|error| unusable(target, &error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    let message = format!("{} is not empty: the mount would hide what is in it", target.display());
    Err(Failure::usage(message).hint("name an empty folder; `mkdir` makes one"))
}

fn need_device(device: &Path) -> Result<()> {
    if device.exists() {
        return Ok(());
    }
    let message = format!("{} is not there: this system has no FUSE", device.display());
    Err(Failure::new(Code::Failed, message).hint(
        "`modprobe fuse` loads it; a container needs `--device /dev/fuse --cap-add SYS_ADMIN`; without it, \
         `coffer ls`, `cat` and `restore` read the same",
    ))
}

fn not_mounted(target: &Path, error: &std::io::Error) -> Failure {
    let message = format!("mounting on {}: {error}", target.display());
    Failure::new(Code::Failed, message).hint(
        "who is not root needs the program `fusermount3` (package fuse3), and for --allow-other the line \
         `user_allow_other` in /etc/fuse.conf; a container needs `--cap-add SYS_ADMIN`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_fuse_is_told_with_the_way_out() {
        let failure = need_device(Path::new("/dev/no-such-device")).unwrap_err();
        assert_eq!(failure.code, Code::Failed);
        assert!(failure.message.contains("/dev/no-such-device"), "{failure:?}");
        let hint = failure.hint.unwrap();
        assert!(hint.contains("modprobe fuse") && hint.contains("restore"), "{hint}");
    }
}
