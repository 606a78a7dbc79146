use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::backup::{BackupOptions, SourceOptions, backup};
use crate::error::Kind;
use crate::model::*;
use crate::observe::{Event, Observer, Silent};
use crate::repo::testing::*;
use crate::source::stream::{Input, StreamSource};
use crate::store::{FaultStore, Operation, When};

/// Short enough to be read in one piece.
const FILE_LEN: usize = 3 << 19;
const FILES: u64 = 12;

/// Interrupts a run that has read so many bytes.
struct Stop {
    after: u64,
    now: AtomicBool,
}

impl Observer for Stop {
    fn event(&self, event: Event<'_>) {
        if let Event::Progress(progress) = event
            && progress.bytes_done >= self.after
        {
            self.now.store(true, Ordering::SeqCst);
        }
    }
    fn is_interrupted(&self) -> bool {
        self.now.load(Ordering::SeqCst)
    }
}

fn options(fixture: &Fixture, interval: Duration) -> BackupOptions {
    BackupOptions { checkpoint_interval: Some(interval), ..fixture.tree() }
}

/// A run that is interrupted after so many files; the entries and files of its checkpoint.
fn interrupt(fixture: &Fixture, seed: &str, files: usize) -> Snapshot {
    let stop = Stop { after: (files * FILE_LEN) as u64, now: AtomicBool::new(false) };
    let repo = fixture.open(seed);
    let before = repo.snapshots(false, &Silent).unwrap();
    let run = backup(&repo, options(fixture, Duration::from_secs(3600)), &stop);
    assert_eq!(run.unwrap_err().kind(), Kind::Interrupted);
    assert_eq!(repo.snapshots(false, &Silent).unwrap(), before, "a checkpoint is listed");
    let all = repo.snapshots(true, &Silent).unwrap();
    assert_eq!(all.len(), before.len() + 1);
    let of_run = |(object, _): &&(SnapshotRef, Snapshot)| before.iter().all(|(it, _)| it != object);
    all.iter().find(of_run).unwrap().1.clone()
}

fn fill(fixture: &Fixture, files: std::ops::Range<u64>) {
    for number in files {
        fixture.file(&format!("file-{number:02}"), &noise(number, FILE_LEN));
    }
}

#[test]
fn an_interrupted_run_is_gone_on_with() {
    let fixture = Fixture::new();
    fill(&fixture, 0..FILES);
    let checkpoint = interrupt(&fixture, "first", 5);
    assert_eq!(checkpoint.state, SnapshotState::Incomplete);
    let done = checkpoint.sources[0].bytes / FILE_LEN as u64;
    assert!((5..FILES).contains(&done), "{done} files");
    let repo = fixture.open("second");
    let summary = backup(&repo, options(&fixture, Duration::ZERO), &Silent).unwrap();
    assert_eq!((summary.totals.files_unmodified, summary.totals.files_new), (done, FILES - done));
    // What lies in the batches that were cut off is stored already or is not, but never twice.
    assert!(summary.totals.data_added <= (FILES - done) * FILE_LEN as u64);
    assert!(fixture.read_all().unwrap().contains(&fixture.wanted()));
    let (object, whole) = repo.snapshots(false, &Silent).unwrap().remove(0);
    assert_eq!(whole.state, SnapshotState::Complete);
    let own = repo.valid_objects(&repo.view().unwrap()).unwrap();
    let earlier = own.iter().filter(|it| it.sid == object.sid && **it != object).count();
    assert!(earlier > 0 && whole.seq as usize == earlier, "the run made no checkpoints");
}

#[test]
fn behind_a_checkpoint_the_last_whole_snapshot_counts() {
    let fixture = Fixture::new();
    fill(&fixture, 0..FILES);
    fixture.backup("whole");
    for number in 0..6 {
        fixture.file(&format!("file-{number:02}"), &noise(100 + number, FILE_LEN));
    }
    let checkpoint = interrupt(&fixture, "cut off", 3);
    let done = checkpoint.sources[0].bytes / FILE_LEN as u64;
    assert!((3..FILES).contains(&done), "{done} files");
    let repo = fixture.open("third");
    let summary = backup(&repo, options(&fixture, Duration::from_secs(3600)), &Silent).unwrap();
    let left = 6_u64.saturating_sub(done);
    assert_eq!(
        (summary.totals.files_changed, summary.totals.files_unmodified),
        (left, FILES - left)
    );
    assert!(fixture.read_all().unwrap().contains(&fixture.wanted()));
}

#[test]
fn a_file_in_progress_is_kept_by_its_chunks_and_is_no_entry() {
    let fixture = Fixture::new();
    fill(&fixture, 0..1);
    fixture.file("large", &noise(50, 40 << 20));
    let checkpoint = interrupt(&fixture, "first", 12);
    assert_eq!(checkpoint.sources[0].bytes, FILE_LEN as u64);
    assert!(!checkpoint.pending.is_empty());
    let summary = backup(&fixture.open("second"), fixture.tree(), &Silent).unwrap();
    assert_eq!((summary.totals.files_unmodified, summary.totals.files_new), (1, 1));
    assert!(summary.totals.data_added < 30 << 20, "{}", summary.totals.data_added);
    assert!(fixture.read_all().unwrap().contains(&fixture.wanted()));
}

/// Gives noise, and then asks for an end.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0 += 1;
        let bytes = noise(self.0, buffer.len());
        buffer.copy_from_slice(&bytes);
        Ok(buffer.len())
    }
}

#[test]
fn a_stream_that_was_cut_off_is_no_file() {
    let fixture = Fixture::new();
    let mut options = options(&fixture, Duration::ZERO);
    let input = Input::Reader(Box::new(Endless(0)));
    options.sources = vec![SourceOptions::Stream(StreamSource { name: "dump".into(), input })];
    let stop = Stop { after: 20 << 20, now: AtomicBool::new(false) };
    let repo = fixture.open("first");
    let run = backup(&repo, options, &stop);
    assert_eq!(run.unwrap_err().kind(), Kind::Interrupted);
    let all = repo.snapshots(true, &Silent).unwrap();
    let (_, checkpoint) = &all[0];
    assert!(checkpoint.sources.is_empty() && !checkpoint.pending.is_empty());
}

#[test]
fn a_dry_run_and_a_run_without_anything_new_leave_none() {
    let fixture = Fixture::new();
    fill(&fixture, 0..3);
    let dry = BackupOptions { dry_run: true, ..options(&fixture, Duration::ZERO) };
    backup(&fixture.open("dry"), dry, &Silent).unwrap();
    assert!(fixture.names("snapshots/").is_empty());
    fixture.backup("first");
    backup(&fixture.open("second"), options(&fixture, Duration::ZERO), &Silent).unwrap();
    assert_eq!(fixture.names("snapshots/").len(), 2);
}

#[test]
fn a_checkpoint_that_cannot_be_made_does_not_end_the_run() {
    let mut went_on = 0;
    for nth in 1..=12 {
        let fixture = Fixture::new();
        fill(&fixture, 0..FILES);
        let store = Arc::new(FaultStore::new(fixture.memory.clone()));
        let repo = fixture.try_open(store.clone(), "first").unwrap();
        store.fail(Some(Operation::Create), nth, When::Before);
        let before = store.calls(Operation::Create);
        let heard = Heard::default();
        let run = backup(&repo, options(&fixture, Duration::ZERO), &heard);
        if store.calls(Operation::Create) - before < nth {
            // How many checkpoints there are depends on how messages come together.
            run.unwrap();
            continue;
        }
        let lines = heard.lines.lock().unwrap();
        let is_told = lines.iter().any(|line| line.contains("no checkpoint was made"));
        assert_eq!(run.is_ok(), is_told, "{lines:?}");
        if is_told {
            went_on += 1;
            assert!(fixture.read_all().unwrap().contains(&fixture.wanted()));
        }
    }
    assert!(went_on > 0, "no put of a checkpoint failed");
}
