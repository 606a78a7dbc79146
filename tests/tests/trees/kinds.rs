//! Every kind of file: empty, sparse, linked, piped, devices.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{FileType, makedev};

use crate::support::{Scene, assert_same_tree, is_root, make, tree};

#[test]
fn an_ordinary_tree_comes_back_equal() {
    let scene = Scene::new();
    make::file(&scene.source, "a/b/c", "content");
    make::file(&scene.source, "empty", "");
    make::file(&scene.source, "big", make::noise(1, 9 << 20));
    make::file(&scene.source, "repeated", make::noise(2, 1 << 16).repeat(40));
    fs::create_dir_all(scene.source.join("only/folders/here")).unwrap();
    scene.assert_round_trip();
}

#[test]
fn an_empty_folder_comes_back_equal() {
    let scene = Scene::new();
    scene.assert_round_trip();
}

#[test]
fn sizes_around_every_boundary_come_back() {
    let scene = Scene::new();
    let marks = [1usize, 64, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
    for mark in marks {
        for len in [mark - 1, mark, mark + 1] {
            make::file(&scene.source, format!("noise-{len}"), make::noise(len as u64, len));
        }
        make::file(&scene.source, format!("zeros-{mark}"), vec![0; mark]);
        make::file(&scene.source, format!("text-{mark}"), "a line\n".repeat(mark / 7));
    }
    scene.assert_round_trip();
}

#[test]
fn a_sparse_file_of_more_than_four_gib_keeps_bytes_and_holes() {
    let scene = Scene::new();
    let path = scene.source.join("image");
    let file = File::create(&path).unwrap();
    file.write_all_at(&make::noise(1, 100_000), 0).unwrap();
    file.write_all_at(b"beyond four", (4 << 30) + 4096 * 5 + 7).unwrap();
    file.write_all_at(&make::noise(2, 70_000), 5 << 30).unwrap();
    file.set_len(6 << 30).unwrap();
    scene.assert_round_trip();
}

#[test]
fn sparse_files_of_all_shapes_keep_bytes_and_holes() {
    let scene = Scene::new();
    let sparse = |name: &str, len: u64, runs: &[(u64, usize)]| {
        let file = File::create(scene.source.join(name)).unwrap();
        file.set_len(len).unwrap();
        for (seed, (at, len)) in runs.iter().enumerate() {
            file.write_all_at(&make::noise(seed as u64, *len), *at).unwrap();
        }
    };
    sparse("all hole", 64 << 20, &[]);
    sparse("odd length", (8 << 20) + 1, &[]);
    sparse("hole first", 8 << 20, &[((8 << 20) - 5, 5)]);
    sparse("hole last", 8 << 20, &[(0, 5)]);
    sparse("hole between", 32 << 20, &[(0, 5 << 20), (20 << 20, 12 << 20)]);
    let many: Vec<(u64, usize)> = (0..200).map(|run| (run * 131_072, 4096)).collect();
    sparse("many holes", 200 * 131_072, &many);
    scene.assert_round_trip();
}

#[test]
fn more_holes_than_an_entry_keeps_cost_space_and_never_bytes() {
    let scene = Scene::new();
    let file = File::create(scene.source.join("holes")).unwrap();
    for run in 0..600u64 {
        file.write_all_at(&make::noise(run, 4096), run * 73_728).unwrap();
    }
    let restored = scene.restored(&scene.backup());
    assert_eq!(tree::of(&scene.source), tree::of(&restored));
}

#[test]
fn zeros_written_as_zeros_come_back_sparse_if_asked() {
    let scene = Scene::new();
    let mut bytes = make::noise(1, 4 << 20);
    bytes[1 << 20..3 << 20].fill(0);
    let path = make::file(&scene.source, "image", &bytes);
    let snapshot = scene.backup();
    let target = scene.fresh_target();
    scene.restore_into(&snapshot, &target, &["--sparse"]).ok();
    let restored = crate::support::below(&target, &path);
    assert_eq!(fs::read(&restored).unwrap(), bytes);
    let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&restored).unwrap());
    assert!(blocks * 512 <= 3 << 20, "{blocks} blocks for 2 MiB of data");
}

#[test]
fn hard_links_of_five_hundred_names_stay_one_file() {
    let scene = Scene::new();
    let first = make::file(&scene.source, "m/first", make::noise(1, 300_000));
    for number in 0..499 {
        let folder = scene.source.join(format!("{}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        fs::hard_link(&first, folder.join(format!("name-{number}"))).unwrap();
    }
    let other = make::file(&scene.source, "other", make::noise(1, 300_000));
    fs::hard_link(&other, scene.source.join("other-2")).unwrap();
    let run = scene.try_backup(&[]).ok();
    assert!(run.summary()["data_added"].as_u64().unwrap() <= 300_000, "{}", run.summary());
    assert_same_tree(&scene.source, &scene.restored(&run.snapshot_id()));
}

#[test]
fn hard_links_of_what_is_no_file_stay_one_inode() {
    let scene = Scene::new();
    make::node(&scene.source.join("fifo"), FileType::Fifo, 0);
    fs::hard_link(scene.source.join("fifo"), scene.source.join("fifo-2")).unwrap();
    symlink("fifo", scene.source.join("link")).unwrap();
    fs::hard_link(scene.source.join("link"), scene.source.join("link-2")).unwrap();
    let restored = scene.restored(&scene.backup());
    let (mut wanted, mut found) = (tree::of(&scene.source), tree::of(&restored));
    // The format links files; other kinds come back as names of their own.
    for facts in wanted.values_mut().chain(found.values_mut()) {
        facts.same_as = None;
    }
    assert_eq!(wanted, found);
}

#[test]
fn a_link_to_a_name_outside_the_tree_is_a_file_of_its_own() {
    let scene = Scene::new();
    let outside = make::file(&scene.path("outside"), "file", "shared");
    fs::hard_link(&outside, scene.source.join("inside")).unwrap();
    let restored = scene.restored(&scene.backup());
    assert_eq!(fs::read(restored.join("inside")).unwrap(), b"shared");
}

#[test]
fn pipes_and_sockets_come_back_and_are_never_read() {
    let scene = Scene::new();
    make::node(&scene.source.join("fifo"), FileType::Fifo, 0);
    make::node(&scene.source.join("socket"), FileType::Socket, 0);
    let listening = UnixListener::bind(scene.source.join("listening")).unwrap();
    make::file(&scene.source, "file", "beside them");
    scene.assert_round_trip();
    drop(listening);
}

#[test]
fn devices_come_back_with_their_numbers() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    make::node(&scene.source.join("null"), FileType::CharacterDevice, makedev(1, 3));
    make::node(&scene.source.join("loop"), FileType::BlockDevice, makedev(7, 200));
    make::node(&scene.source.join("high"), FileType::CharacterDevice, makedev(511, 70_000));
    scene.assert_round_trip();
}

#[test]
fn symbolic_links_come_back_as_they_are() {
    let scene = Scene::new();
    make::file(&scene.source, "folder/file", "the target");
    let links: &[(&[u8], &str)] = &[
        (b"folder/file", "to a file"),
        (b"folder", "to a folder"),
        (b"nowhere/at/all", "dangling"),
        (b"/etc/passwd", "absolute"),
        (b"/", "root"),
        (b"../../../../../../..", "climbing"),
        (b"loop-b", "loop-a"),
        (b"loop-a", "loop-b"),
        (b"self", "self"),
        (b".", "dot"),
        (b"bytes \xff\n", "bytes"),
        (b" ", "space"),
    ];
    for (to, name) in links {
        symlink(make::raw(to), scene.source.join(name)).unwrap();
    }
    make::mtime(&scene.source.join("dangling"), 1_000_000_000, 123_456_789);
    scene.assert_round_trip();
}
