//! Prune alone, stopped, repeated, and beside backups.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::backup::backup;
use crate::maintain::{Policy, forget, forget_named, forget_plan, undo_forget};
use crate::model::{Entropy, SnapshotId};
use crate::observe::Silent;
use crate::repo::Filter;
use crate::repo::testing::*;
use crate::store::{FaultStore, Operation, Store, When};
use crate::verify::verify;

/// A repository with what its snapshots are to hold.
struct Kept {
    fixture: Fixture,
    wanted: Mutex<BTreeMap<SnapshotId, Files>>,
    seeds: AtomicU64,
}

impl Kept {
    fn new() -> Self {
        Self { fixture: Fixture::new(), wanted: Mutex::default(), seeds: AtomicU64::new(0) }
    }

    fn open(&self) -> Repository {
        let seed = self.seeds.fetch_add(1, Ordering::SeqCst);
        self.fixture.open(&format!("open {seed}"))
    }

    fn over(&self, store: Arc<dyn Store>) -> Repository {
        let seed = self.seeds.fetch_add(1, Ordering::SeqCst);
        self.fixture.try_open(store, &format!("over {seed}")).unwrap()
    }

    fn backup(&self) -> SnapshotId {
        let sid = backup(&self.open(), self.fixture.tree(), &Silent).unwrap().snapshot_id.unwrap();
        self.wanted.lock().unwrap().insert(sid, self.fixture.wanted());
        sid
    }

    fn forget(&self, sid: SnapshotId) {
        let repo = self.open();
        let listed = forget_named(&repo, &[sid.to_string()], &Filter::default(), &Silent).unwrap();
        forget(&repo, &listed, &Silent).unwrap();
        self.wanted.lock().unwrap().remove(&sid);
    }

    /// Every snapshot that is to be there is listed and reads as it was, no other is, and nothing is damaged.
    fn check(&self, what: &str) {
        let repo = self.open();
        let listed = repo.snapshots(false, &Silent).unwrap();
        let sids: Vec<SnapshotId> = listed.iter().map(|(object, _)| object.sid).collect();
        let wanted = self.wanted.lock().unwrap();
        let mut known: Vec<SnapshotId> = sids.clone();
        known.sort();
        assert_eq!(known, wanted.keys().copied().collect::<Vec<_>>(), "{what}");
        let read = self.fixture.read_all().unwrap_or_else(|error| panic!("{what}: {error}"));
        for (sid, files) in sids.iter().zip(&read) {
            assert_eq!(files, &wanted[sid], "{what}");
        }
        let report = verify(&repo, &Silent).unwrap();
        assert!(report.is_clean(), "{what}: {:?}", report.findings);
    }

    fn pack_bytes(&self) -> u64 {
        let mut bytes = 0;
        self.fixture
            .memory
            .list("packs/", &mut |_, len| {
                bytes += len;
                Ok(())
            })
            .unwrap();
        bytes
    }
}

fn all() -> PruneOptions {
    PruneOptions {
        bounds: Bounds { garbage_percent_max: 0, rewrite_bytes_max: None },
        young: Duration::ZERO,
        ..PruneOptions::default()
    }
}

/// Three snapshots of two files, of which one changes a little each time; the first is forgotten.
fn three() -> Kept {
    let kept = Kept::new();
    let mut bytes = noise(1, 700_000);
    let mut sids = Vec::new();
    for round in 0..3 {
        bytes[round * 1000..round * 1000 + 50].fill(round as u8);
        kept.fixture.file("changes", &bytes);
        kept.fixture.file("other", &noise(7 + round as u64, 100_000));
        sids.push(kept.backup());
    }
    kept.forget(sids[0]);
    kept
}

/// As [`three`], with so many small packs more that all of them are put together.
fn many() -> Kept {
    let kept = three();
    let mut bytes = noise(1, 700_000);
    for round in 0..20 {
        bytes[round * 900..round * 900 + 20].fill(9);
        kept.fixture.file("changes", &bytes);
        kept.backup();
    }
    kept
}

#[test]
fn what_only_forgotten_snapshots_need_is_deleted() {
    let kept = three();
    let before = kept.pack_bytes();
    let dry = PruneOptions { dry_run: true, ..all() };
    let plan = prune(&kept.open(), &dry, &Silent).unwrap().plan;
    assert_eq!(kept.pack_bytes(), before, "a dry run changes nothing");
    let report = prune(&kept.open(), &all(), &Silent).unwrap();
    assert_eq!(report.plan, plan);
    assert_eq!((report.snapshots, report.snapshots_dropped, report.generation), (2, 1, 1));
    assert!(report.packs_deleted > 0 && report.bytes_deleted > 100_000, "{report:?}");
    kept.check("after a prune");
    assert!(kept.pack_bytes() < before - 90_000, "{before} {}", kept.pack_bytes());
    assert_eq!(kept.fixture.names("snapshots/").len(), 2);
    let again = prune(&kept.open(), &all(), &Silent).unwrap();
    assert_eq!((again.generation, again.packs_deleted), (0, 0), "nothing is left to do");
    kept.backup();
    kept.check("after a backup behind a prune");
}

#[test]
fn a_dry_run_tells_what_a_prune_would_do_after_a_forget() {
    let kept = three();
    let sid = *kept.wanted.lock().unwrap().keys().next().unwrap();
    let options = PruneOptions { dry_run: true, as_if_forgotten: vec![sid], ..all() };
    let told = prune(&kept.open(), &options, &Silent).unwrap();
    kept.check("nothing has changed");
    kept.forget(sid);
    let done = prune(&kept.open(), &all(), &Silent).unwrap();
    assert_eq!(told.plan, done.plan);
    assert_eq!((told.snapshots, told.snapshots_dropped), (1, 2));
    kept.check("pruned");
}

#[test]
fn differences_stay_differences_when_their_packs_are_rewritten() {
    let kept = many();
    let last = kept.wanted.lock().unwrap().keys().copied().take(2).collect::<Vec<_>>();
    let before = kept.pack_bytes();
    let packs = kept.fixture.names("packs/").len();
    let report = prune(&kept.open(), &all(), &Silent).unwrap();
    assert!(report.plan.rewrite.len() > 20, "{report:?}");
    kept.check("after rewriting");
    assert!(kept.pack_bytes() <= before, "{before} {}", kept.pack_bytes());
    let now = kept.fixture.names("packs/").len();
    assert!(now < 6, "{packs} packs have become {now}");
    assert!(kept.fixture.names("index/").len() < 3);
    for sid in last {
        kept.forget(sid);
    }
    prune(&kept.open(), &all(), &Silent).unwrap();
    kept.check("after the second");
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
fn what_is_held_can_be_taken_back_and_then_is_there_as_before() {
    let kept = three();
    let first = kept.fixture.names("snapshots/");
    assert_eq!(first.len(), 3);
    let before = kept.fixture.names("packs/");
    let hold = PruneOptions { hold: Duration::from_secs(3600), ..all() };
    let report = prune(&kept.open(), &hold, &Silent).unwrap();
    assert!(report.held_until_ns.is_some() && report.packs_deleted == 0, "{report:?}");
    kept.check("while it is held");
    let again = prune(&kept.open(), &hold, &Silent).unwrap();
    assert_eq!(again.held_until_ns, report.held_until_ns);
    undo(&kept.open(), &Silent).unwrap();
    let listed = kept.open().snapshots(false, &Silent).unwrap();
    assert_eq!(listed.len(), 3, "the forgotten one is back");
    assert!(before.iter().all(|pack| kept.fixture.names("packs/").contains(pack)));
    assert!(verify(&kept.open(), &Silent).unwrap().is_clean());
    assert_eq!(kept.fixture.read_all().unwrap().len(), 3);
    let error = undo(&kept.open(), &Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    kept.backup();
    prune(&kept.open(), &all(), &Silent).unwrap();
    assert_eq!(kept.fixture.read_all().unwrap().len(), 4);
}

#[test]
fn a_forgotten_snapshot_comes_back_until_it_is_pruned() {
    let kept = Kept::new();
    kept.fixture.file("f", b"content");
    let sid = kept.backup();
    kept.fixture.file("f", b"another");
    kept.backup();
    let files = kept.wanted.lock().unwrap()[&sid].clone();
    kept.forget(sid);
    kept.check("forgotten");
    assert_eq!(undo_forget(&kept.open(), &[sid.to_string()]).unwrap(), [sid]);
    kept.wanted.lock().unwrap().insert(sid, files);
    kept.check("back again");
    prune(&kept.open(), &all(), &Silent).unwrap();
    kept.check("pruned while it is back");
    kept.forget(sid);
    prune(&kept.open(), &all(), &Silent).unwrap();
    let error = undo_forget(&kept.open(), &[sid.to_string()]).unwrap_err();
    assert!(matches!(error.kind(), Kind::Refused), "{error}");
    kept.check("too late");
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
fn closes_fold_over_full_ones_and_forgets_are_dropped_in_time() {
    let kept = Kept::new();
    for round in 0..85_u64 {
        kept.fixture.file("f", &noise(round, 5_000));
        let sid = kept.backup();
        prune(&kept.open(), &all(), &Silent).unwrap();
        if round % 5 != 0 {
            kept.forget(sid);
        }
    }
    kept.check("after many prunes");
    assert!(kept.fixture.names("gen/").contains(&"gen/64.close".to_owned()));
    assert!(kept.fixture.names("forgets/").len() < 6, "{:?}", kept.fixture.names("forgets/"));
    let objects = ["packs/", "index/", "snapshots/"].map(|folder| kept.fixture.names(folder).len());
    assert!(objects.iter().all(|count| *count < 60), "{objects:?}");
}

#[test]
fn random_histories_keep_what_they_should() {
    for seed in 0..6_u64 {
        let kept = Kept::new();
        let random = Entropy::fixed(&seed.to_le_bytes());
        let draw = |end: u64| u64::from_le_bytes(random.bytes()) % end;
        let mut bytes = noise(seed, 300_000);
        for step in 0..40 {
            match draw(8) {
                0..4 => {
                    let at = draw(290_000) as usize;
                    bytes[at..at + 100].fill(step as u8);
                    kept.fixture.file("changes", &bytes);
                    let name = format!("f{}", draw(4));
                    kept.fixture.file(&name, &noise(draw(6), 20_000 + draw(50_000) as usize));
                    kept.backup();
                }
                4..6 => {
                    let sids: Vec<_> = kept.wanted.lock().unwrap().keys().copied().collect();
                    if sids.len() > 1 {
                        kept.forget(sids[draw(sids.len() as u64) as usize]);
                    }
                }
                _ => {
                    let percent = [0, 5, 100][draw(3) as usize];
                    let bounds = Bounds { garbage_percent_max: percent, rewrite_bytes_max: None };
                    prune(&kept.open(), &PruneOptions { bounds, ..all() }, &Silent).unwrap();
                }
            }
            kept.check(&format!("seed {seed}, step {step}"));
        }
    }
}

#[test]
fn a_rule_forgets_for_each_job_by_itself() {
    let kept = Kept::new();
    kept.fixture.file("f", b"content");
    let mut sids = Vec::new();
    for round in 0..6 {
        kept.fixture.file("f", &noise(round, 100));
        let mut options = kept.fixture.tree();
        options.job = Some(if round % 2 == 0 { "even" } else { "odd" }.to_owned());
        sids.push(backup(&kept.open(), options, &Silent).unwrap().snapshot_id.unwrap());
    }
    let rule = Policy { last: 1, ..Policy::default() };
    let plan = forget_plan(&kept.open(), &rule, &Filter::default(), &Silent).unwrap();
    let mut forgotten: Vec<_> = plan.forgotten.iter().map(|it| it.sid).collect();
    forgotten.sort();
    let mut wanted = sids[..4].to_vec();
    wanted.sort();
    assert_eq!(forgotten, wanted);
    let error = forget_plan(&kept.open(), &Policy::default(), &Filter::default(), &Silent);
    assert_eq!(error.unwrap_err().kind(), Kind::Input);
    forget(&kept.open(), &plan.forgotten, &Silent).unwrap();
    assert_eq!(kept.open().snapshots(false, &Silent).unwrap().len(), 2);
}
