use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::memory::*;
use crate::error::Kind;
use crate::model::*;
use crate::observe::{Event, Observer};
use crate::restore::*;

/// Keeps findings and notes; interrupts after a number of questions.
#[derive(Default)]
struct Watch {
    findings: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
    asked: AtomicU64,
    interrupt_after: Option<u64>,
}

impl Observer for Watch {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Finding(text) => self.findings.lock().unwrap().push(text.to_owned()),
            Event::Note(text) => self.notes.lock().unwrap().push(text.to_owned()),
            _ => {}
        }
    }

    fn is_interrupted(&self) -> bool {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        self.interrupt_after.is_some_and(|after| asked >= after)
    }
}

fn to(target: &std::path::Path) -> RestoreOptions {
    RestoreOptions { target: target.to_owned(), ..RestoreOptions::default() }
}

#[test]
fn a_damaged_frame_costs_only_the_files_that_need_it() {
    let mut memory = Memory::new();
    memory.frame_len_max = 128 << 10;
    let files: Vec<_> = (0..40).map(|number| noise(number, 100 << 10)).collect();
    for (number, bytes) in files.iter().enumerate() {
        memory.file(&format!("d/f{number}"), bytes);
    }
    let hurt = memory.frame_of(&files[20][..64 << 10]);
    memory.damaged.insert(hurt);
    let target = scratch();
    let watch = Watch::default();
    let summary = memory.restore_watched(&to(target.path()), &watch).unwrap();
    assert!(summary.damaged_count >= 1 && summary.damaged_count == summary.problem_count);
    assert_eq!(summary.files + summary.damaged_count, 40);
    assert!(
        watch
            .findings
            .into_inner()
            .unwrap()
            .iter()
            .any(|text| text == &format!("d/f20: frame {hurt}: seal broken"))
    );
    assert!(summary.problems.iter().all(|problem| problem.is_damage));
    for (number, bytes) in files.iter().enumerate() {
        let path = format!("d/f{number}");
        let is_lost = summary.problems.iter().any(|problem| problem.path == path.as_bytes());
        match fs::read(target.path().join(&path)) {
            Ok(back) => assert!(back == *bytes && !is_lost),
            Err(_) => assert!(is_lost, "{path}"),
        }
    }
    assert_eq!(listing(target.path()).len() as u64, 1 + summary.files);
}

#[test]
fn bytes_that_are_not_the_chunk_they_stand_for_are_never_written() {
    let mut memory = Memory::new();
    memory.file("a", b"first");
    memory.file("b", b"second");
    memory.file("c", b"third");
    memory.misplace(b"third", b"first");
    memory.misplace(b"second", b"first");
    let first = memory.chunk(b"first").id;
    memory.copies.insert(first);
    let target = scratch();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.damaged_count), (1, 2));
    assert_eq!(fs::read(target.path().join("a")).unwrap(), b"first");
    assert_eq!(listing(target.path()), ["a"]);
}

#[test]
fn another_copy_of_a_chunk_heals() {
    let mut memory = Memory::new();
    let bytes = noise(1, 300 << 10);
    memory.file("f", &bytes);
    memory.damaged.insert(0);
    let ids: Vec<_> = bytes.chunks(64 << 10).map(|chunk| memory.chunk(chunk).id).collect();
    memory.copies.extend(ids);
    let target = scratch();
    assert_eq!(memory.restore_to(target.path()).problem_count, 0);
    assert!(fs::read(target.path().join("f")).unwrap() == bytes);
}

#[test]
fn an_entry_whose_sizes_disagree_is_damage() {
    let mut memory = Memory::new();
    memory.holed("short", b"12345", 6, Vec::new());
    memory.holed("long", b"12345", 4, Vec::new());
    memory.holed("outside", b"12345", 9, vec![Hole { offset: 5, len: 5 }]);
    let lost = NodeRef { id: ChunkId([9; 32]), class: Class::Ordinary, height: 0 };
    let content = Content::Chunks(vec![lost]);
    memory.add(entry("gone", EntryKind::File { size: 9, content, holes: Vec::new() }));
    let empty = memory.chunk(b"");
    let content = Content::Chunks(vec![empty; 3]);
    memory.add(entry("stuck", EntryKind::File { size: 1, content, holes: Vec::new() }));
    memory.file("sound", b"12345");
    memory.repeats.insert(empty.id, u64::MAX);
    let target = scratch();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.damaged_count), (1, 5));
    assert_eq!(listing(target.path()), ["sound"]);
}

#[test]
fn a_file_whose_damage_is_found_in_a_later_batch_never_gets_its_name() {
    let mut memory = Memory::new();
    let chunk = memory.chunk(&noise(1, 64 << 10));
    let lost = NodeRef { id: ChunkId([9; 32]), class: Class::Ordinary, height: 0 };
    // Several batches are written before the plan comes to the lost chunk.
    memory.repeats.insert(chunk.id, 400);
    for name in ["new", "old"] {
        let content = Content::Chunks(vec![chunk, lost]);
        let kind = EntryKind::File { size: 401 * (64 << 10), content, holes: Vec::new() };
        memory.add(entry(name, kind)).link_group = 7;
    }
    memory.file("sound", b"12345");
    let target = scratch();
    fs::write(target.path().join("old"), "what was there").unwrap();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.damaged_count), (1, 2));
    assert_eq!(listing(target.path()), ["old", "sound"]);
    assert_eq!(fs::read(target.path().join("old")).unwrap(), b"what was there");
}

#[test]
fn the_next_name_of_a_file_brings_the_content_when_the_first_could_not() {
    let mut memory = Memory::new();
    memory.directory("a");
    memory.file("a/x", b"same").link_group = 3;
    memory.file("b/x", b"same").link_group = 3;
    let target = scratch();
    fs::write(target.path().join("a"), "in the way").unwrap();
    let summary = memory.restore_to(target.path());
    assert_eq!((summary.files, summary.problem_count, summary.lost), (1, 1, 1));
    assert_eq!(fs::read(target.path().join("b/x")).unwrap(), b"same");
}

#[test]
fn an_interrupted_restore_leaves_no_temporary_and_nothing_partial() {
    let mut memory = Memory::new();
    for number in 0..3000 {
        memory.file(&format!("d{}/f{number}", number % 10), &noise(number, 5000));
    }
    let bytes = noise(1, 64 << 10);
    let chunk = memory.chunk(&bytes);
    memory.repeats.insert(chunk.id, 2000);
    let content = Content::Chunks(vec![chunk]);
    memory.add(entry(
        "z-big",
        EntryKind::File { size: 2000 * (64 << 10), content, holes: Vec::new() },
    ));
    for after in [0, 100, 1000, 3100, 5000] {
        let target = scratch();
        let watch = Watch { interrupt_after: Some(after), ..Watch::default() };
        let error = memory.restore_watched(&to(target.path()), &watch).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        for path in listing(target.path()) {
            assert!(!path.contains(".coffer-") && path != "z-big", "{path}");
            if let Some(number) = path.split("/f").nth(1) {
                let wanted = noise(number.parse().unwrap(), 5000);
                assert!(fs::read(target.path().join(&path)).unwrap() == wanted);
            }
        }
    }
}

/// A small file system of its own, if this process may mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(options: &str) -> Option<Self> {
        let dir = scratch();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "coffer-test"])
            .arg(dir.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_target_is_named_and_left_clean() {
    for options in ["size=2m", "size=64m,nr_inodes=50"] {
        let Some(small) = Small::mount(options) else { return };
        let mut memory = Memory::new();
        for number in 0..200 {
            memory.file(&format!("d{}/f{number}", number % 4), &noise(number, 20_000));
        }
        // The snapshot claims less than it has.
        memory.bytes_total = Some(0);
        let dir = small.0.path().join("deep/target");
        let error = memory.restore(&to(&dir)).unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace, "{error}");
        assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
        assert_eq!(listing(&dir), Vec::<String>::new());
    }
}

#[test]
fn what_cannot_fit_is_refused_before_anything_is_written() {
    let Some(small) = Small::mount("size=4m") else { return };
    let mut memory = Memory::new();
    memory.file("big", &noise(1, 5 << 20)).link_group = 1;
    memory.file("big-again", &noise(1, 5 << 20)).link_group = 1;
    let error = memory.restore(&to(small.0.path())).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("5242880 bytes are needed, 4"), "{error}");
    // Enough in all, too little free; what is there counts, and holes do not.
    fs::write(small.0.path().join("other"), noise(2, 3 << 20)).unwrap();
    let mut memory = Memory::new();
    memory.file("other", &noise(2, 3 << 20));
    memory.holed(
        "holes",
        &noise(1, 2 << 20),
        1 << 40,
        vec![Hole { offset: 2 << 20, len: (1 << 40) - (2 << 20) }],
    );
    let error = memory.restore(&to(small.0.path())).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains(" bytes are needed, 1"), "{error}");
    assert_eq!(listing(small.0.path()), ["other"]);
}

#[test]
fn a_path_that_is_not_in_the_snapshot_is_an_error() {
    let memory = Memory::new();
    let target = scratch();
    let options = RestoreOptions { folder: b"no/such".to_vec(), ..to(target.path()) };
    assert_eq!(memory.restore(&options).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(listing(target.path()), Vec::<String>::new());
    assert_eq!(memory.restore_to(target.path()), RestoreSummary::default());
}
