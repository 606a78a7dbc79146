//! Prune stopped, beside backups and other prunes, and over damage.

use super::*;

#[test]
fn a_prune_that_stops_at_any_request_loses_nothing_and_the_next_ends_it() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let kept = three();
            let store = Arc::new(FaultStore::new(kept.fixture.memory.clone()));
            let repo = kept.over(store.clone());
            store.fail(None, nth, when);
            let ended = prune(&repo, &all(), &Silent);
            kept.check(&format!("stopped {when:?} request {nth}"));
            prune(&kept.open(), &all(), &Silent).unwrap();
            kept.check(&format!("after going on, stopped {when:?} request {nth}"));
            assert_eq!(kept.fixture.names("snapshots/").len(), 2);
            assert!(verify(&kept.open(), &Silent).unwrap().is_clean());
            if ended.is_ok() {
                break;
            }
            assert!(nth < 500);
        }
    }
}

/// Runs `inner` before every request in turn of `outer`, until that makes no more.
fn beside(outer: impl Fn(&Repository), inner: impl Fn(&Arc<Kept>) + Copy + Send + 'static) {
    for nth in 1.. {
        let kept = Arc::new(three());
        let hooked = Arc::clone(&kept);
        let store = Arc::new(NthStore {
            inner: kept.fixture.memory.clone(),
            nth: u64::MAX,
            count: AtomicU64::new(0),
            hook: Mutex::new(None),
        });
        // Opening is not counted.
        let repo = kept.over(store.clone());
        let start = store.count.load(Ordering::SeqCst);
        drop((repo, store));
        let store = Arc::new(NthStore {
            inner: kept.fixture.memory.clone(),
            nth: start + nth,
            count: AtomicU64::new(0),
            hook: Mutex::new(Some(Box::new(move || inner(&hooked)))),
        });
        let repo = kept.over(store.clone());
        outer(&repo);
        let is_over = store.hook.lock().unwrap().take().is_some();
        drop(repo);
        if is_over {
            assert!(nth > 10, "only {nth} requests");
            return;
        }
        for (object, snapshot) in kept.open().snapshots(false, &Silent).unwrap() {
            let mut wanted = kept.wanted.lock().unwrap();
            if !wanted.contains_key(&snapshot.sid) {
                // The outer one's, which shows the files as they are.
                wanted.insert(object.sid, kept.fixture.wanted());
            }
        }
        kept.check(&format!("beside request {nth}"));
        prune(&kept.open(), &all(), &Silent).unwrap();
        kept.check(&format!("pruned again after request {nth}"));
        assert!(nth < 1000);
    }
}

#[test]
fn a_whole_backup_before_any_request_of_a_prune_is_kept() {
    let forgotten_content = |kept: &Arc<Kept>| {
        // What only the forgotten snapshot has: the prune is about to condemn it.
        kept.fixture.file("other", &noise(7, 100_000));
        kept.backup();
    };
    beside(
        |repo| {
            let ended = prune(repo, &all(), &Silent);
            assert!(ended.is_ok(), "{ended:?}");
        },
        forgotten_content,
    );
}

#[test]
fn a_whole_prune_before_any_request_of_a_backup_loses_nothing() {
    for nth in 1.. {
        let kept = Arc::new(three());
        kept.fixture.file("other", &noise(7, 100_000));
        let hooked = Arc::clone(&kept);
        let store = Arc::new(NthStore {
            inner: kept.fixture.memory.clone(),
            nth,
            count: AtomicU64::new(0),
            hook: Mutex::new(Some(Box::new(move || {
                prune(&hooked.open(), &all(), &Silent).unwrap();
            }))),
        });
        let repo = kept.over(store.clone());
        let sid = backup(&repo, kept.fixture.tree(), &Silent).unwrap().snapshot_id.unwrap();
        kept.wanted.lock().unwrap().insert(sid, kept.fixture.wanted());
        kept.check(&format!("a prune before request {nth} of a backup"));
        prune(&kept.open(), &all(), &Silent).unwrap();
        kept.check(&format!("pruned again, request {nth}"));
        if store.hook.lock().unwrap().is_some() {
            assert!(nth > 20, "only {nth} requests");
            break;
        }
    }
}

#[test]
fn a_prune_before_any_request_of_a_prune_loses_nothing() {
    beside(
        |repo| {
            let ended = prune(repo, &all(), &Silent);
            assert!(ended.is_ok(), "{ended:?}");
        },
        |kept| {
            prune(&kept.open(), &all(), &Silent).unwrap();
        },
    );
}

#[test]
fn a_mark_does_not_count_for_the_generation_of_another_prune() {
    beside(
        |repo| {
            let ended = prune(repo, &all(), &Silent);
            assert!(ended.is_ok(), "{ended:?}");
        },
        |kept| {
            // All that the outer prune has marked goes; a backup brings some of it back; another prune has begun.
            let sids: Vec<_> = kept.wanted.lock().unwrap().keys().copied().collect();
            let keeps = std::fs::read(kept.fixture.source.path().join("changes")).unwrap();
            kept.fixture.file("changes", &noise(77, 100_000));
            kept.backup();
            for sid in sids {
                kept.forget(sid);
            }
            prune(&kept.open(), &all(), &Silent).unwrap();
            kept.fixture.file("changes", &keeps);
            let inner: Arc<dyn Store> = kept.fixture.memory.clone();
            let refuses = |name: &str| name.ends_with(".close");
            let stopped = kept.over(Arc::new(RefusingStore { inner, refuses }));
            let sid = kept.backup();
            kept.forget(sid);
            prune(&stopped, &all(), &Silent).unwrap_err();
            kept.backup();
        },
    );
}

#[test]
fn a_full_store_is_made_room_in_by_deleting_whole_packs() {
    let kept = three();
    // A pack of which everything is forgotten, and others that would be rewritten.
    kept.fixture.file("alone", &noise(99, 400_000));
    let alone = kept.backup();
    std::fs::remove_file(kept.fixture.source.path().join("alone")).unwrap();
    kept.backup();
    kept.forget(alone);
    let plan = prune(&kept.open(), &PruneOptions { dry_run: true, ..all() }, &Silent).unwrap().plan;
    assert!(!plan.garbage.is_empty() && !plan.rewrite.is_empty(), "{plan:?}");
    let store = Arc::new(FaultStore::new(kept.fixture.memory.clone()));
    let repo = kept.over(store.clone());
    let before = kept.pack_bytes();
    store.fill_after(40_000);
    let report = prune(&repo, &all(), &Silent).unwrap();
    assert!(report.packs_deleted > 0 && report.rewritten_bytes == 0, "{report:?}");
    assert!(kept.pack_bytes() < before);
    kept.check("pruned without room");
}

#[test]
fn packs_that_no_segment_names_and_bad_ones_go_and_what_needs_a_bad_one_stops_a_prune() {
    let kept = three();
    let pack = kept.fixture.packs(crate::model::Purpose::Data)[0];
    let orphan = format!("packs/ab/{}", "ab".repeat(32));
    kept.fixture.memory.tamper(&orphan, vec![0; 5000]);
    prune(&kept.open(), &all(), &Silent).unwrap();
    assert!(!kept.fixture.names("packs/").contains(&orphan));
    kept.check("without the orphan");
    let pack = Some(pack).filter(|it| kept.fixture.packs(crate::model::Purpose::Data).contains(it));
    let pack = pack.unwrap_or_else(|| kept.fixture.packs(crate::model::Purpose::Data)[0]);
    kept.open().record_bad_pack(pack, "for the test").unwrap();
    let names = kept.fixture.names("packs/");
    let error = prune(&kept.open(), &all(), &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert_eq!(kept.fixture.names("packs/"), names);
    // A backup stores again what the source still has; with the others gone, so goes the bad pack.
    let sids: Vec<_> = kept.wanted.lock().unwrap().keys().copied().collect();
    kept.backup();
    sids.into_iter().for_each(|sid| kept.forget(sid));
    prune(&kept.open(), &all(), &Silent).unwrap();
    assert!(!kept.fixture.packs(crate::model::Purpose::Data).contains(&pack));
    kept.check("without the bad pack");
}

#[test]
fn either_copy_of_a_close_may_be_damaged() {
    for damaged in ["gen/1.close", "gen/1.close.copy"] {
        let kept = three();
        prune(&kept.open(), &all(), &Silent).unwrap();
        kept.fixture.memory.tamper(damaged, vec![0; 4096]);
        kept.fixture.file("other", &noise(20, 100_000));
        kept.backup();
        let sid = *kept.wanted.lock().unwrap().keys().next().unwrap();
        kept.forget(sid);
        prune(&kept.open(), &all(), &Silent).unwrap();
        assert_eq!(kept.fixture.read_all().unwrap().len(), kept.wanted.lock().unwrap().len());
    }
}

#[test]
fn a_damaged_snapshot_stops_a_prune_until_it_is_forgotten() {
    let kept = three();
    let repo = kept.open();
    let (object, snapshot) = repo.snapshots(false, &Silent).unwrap().remove(0);
    kept.fixture.memory.tamper(&crate::repo::snapshot_name(&object), vec![0; 4096]);
    let packs = kept.fixture.names("packs/");
    let error = prune(&kept.open(), &all(), &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains(&format!("coffer forget {}", snapshot.sid)), "{error}");
    assert_eq!(kept.fixture.names("packs/"), packs);
    kept.forget(snapshot.sid);
    prune(&kept.open(), &all(), &Silent).unwrap();
    kept.check("the others are whole");
}

#[test]
fn nothing_is_deleted_while_something_needed_is_lost() {
    let kept = three();
    let packs = kept.fixture.packs(crate::model::Purpose::Data);
    // The first pack holds what all snapshots need.
    kept.fixture.memory.delete(&crate::repo::pack_name(packs[0])).unwrap();
    let error = prune(&kept.open(), &all(), &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert_eq!(kept.fixture.names("packs/").len(), packs.len() * 2 - 1);
    assert!(kept.fixture.names("gen/").is_empty());
}

#[test]
fn a_lost_pack_that_nothing_needs_any_more_leaves_the_index() {
    let kept = three();
    let before = kept.fixture.names("packs/");
    kept.fixture.file("lone", &noise(99, 50_000));
    kept.backup();
    let data = kept.fixture.packs(crate::model::Purpose::Data);
    let names = data.into_iter().map(crate::repo::pack_name);
    let new = names.filter(|name| !before.contains(name)).collect::<Vec<_>>();
    assert!(!new.is_empty());
    new.iter().for_each(|name| kept.fixture.memory.delete(name).unwrap());
    assert_eq!(prune(&kept.open(), &all(), &Silent).unwrap_err().kind(), Kind::Corrupt);
    kept.backup();
    assert!(!verify(&kept.open(), &Silent).unwrap().is_clean(), "it is told of");
    prune(&kept.open(), &all(), &Silent).unwrap();
    kept.check("healed, and pruned");
    let again = prune(&kept.open(), &all(), &Silent).unwrap();
    assert_eq!(again.generation, 0, "it is given up once");
}

#[test]
fn what_a_stopped_prune_has_rewritten_stands_in_no_ones_way() {
    let kept = many();
    for nth in 1.. {
        let store = Arc::new(FaultStore::new(kept.fixture.memory.clone()));
        let repo = kept.over(store.clone());
        store.fail(Some(Operation::Create), nth, When::Before);
        match prune(&repo, &all(), &Silent) {
            Ok(_) => break,
            Err(error) => assert!(!error.kind().is_damage(), "stopped at {nth}: {error}"),
        }
        assert!(nth < 50);
    }
    kept.check("ended");
}

#[test]
fn a_prune_before_any_request_of_a_verification_is_no_damage() {
    beside(
        |repo| {
            let report = verify(repo, &Silent).unwrap();
            assert!(report.is_clean(), "{:?}", report.findings);
        },
        |kept| {
            prune(&kept.open(), &all(), &Silent).unwrap();
        },
    );
}

#[test]
fn taking_back_that_stops_at_any_request_is_ended_by_the_next() {
    let hold = PruneOptions { hold: Some(Duration::from_secs(3600)), ..all() };
    for nth in 1.. {
        let kept = three();
        prune(&kept.open(), &hold, &Silent).unwrap();
        let store = Arc::new(FaultStore::new(kept.fixture.memory.clone()));
        let repo = kept.over(store.clone());
        store.fail(None, nth, When::After);
        let before = store.calls_total();
        let ended = undo(&repo, &Silent);
        let calls = store.calls_total() - before;
        if ended.is_err() && undo(&kept.open(), &Silent).is_err() {
            // What is open is closed first, as the refusal says.
            prune(&kept.open(), &hold, &Silent).unwrap();
        }
        assert_eq!(kept.open().snapshots(false, &Silent).unwrap().len(), 3, "request {nth}");
        assert_eq!(kept.fixture.read_all().unwrap().len(), 3, "request {nth}");
        let report = verify(&kept.open(), &Silent).unwrap();
        assert!(report.is_clean(), "request {nth}: {ended:?} {:?}", report.findings);
        if calls < nth {
            assert!(nth > 10, "only {nth} requests");
            return;
        }
    }
}

#[test]
fn a_whole_prune_before_any_request_of_a_reader_hides_nothing() {
    for nth in 1.. {
        let kept = Arc::new(three());
        let (object, snapshot) = kept.open().snapshots(false, &Silent).unwrap().remove(0);
        let hooked = Arc::clone(&kept);
        let store = Arc::new(NthStore {
            inner: kept.fixture.memory.clone(),
            nth,
            count: AtomicU64::new(0),
            hook: Mutex::new(Some(Box::new(move || {
                let report = prune(&hooked.open(), &all(), &Silent).unwrap();
                assert!(report.packs_deleted > 0, "{report:?}");
            }))),
        });
        let repo = kept.over(store.clone());
        let reader = repo.reader(&Silent).unwrap();
        let read = read_files(&reader, &snapshot).unwrap();
        assert_eq!(read, kept.wanted.lock().unwrap()[&object.sid], "request {nth}");
        if store.hook.lock().unwrap().is_some() {
            assert!(nth > 10, "only {nth} requests");
            break;
        }
    }
}

#[test]
fn a_reader_follows_one_prune_after_the_other_and_names_what_is_lost() {
    let kept = many();
    let listed = kept.open().snapshots(false, &Silent).unwrap();
    let (last, snapshot) = listed.last().unwrap();
    let wanted = kept.wanted.lock().unwrap()[&last.sid].clone();
    let store = Arc::new(FaultStore::new(kept.fixture.memory.clone()));
    let repo = kept.over(store.clone());
    let reader = repo.reader(&Silent).unwrap();
    for (object, _) in listed.iter().rev().skip(1).step_by(2) {
        kept.forget(object.sid);
        prune(&kept.open(), &all(), &Silent).unwrap();
        assert_eq!(read_files(&reader, snapshot).unwrap(), wanted);
    }
    // One that has no frame open yet.
    let reader = repo.reader(&Silent).unwrap();
    for pack in kept.fixture.names("packs/") {
        kept.fixture.memory.delete(&pack).unwrap();
    }
    let fail = || read_files(&reader, snapshot).unwrap_err();
    assert_eq!(fail().kind(), Kind::NotFound);
    let (lists, gets) = (store.calls(Operation::List), store.calls(Operation::Get));
    assert!(fail().to_string().contains("pack "), "{}", fail());
    assert_eq!(store.calls(Operation::List), lists, "what is lost is not sought again");
    assert_eq!(store.calls(Operation::Get), gets);
}
