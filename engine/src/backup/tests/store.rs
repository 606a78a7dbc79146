use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::backup::{SourceOptions, backup};
use crate::error::Kind;
use crate::model::Purpose;
use crate::observe::Silent;
use crate::repo::pack_name;
use crate::repo::testing::*;
use crate::source::stream::{Input, StreamSource};
use crate::store::{FaultStore, Operation, Store, When};

#[test]
fn the_same_input_and_randomness_give_the_same_objects() {
    let mut names = Vec::new();
    for _ in 0..2 {
        let fixture = Fixture::new();
        // A stream, since a tree tells of the folders above it, which others change. Enough for
        // several frames at once, and for two packs.
        let reader = Box::new(std::io::Cursor::new(noise(1, 40 << 20)));
        let mut options = fixture.tree();
        let stream = StreamSource { name: "dump".to_owned(), input: Input::Reader(reader) };
        options.sources = vec![SourceOptions::Stream(stream)];
        backup(&fixture.open("run"), options, &Silent).unwrap();
        assert!(fixture.packs(Purpose::Data).len() >= 2);
        names.push(fixture.names(""));
    }
    assert_eq!(names[0], names[1]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let fixture = Fixture::new();
    fixture.file("f", &noise(1, 100_000));
    fixture.memory.delete("config.copy").unwrap();
    let before = fixture.names("");
    let store = Arc::new(FaultStore::new(fixture.memory.clone()));
    let repo = fixture.try_open(store.clone(), "dry").unwrap();
    let mut options = fixture.tree();
    options.dry_run = true;
    let summary = backup(&repo, options, &Silent).unwrap();
    assert_eq!((summary.snapshot_id, summary.totals.data_added), (None, 100_000));
    assert_eq!(store.calls(Operation::Create) + store.calls(Operation::Stage), 0);
    assert_eq!(fixture.names(""), before);
    // A run that writes completes the copies first.
    fixture.backup("wet");
    assert!(fixture.memory.len("config.copy").unwrap().is_some());
}

#[test]
fn missing_and_bad_packs_and_lost_segments_are_healed_by_the_next_backup() {
    for purpose in [Purpose::Data, Purpose::Metadata] {
        for harm in ["missing", "bad", "segment", "segment damaged", "segment and pack"] {
            let fixture = Fixture::new();
            fixture.file("f", &noise(1, 300_000));
            fixture.backup("first");
            let pack = fixture.packs(purpose)[0];
            let segment = fixture.names("index/").remove(0);
            match harm {
                "missing" => fixture.memory.delete(&pack_name(pack)).unwrap(),
                "bad" => {
                    let mut bytes = fixture.memory.get(&pack_name(pack), 1 << 30).unwrap();
                    bytes[1000] ^= 1;
                    fixture.memory.tamper(&pack_name(pack), bytes);
                    let report = crate::verify::verify(&fixture.open("v"), &Silent).unwrap();
                    assert!(!report.is_clean());
                    assert_eq!(fixture.names("records/bad-pack/").len(), 1);
                }
                "segment" => fixture.memory.delete(&segment).unwrap(),
                "segment and pack" => {
                    fixture.memory.delete(&segment).unwrap();
                    fixture.memory.delete(&pack_name(pack)).unwrap();
                }
                _ => fixture.memory.tamper(&segment, b"damaged".to_vec()),
            }
            fixture.backup("second");
            let repo = fixture.open("read");
            let newest = repo.select("latest", &crate::repo::Filter::default(), &Silent).unwrap();
            let reader = repo.reader(&Silent).unwrap();
            let mut bytes = Vec::new();
            reader
                .entries(&[&newest.1.sources[0]], &[], &mut |_, entry| {
                    if entry.path.name() == b"f" {
                        reader.write_file(&entry, &mut bytes)?;
                    }
                    Ok(true)
                })
                .unwrap_or_else(|error| panic!("{purpose:?} {harm}: {error}"));
            assert!(bytes == noise(1, 300_000), "{purpose:?} {harm}");
        }
    }
}

#[test]
fn a_damaged_bad_pack_record_stops_no_backup() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    fixture.backup("first");
    fixture.memory.tamper(&format!("records/bad-pack/{}", "ab".repeat(32)), vec![0; 5000]);
    let heard = Heard::default();
    backup(&fixture.open("second"), fixture.tree(), &heard).unwrap();
    let lines = heard.lines.into_inner().unwrap();
    assert!(lines.iter().any(|line| line.contains("records/bad-pack/abab")), "{lines:?}");
}

#[test]
fn any_failing_store_operation_leaves_every_listed_snapshot_restorable() {
    for when in [When::Before, When::After] {
        let mut nth = 0;
        loop {
            nth += 1;
            let fixture = Fixture::new();
            fixture.file("a", &noise(1, 30_000));
            fixture.backup("first");
            fixture.file("b", &noise(2, 30_000));
            let store = Arc::new(FaultStore::new(fixture.memory.clone()));
            let repo = fixture.try_open(store.clone(), "second").unwrap();
            let opened = store.calls_total();
            store.fail(None, nth, when);
            let outcome = backup(&repo, fixture.tree(), &Silent);
            let clean = store.calls_total() < opened + nth;
            if let Err(error) = &outcome {
                assert_eq!(error.kind(), Kind::Unavailable, "{nth} {when:?}: {error}");
            }
            let report = crate::verify::check(&fixture.open("c"), &Silent).unwrap();
            assert!(report.is_clean(), "{nth} {when:?}: {:?}", report.findings);
            let listed = fixture.read_all().unwrap().len();
            assert!(outcome.is_err() || listed == 2, "{nth} {when:?}");
            fixture.backup("third");
            assert_eq!(fixture.read_all().unwrap().last(), Some(&fixture.wanted()));
            if clean {
                break;
            }
        }
        assert!(nth > 10, "{nth}");
    }
}

#[test]
fn a_full_store_fails_the_run_and_lists_nothing() {
    let fixture = Fixture::new();
    fixture.file("f", &noise(1, 300_000));
    let store = Arc::new(FaultStore::new(fixture.memory.clone()));
    let repo = fixture.try_open(store.clone(), "full").unwrap();
    store.fill_after(100_000);
    let error = backup(&repo, fixture.tree(), &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(fixture.names("snapshots/").is_empty());
}

/// The error of a backup of a command's output into a store with room for 1 MiB.
fn into_a_full_store(line: &str) -> crate::error::Error {
    let fixture = Fixture::new();
    let store = Arc::new(FaultStore::new(fixture.memory.clone()));
    let repo = fixture.try_open(store.clone(), "full").unwrap();
    let mut options = fixture.tree();
    let input = Input::Command(line.to_owned());
    options.sources = vec![SourceOptions::Stream(StreamSource { name: "out".into(), input })];
    store.fill_after(1 << 20);
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(backup(&repo, options, &Silent).unwrap_err()));
    waiting.recv_timeout(Duration::from_secs(60)).expect("the run ends")
}

#[test]
fn a_store_that_fails_ends_the_command_that_is_read() {
    // One that never stops printing, and one that says no more and outlives every warning.
    for line in ["cat /dev/urandom", "trap '' TERM; head -c 40000000 /dev/urandom; sleep 1000"] {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let error = into_a_full_store(&format!("echo $$ > {}; {line}", pid.display()));
        assert_eq!(error.kind(), Kind::NoSpace, "{line}: {error}");
        let pid = std::fs::read_to_string(pid).unwrap();
        assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "{line} goes on");
    }
}
