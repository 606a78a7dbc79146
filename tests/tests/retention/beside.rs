//! Prunes that are killed, alone and beside backups: nothing that was acknowledged and not forgotten is lost.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harm::support::{Picture, Ran, Site, noise, put_back};

const PRUNE: [&str; 5] = ["prune", "--leave-newer", "0s", "--max-unused", "0"];
/// Seconds of the test that kills; `COFFER_TEST_PRUNE_SECS` makes it longer.
const KILLING_SECS: u64 = 12;

/// Changes the tree: a file of its own, one that changes a little, one that comes and goes.
fn change(tree: &std::path::Path, round: u64) {
    fs::create_dir_all(tree).unwrap();
    fs::write(tree.join("own"), noise(round, 60_000)).unwrap();
    let mut bytes = noise(1_000_000, 400_000);
    let at = usize::try_from(round * 7919 % 390_000).unwrap();
    bytes[at..at + 300].copy_from_slice(&noise(round, 300));
    fs::write(tree.join("changing"), bytes).unwrap();
    // What was forgotten comes back: a backup finds it in packs that a prune is giving up.
    fs::write(tree.join("again"), noise(2_000_000 + round % 3, 80_000)).unwrap();
}

#[test]
fn a_prune_killed_at_any_write_loses_nothing_and_the_next_one_ends_it() {
    let site = Site::new();
    let tree = site.path("tree");
    let mut all = BTreeMap::new();
    let mut ids = Vec::new();
    for round in 0..4 {
        change(&tree, round);
        ids.push(site.backup(&tree));
        all.insert(ids[ids.len() - 1].clone(), Picture::of(&tree));
    }
    site.home(&["forget", &ids[0], &ids[2]]).expect(0);
    all.retain(|id, _| *id == ids[1] || *id == ids[3]);
    let kept = [("repo", "repo-kept"), ("state", "state-kept"), ("state.cache", "cache-kept")];
    for (folder, copy) in kept {
        put_back(&site.path(folder), &site.path(copy));
    }
    let check = |n: u64| {
        assert_eq!(site.listed(), [ids[1].clone(), ids[3].clone()], "crash point {n}");
        for (id, picture) in &all {
            site.assert_restores(id, &tree, picture);
        }
        site.stranger(&["check"]).expect(0);
    };
    for n in 1.. {
        for (folder, copy) in kept {
            put_back(&site.path(copy), &site.path(folder));
        }
        let ran = site.dying(n, &PRUNE);
        assert!(matches!(ran.code, None | Some(0)), "{:?} {}", ran.code, ran.err);
        check(n);
        site.home(&PRUNE).expect(0);
        check(n);
        site.stranger(&["verify"]).expect(0);
        if ran.code.is_some() {
            println!("killed {} times", n - 1);
            assert!(n > 40, "killed only {} times", n - 1);
            return;
        }
    }
}

/// What is acknowledged and not forgotten, with what it holds, in the order it was made.
type Wanted = Mutex<Vec<(String, Picture)>>;

/// Backs up, again and again, until told to end; how often.
fn back_up(site: &Site, wanted: &Wanted, is_over: &AtomicBool) -> u64 {
    let tree = site.path("tree");
    for round in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return round;
        }
        change(&tree, round);
        let picture = Picture::of(&tree);
        let id = site.backup(&tree);
        wanted.lock().unwrap().push((id, picture));
    }
    unreachable!()
}

/// Forgets all but three, prunes and kills that after a while, until told to end; how many were killed and
/// how many came to their end.
fn prune_and_kill(site: &Site, wanted: &Wanted, is_over: &AtomicBool) -> (u64, u64) {
    let state = site.path("pruner");
    let run = |arguments: &[&str]| site.command_with(&site.repo, &state, arguments);
    let (mut killed, mut passed) = (0, 0);
    for round in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let old: Vec<String> = {
            let mut wanted = wanted.lock().unwrap();
            let count = wanted.len().saturating_sub(3);
            wanted.drain(..count).map(|(id, _)| id).collect()
        };
        if !old.is_empty() {
            let old = old.iter().map(String::as_str);
            let arguments: Vec<&str> = std::iter::once("forget").chain(old).collect();
            Ran::from(run(&arguments).output().unwrap()).expect(0);
        }
        let mut command = run(&PRUNE);
        if round % 5 == 4 {
            command.args(["--hold", "1s"]);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        if round % 4 != 3 {
            // The times are spread evenly over what a prune takes, and a little more.
            let draw = u64::from_le_bytes(noise(round, 8).try_into().unwrap());
            thread::sleep(Duration::from_micros(draw % 150_000));
            let _ = child.kill();
        }
        let ran = Ran::from(child.wait_with_output().unwrap());
        match ran.code {
            None => killed += 1,
            Some(0) => passed += 1,
            Some(code) => panic!("exit {code}: {}", ran.err),
        }
    }
    (killed, passed)
}

#[test]
fn prunes_killed_beside_backups_lose_nothing_that_was_acknowledged() {
    let seconds = std::env::var("COFFER_TEST_PRUNE_SECS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(KILLING_SECS));
    let site = Site::new();
    let (wanted, is_over) = (Wanted::default(), AtomicBool::new(false));
    let (backups, (killed, passed)) = thread::scope(|scope| {
        let backups = scope.spawn(|| back_up(&site, &wanted, &is_over));
        let prunes = scope.spawn(|| prune_and_kill(&site, &wanted, &is_over));
        let begun = Instant::now();
        while begun.elapsed() < length && !backups.is_finished() && !prunes.is_finished() {
            thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
        (backups.join().unwrap(), prunes.join().unwrap())
    });
    println!("{backups} backups, {killed} prunes killed, {passed} at their end");
    let wanted = wanted.into_inner().unwrap();
    let ids: Vec<&str> = wanted.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(site.listed(), ids, "before the last prune");
    site.home(&PRUNE).expect(0);
    assert_eq!(site.listed(), ids, "after it");
    for (id, picture) in &wanted {
        site.assert_restores(id, &site.path("tree"), picture);
    }
    site.stranger(&["verify"]).expect(0);
    assert!(killed >= 3 && passed >= 1 && backups >= 5, "{backups} {killed} {passed}");
}
