use std::sync::{Arc, Mutex};

use crate::backup::backup;
use crate::crypto::{Credential, KdfStrength};
use crate::error::Kind;
use crate::fence::Forgotten;
use crate::model::{Features, Purpose, Secret32, SnapshotRef};
use crate::observe::Silent;
use crate::repo::keys::NewCredential;
use crate::repo::testing::*;
use crate::repo::{Filter, Repository, parse_pack_name};
use crate::store::Store;

/// Backs up while `prune` runs between the put of the snapshot and the look for `gen/1`.
pub(super) fn backup_beside(fixture: &Fixture, prune: impl FnOnce(&Repository) + Send + 'static) {
    let other = fixture.open("prune");
    let hook: Box<dyn FnOnce() + Send> = Box::new(move || prune(&other));
    let store = HookStore {
        inner: fixture.memory.clone(),
        at: "gen/1".to_owned(),
        hook: Mutex::new(Some(hook)),
    };
    let repo = fixture.try_open(Arc::new(store), "backup").unwrap();
    assert!(backup(&repo, fixture.tree(), &Silent).unwrap().snapshot_id.is_some());
}

fn objects(repo: &Repository) -> Vec<SnapshotRef> {
    let names = repo.valid_objects(&repo.view().unwrap()).unwrap();
    names.into_iter().collect()
}

#[test]
fn a_close_that_lists_the_snapshot_acknowledges_it() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    backup_beside(&fixture, |repo| {
        let listed = objects(repo);
        put_generation(repo, &[], Features::default());
        put_close(repo, &listed, &[]);
    });
    assert_eq!(fixture.names("snapshots/").len(), 1);
    assert_eq!(fixture.read_all().unwrap(), [fixture.wanted()]);
}

#[test]
fn a_close_that_does_not_list_the_snapshot_has_it_put_again() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    backup_beside(&fixture, |repo| {
        let packs: Vec<_> = {
            let mut packs = Vec::new();
            let mut each = |name: &str, _| {
                packs.extend(parse_pack_name(name));
                Ok(())
            };
            repo.store().list("packs/", &mut each).unwrap();
            packs
        };
        put_generation(repo, &packs, Features::default());
        put_close(repo, &[], &packs);
        packs.iter().for_each(|pack| {
            repo.store().delete(&crate::repo::pack_name(*pack)).unwrap();
        });
    });
    assert_eq!(fixture.names("snapshots/0/").len(), 1);
    assert_eq!(fixture.names("snapshots/1/").len(), 1);
    assert_eq!(fixture.read_all().unwrap(), [fixture.wanted()]);
}

#[test]
fn condemned_packs_are_not_relied_on_and_parents_are_looked_up_meanwhile() {
    let fixture = Fixture::new();
    fixture.file("f", &noise(1, 300_000));
    fixture.backup("first");
    let condemned: Vec<_> =
        [fixture.packs(Purpose::Data), fixture.packs(Purpose::Metadata)].concat();
    put_generation(&fixture.open("prune"), &condemned, Features::default());
    let second = fixture.backup("second");
    assert_eq!(second.totals.files_changed, 1, "the parent's chunks are condemned");
    condemned.iter().for_each(|pack| {
        fixture.memory.delete(&crate::repo::pack_name(*pack)).unwrap();
    });
    let repo = fixture.open("check");
    let listed = objects(&repo);
    assert_eq!(listed.len(), 2);
    put_close(&repo, &listed[1..], &condemned);
    assert_eq!(fixture.read_all().unwrap(), [fixture.wanted()]);
    let report = crate::verify::check(&repo, &Silent).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn a_chain_that_does_not_hold_together_is_damage() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    fixture.backup("first");
    let repo = fixture.open("prune");
    let listed = objects(&repo);
    put_generation(&repo, &[], Features::default());
    put_close(&repo, &listed, &[]);
    assert!(repo.view().unwrap().valid(&[], &Forgotten::default()).len() == 1);
    // Another generation of the same number under the same close.
    let bytes = fixture.memory.get("gen/1", 1 << 20).unwrap();
    fixture.memory.delete("gen/1").unwrap();
    assert_eq!(repo.view().unwrap_err().kind(), Kind::Corrupt);
    fixture.memory.tamper("gen/1", bytes);
    fixture.memory.delete("gen/1.close").unwrap();
    assert!(repo.view().is_ok(), "the second copy of the close does");
    fixture.memory.delete("gen/1.close.copy").unwrap();
    put_generation(&repo, &[], Features::default());
    assert_eq!(repo.view().unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn another_generation_than_the_one_remembered_is_a_rollback() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    put_generation(&fixture.open("prune"), &[], Features::default());
    fixture.backup("first");
    fixture.memory.delete("gen/1").unwrap();
    let gone = fixture.try_open(fixture.memory.clone(), "x").err().unwrap();
    assert_eq!(gone.kind(), Kind::RolledBack);
    fixture.memory.tamper("gen/1", b"another".to_vec());
    let other = fixture.try_open(fixture.memory.clone(), "x").err().unwrap();
    assert_eq!(other.kind(), Kind::RolledBack);
}

#[test]
fn a_feature_needed_to_write_stops_writers_only() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    fixture.backup("first");
    let features = Features { write: 1, ..Features::default() };
    put_generation(&fixture.open("prune"), &[], features);
    let refused = backup(&fixture.open("x"), fixture.tree(), &Silent).unwrap_err();
    assert_eq!(refused.kind(), Kind::Unsupported);
    assert_eq!(fixture.read_all().unwrap(), [fixture.wanted()]);
}

#[test]
fn a_cut_or_foreign_config_is_opened_by_its_copy_with_the_same_memory() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    put_generation(&fixture.open("prune"), &[], Features::default());
    fixture.backup("first");
    let config = fixture.memory.get("config", 1 << 20).unwrap();
    let mut foreign = config.clone();
    foreign[20] ^= 1;
    for damaged in [config[..10].to_vec(), foreign] {
        fixture.memory.tamper("config", damaged);
        assert_eq!(fixture.read_all().unwrap(), [fixture.wanted()]);
        let generation = fixture.memory.get("gen/1", 1 << 20).unwrap();
        fixture.memory.delete("gen/1").unwrap();
        let error = fixture.try_open(fixture.memory.clone(), "x").err().unwrap();
        assert_eq!(error.kind(), Kind::RolledBack);
        fixture.memory.tamper("gen/1", generation);
    }
}

#[test]
fn nothing_is_written_under_keys_that_were_changed_meanwhile() {
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    let (old, mut other) = (fixture.open("old"), fixture.open("other"));
    let credential = Credential::KeyFile(Secret32::new([9; 32]));
    let strength = KdfStrength::default();
    let new = NewCredential { credential: &credential, strength, label: "new", secrets: true };
    let before = fixture.names("");
    backup(&old, fixture.tree(), &Silent).unwrap();
    assert_ne!(fixture.names(""), before);
    other.add_key(&new).unwrap();
    let before = fixture.names("");
    assert_eq!(backup(&old, fixture.tree(), &Silent).unwrap_err().kind(), Kind::NewRing);
    assert_eq!(fixture.names(""), before);
    let seen = fixture.backup("anew").snapshot_id;
    assert!(seen.is_some());
    // What the old one remembers does not take the newer ring out of the host's memory.
    let (object, _) = other.snapshots(false, &Silent).unwrap().pop().unwrap();
    old.remember(&object, old.view().unwrap().head()).unwrap();
    for name in fixture.names("rings/") {
        fixture.memory.delete(&name).unwrap();
    }
    let error = fixture.try_open(fixture.memory.clone(), "x").err().unwrap();
    assert_eq!(error.kind(), Kind::RolledBack);
}

#[test]
fn a_snapshot_of_a_clock_that_ran_ahead_is_neither_the_latest_nor_compared_with() {
    const YEAR_NS: i64 = 365 * 24 * 3600 * 1_000_000_000;
    let fixture = Fixture::new();
    fixture.file("f", b"content");
    let ahead = fixture.open_at("ahead", NOW_NS + YEAR_NS);
    let ahead = backup(&ahead, fixture.tree(), &Silent).unwrap().snapshot_id.unwrap();
    let latest = || {
        let repo = fixture.open("latest");
        repo.select("latest", &Filter::default(), &Silent).unwrap().0.sid
    };
    assert_eq!(latest(), ahead, "the only one");
    fixture.file("f", b"changed");
    fixture.backup("second");
    assert_ne!(latest(), ahead);
    let third = fixture.backup("third");
    assert_eq!((third.totals.files_unmodified, third.totals.files_changed), (1, 0));
}
