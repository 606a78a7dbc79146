use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::memory::*;
use crate::model::*;
use crate::restore::*;

#[test]
fn restores_a_tree_byte_for_byte() {
    let mut memory = Memory::new();
    let mut wanted = Vec::new();
    for number in 0..500_u64 {
        let path = format!("home/u/d{}/e{}/file {number}", number % 7, number % 3);
        let bytes = noise(number, (number * 911 % 300_000) as usize);
        memory.file(&path, &bytes);
        wanted.push((path, bytes));
    }
    memory.directory("home/u/empty");
    memory.symlink("home/u/link", "../somewhere");
    let target = tempfile::tempdir().unwrap();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.others, summary.problem_count), (500, 1, 0));
    for (path, bytes) in wanted {
        assert!(fs::read(target.path().join(&path)).unwrap() == bytes, "{path}");
    }
    assert_eq!(
        fs::read_link(target.path().join("home/u/link")).unwrap().to_str(),
        Some("../somewhere")
    );
    assert!(target.path().join("home/u/empty").is_dir());
    assert_eq!(summary.directories, 2 + 7 + 21 + 1);
    assert!(listing(target.path()).iter().all(|path| !path.contains(".coffer-")));
}

#[test]
fn a_frame_is_opened_once_however_many_files_need_it() {
    let mut memory = Memory::new();
    let bytes = noise(1, 64 << 10);
    for number in 0..50 {
        memory.file(&format!("f{number}"), &bytes);
    }
    let target = scratch();
    memory.restore_to(target.path());
    assert_eq!(memory.opened.into_inner(), 1);
}

#[test]
fn a_file_larger_than_a_batch_spans_several() {
    let mut memory = Memory::new();
    let (a, b) = (noise(1, 64 << 10), noise(2, 64 << 10));
    let chunk = memory.chunk(&a);
    let end = memory.chunk(&b);
    let count = (20 << 20) / (64 << 10);
    memory.repeats.insert(chunk.id, count);
    let size = count * (64 << 10) + b.len() as u64;
    let content = Content::Chunks(vec![chunk, end]);
    memory.add(entry("x/big", EntryKind::File { size, content, holes: Vec::new() }));
    memory.file("x/after", b"after");
    let target = tempfile::tempdir().unwrap();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.bytes, summary.problem_count), (2, size + 5, 0));
    let bytes = fs::read(target.path().join("x/big")).unwrap();
    assert_eq!(bytes.len() as u64, size);
    assert!(bytes.chunks(a.len()).take(count as usize).all(|chunk| chunk == a));
    assert!(bytes.ends_with(&b));
    assert_eq!(listing(target.path()), ["x", "x/after", "x/big"]);
}

#[test]
fn holes_come_back_as_holes_even_beyond_four_gigabytes() {
    let mut memory = Memory::new();
    let bytes = noise(3, 200_000);
    let size = 6 << 30;
    let holes = vec![
        Hole { offset: 0, len: 5 << 30 },
        Hole { offset: (5 << 30) + 100_000, len: (1 << 30) - 200_000 },
    ];
    memory.holed("sparse", &bytes, size, holes);
    memory.holed("all-hole", b"", 1 << 33, vec![Hole { offset: 0, len: 1 << 33 }]);
    let target = tempfile::tempdir().unwrap();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.problem_count, summary.bytes), (0, 200_000));
    let stat = fs::metadata(target.path().join("sparse")).unwrap();
    assert_eq!(stat.len(), size);
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
    let file = fs::File::open(target.path().join("sparse")).unwrap();
    let mut back = vec![0; 200_000];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut back[..100_000], 5 << 30).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut back[100_000..], size - 100_000).unwrap();
    assert!(back == bytes);
    assert_eq!(fs::metadata(target.path().join("all-hole")).unwrap().len(), 1 << 33);
}

#[test]
fn sparse_leaves_out_runs_of_zeros() {
    let mut memory = Memory::new();
    let mut bytes = vec![0; 4 << 20];
    bytes[1_000_000] = 1;
    memory.file("f", &bytes);
    for (sparse, is_small) in [(false, false), (true, true)] {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions {
            target: target.path().to_owned(),
            sparse,
            ..RestoreOptions::default()
        };
        memory.restore(&options).unwrap();
        assert!(fs::read(target.path().join("f")).unwrap() == bytes);
        let blocks = fs::metadata(target.path().join("f")).unwrap().blocks();
        assert_eq!(blocks * 512 < 200_000, is_small, "{blocks}");
    }
}

#[test]
fn hard_links_come_back_as_one_file() {
    let mut memory = Memory::new();
    for number in 0..2000 {
        memory.file(&format!("d{}/n{number}", number % 5), b"one file").link_group = 7;
    }
    memory.symlink("s1", "to").link_group = 9;
    memory.symlink("s2", "to").link_group = 9;
    memory.add(entry("p1", EntryKind::Fifo)).link_group = 11;
    memory.add(entry("p2", EntryKind::Fifo)).link_group = 11;
    let target = scratch();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.links, summary.problem_count), (1, 2001, 0));
    let stat = |path: &str| fs::symlink_metadata(target.path().join(path)).unwrap();
    assert_eq!((stat("d3/n3").nlink(), stat("d4/n1999").ino()), (2000, stat("d0/n0").ino()));
    assert_eq!(stat("s1").ino(), stat("s2").ino());
    assert_eq!(stat("p1").ino(), stat("p2").ino());
    assert_eq!(fs::read(target.path().join("d1/n1")).unwrap(), b"one file");
    // Again, over what is there, in every mode.
    for overwrite in [Overwrite::Always, Overwrite::IfChanged, Overwrite::Never] {
        let options = RestoreOptions {
            target: target.path().to_owned(),
            overwrite,
            ..RestoreOptions::default()
        };
        assert_eq!(memory.restore(&options).unwrap().problem_count, 0);
        assert_eq!((stat("d3/n3").nlink(), stat("d4/n1999").ino()), (2000, stat("d0/n0").ino()));
    }
    assert!(listing(target.path()).iter().all(|path| !path.contains(".coffer-")));
}

#[test]
fn many_link_groups_are_remembered_outside_memory() {
    let mut memory = Memory::new();
    for round in 0..3 {
        for number in 0..700_u64 {
            let path = format!("{round}/d{}/n{number}", number % 9);
            memory.file(&path, &number.to_le_bytes()).link_group = number + 1;
        }
    }
    let target = scratch();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.links, summary.problem_count), (700, 1400, 0));
    for (path, bytes) in &memory.files {
        let path = target.path().join(path);
        assert_eq!((fs::metadata(&path).unwrap().nlink(), &fs::read(&path).unwrap()), (3, bytes));
    }
}

#[test]
fn pipes_sockets_and_devices_come_back() {
    let mut memory = Memory::new();
    memory.add(entry("fifo", EntryKind::Fifo)).mode = 0o666;
    memory.add(entry("socket", EntryKind::Socket)).mode = 0o777;
    if is_root() {
        memory.add(entry("null", EntryKind::CharDevice { major: 1, minor: 3 })).mode = 0o622;
        memory.add(entry("disk", EntryKind::BlockDevice { major: 259, minor: 300_000 }));
    }
    let target = tempfile::tempdir().unwrap();
    let summary = memory.restore_to(target.path());
    assert_eq!(summary.problem_count, 0, "{:?}", summary.problems);
    let stat = |path: &str| fs::symlink_metadata(target.path().join(path)).unwrap();
    assert!(stat("fifo").file_type().is_fifo() && stat("socket").file_type().is_socket());
    assert_eq!((stat("fifo").mode() & 0o7777, stat("socket").mode() & 0o7777), (0o666, 0o777));
    assert_eq!(stat("fifo").mtime_nsec(), 123_456_789);
    if is_root() {
        assert_eq!(
            (stat("null").rdev(), stat("null").mode() & 0o7777),
            (rustix::fs::makedev(1, 3), 0o622)
        );
        assert_eq!(stat("disk").rdev(), rustix::fs::makedev(259, 300_000));
    }
}

#[test]
fn a_tree_deeper_than_path_max_comes_back() {
    let mut memory = Memory::new();
    let component = "d".repeat(200);
    let deep = vec![component.as_str(); 39].join("/");
    memory.file(&format!("{deep}/file"), b"deep down");
    let shallow = vec!["d"; 2000].join("/");
    memory.file(&format!("s/{shallow}/file"), b"many levels");
    let target = scratch();
    for _ in 0..2 {
        let summary = memory.restore_to(target.path());
        let known = summary.files + summary.skipped;
        assert_eq!((known, summary.problem_count), (2, 0), "{:?}", summary.problems);
    }
    let mut folder =
        rustix::fs::open(target.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
            .unwrap();
    for _ in 0..39 {
        folder = rustix::fs::openat(
            &folder,
            &component[..],
            rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    let file =
        rustix::fs::openat(&folder, "file", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
            .unwrap();
    assert_eq!(std::io::read_to_string(fs::File::from(file)).unwrap(), "deep down");
}

#[test]
fn more_open_files_than_handles_are_parked_and_opened_again() {
    let mut memory = Memory::new();
    memory.frame_len_max = 100 << 10;
    let wanted: Vec<_> = (0..600).map(|number| noise(number, 129 << 10)).collect();
    // Interleaved in the frames: every file waits long for its second half.
    for half in 0..3 {
        for bytes in &wanted {
            memory.chunk(bytes.chunks(64 << 10).nth(half).unwrap());
        }
    }
    for (number, bytes) in wanted.iter().enumerate() {
        memory.file(&format!("f{number}"), bytes).mode = 0o400;
    }
    let target = scratch();
    assert_eq!(memory.restore_to(target.path()).problem_count, 0);
    for (number, bytes) in wanted.iter().enumerate() {
        assert!(fs::read(target.path().join(format!("f{number}"))).unwrap() == *bytes);
    }
}
