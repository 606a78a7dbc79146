//! Trees that change while they are read: what is stored is some state of each file, and restores.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::FileType;

use crate::support::{NOT_RACY, Run, Scene, assert_same_tree, make};

/// Runs backups while `hammer` changes the tree, until one was hit or there were enough of them.
fn backups_under(scene: &Scene, hammer: impl Fn(&Path, u64) + Sync) -> Vec<Run> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                hammer(&scene.source, round);
            }
        });
        let runs = (0..4).map(|_| scene.try_backup(&["--force"])).collect();
        stop.store(true, Ordering::Relaxed);
        runs
    })
}

/// Each run ended with 0 or 3 and restores; after it a quiet one is exact.
fn assert_sound(scene: &Scene, runs: Vec<Run>, is_a_state: impl Fn(&Path) -> bool) {
    for run in runs {
        assert!(matches!(run.code, Some(0 | 3)), "{:?}\n{}", run.code, run.errors());
        let restored = scene.restored(&run.snapshot_id());
        for entry in fs::read_dir(&restored).unwrap() {
            let path = entry.unwrap().path();
            assert!(is_a_state(&path), "{}: no state of it\n{}", path.display(), run.errors());
        }
    }
    let quiet = scene.try_backup(&[]).ok();
    assert_same_tree(&scene.source, &scene.restored(&quiet.snapshot_id()));
    scene.coffer(["verify"]).ok();
}

/// True for a file of whole blocks of 4096 equal bytes each, or something that is no file.
fn is_of_whole_blocks(path: &Path) -> bool {
    if !fs::symlink_metadata(path).unwrap().is_file() {
        return true;
    }
    let bytes = fs::read(path).unwrap();
    bytes.chunks(4096).all(|block| block.len() == 4096 && block.iter().all(|b| *b == block[0]))
}

fn blocks(first: u64, count: u64) -> Vec<u8> {
    (first..first + count).flat_map(|number| [number as u8 | 1; 4096]).collect()
}

#[test]
fn files_that_grow_while_they_are_read_are_stored_as_a_state_of_theirs() {
    let scene = Scene::new();
    make::file(&scene.source, "growing", blocks(0, 300));
    make::file(&scene.source, "still", blocks(9, 40));
    let runs = backups_under(&scene, |source, round| {
        let mut file = OpenOptions::new().append(true).open(source.join("growing")).unwrap();
        if file.metadata().unwrap().len() > 64 << 20 {
            thread::yield_now();
        } else {
            // One call: the file never has a part of a block.
            file.write_all(&blocks(round, 1)).unwrap();
        }
    });
    assert_sound(&scene, runs, is_of_whole_blocks);
}

#[test]
fn files_that_shrink_while_they_are_read_are_stored_as_a_state_of_theirs() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "shrinking", blocks(0, 3000));
    make::file(&scene.source, "still", blocks(9, 40));
    let runs = backups_under(&scene, |_, round| {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        match round % 1000 {
            999 => (&file).write_all(&blocks(round, 3000)).unwrap(),
            _ => {
                let len = file.metadata().unwrap().len();
                file.set_len(len.saturating_sub(4096 * 3)).unwrap();
            }
        }
    });
    // What is read beside a truncation may end within a block.
    assert_sound(&scene, runs, |path| {
        let bytes = fs::read(path).unwrap();
        bytes.chunks(4096).all(|block| block.iter().all(|byte| *byte == block[0]))
    });
}

#[test]
fn a_rename_over_a_file_while_it_is_read_gives_one_of_the_two() {
    let scene = Scene::new();
    let state = |number: u64| make::noise(number % 5, 200_000 + (number % 5) as usize);
    make::file(&scene.source, "replaced", state(0));
    let aside = scene.path("aside");
    fs::create_dir(&aside).unwrap();
    let runs = backups_under(&scene, |source, round| {
        let next = make::file(&aside, "next", state(round));
        fs::rename(next, source.join("replaced")).unwrap();
    });
    assert_sound(&scene, runs, |path| {
        let bytes = fs::read(path).unwrap();
        (0..5).any(|number| bytes == state(number))
    });
}

#[test]
fn names_that_come_and_go_and_change_their_kind_never_fail_a_backup() {
    let scene = Scene::new();
    for number in 0..40 {
        make::file(&scene.source, format!("name-{number}"), blocks(number, 30));
    }
    let runs = backups_under(&scene, |source, round| {
        let name = source.join(format!("name-{}", round * 7 % 40));
        if fs::symlink_metadata(&name).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir_all(&name).unwrap();
        } else {
            let _ = fs::remove_file(&name);
        }
        match round % 6 {
            0 | 1 => drop(make::file(source, &name, blocks(round, 30))),
            2 => make::node(&name, FileType::Fifo, 0),
            3 => symlink("/etc/passwd", &name).unwrap(),
            4 => drop(make::file(&name, "inner", blocks(round, 2))),
            _ => {}
        }
    });
    assert_sound(&scene, runs, |path| {
        !fs::symlink_metadata(path).unwrap().is_file() || {
            // A file is made, then written: it may have been read between the two.
            let bytes = fs::read(path).unwrap();
            bytes.chunks(4096).all(|block| block.iter().all(|byte| *byte == block[0]))
        }
    });
}

#[test]
fn folders_that_move_and_vanish_while_they_are_walked_never_fail_a_backup() {
    let scene = Scene::new();
    let fill = |folder: &Path| {
        for number in 0..60 {
            make::file(folder, format!("d{number}/e/file"), blocks(number, 1));
        }
    };
    fill(&scene.source.join("a"));
    let runs = backups_under(&scene, |source, round| match round % 4 {
        0 => fs::rename(source.join("a"), source.join("b")).unwrap(),
        1 => fs::rename(source.join("b/d7"), source.join("c")).unwrap(),
        2 => fs::remove_dir_all(source.join("b")).unwrap(),
        _ => {
            fs::rename(source.join("c"), source.join("a")).unwrap();
            fill(&source.join("a"));
        }
    });
    assert_sound(&scene, runs, |_| true);
}

#[test]
fn a_file_written_in_place_with_its_time_put_back_is_read_again_by_its_ctime() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "sly", vec![b'a'; 50_000]);
    make::mtime(&path, 1_000_000_000, 0);
    scene.try_backup(&NOT_RACY).ok();
    fs::write(&path, vec![b'b'; 50_000]).unwrap();
    make::mtime(&path, 1_000_000_000, 0);
    let run = scene.try_backup(&NOT_RACY).ok();
    assert_eq!(run.summary()["files_changed"], 1);
    assert_same_tree(&scene.source, &scene.restored(&run.snapshot_id()));
}

#[test]
fn a_file_changed_right_after_it_was_read_is_read_again_without_a_change_of_size() {
    let scene = Scene::new();
    let path = make::file(&scene.source, "racy", vec![b'a'; 10_000]);
    for round in 0..5u8 {
        let run = scene.try_backup(&[]).ok();
        assert_same_tree(&scene.source, &scene.restored(&run.snapshot_id()));
        File::create(&path).unwrap().write_all(&vec![b'b' + round; 10_000]).unwrap();
    }
}
