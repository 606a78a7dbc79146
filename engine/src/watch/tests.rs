//! What a long watch leaves behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::thin::make_room;
use super::*;
use crate::backup::DatabaseSource;
use crate::error::SourceError;
use crate::maintain::{Bounds, Policy, PruneOptions, forget, forget_named};
use crate::model::Entropy;
use crate::observe::{Event, Silent};
use crate::repo::Filter;
use crate::repo::testing::*;
use crate::verify::verify;

const HOUR_SECS: u64 = 3600;

fn thinning(batch: u64) -> Thinning {
    Thinning {
        policy: Policy {
            within: Some(Duration::from_secs(HOUR_SECS)),
            hourly: 24,
            daily: 7,
            monthly: 12,
            ..Policy::default()
        },
        batch,
        prune: PruneOptions {
            bounds: Bounds { garbage_percent_max: 5, rewrite_bytes_max: None },
            young: Duration::ZERO,
            ..PruneOptions::default()
        },
    }
}

/// Asks to stop once something was told.
struct Once(Heard);

impl Observer for Once {
    fn event(&self, event: Event<'_>) {
        self.0.event(event);
        self.0.interrupted.store(!self.0.lines.lock().unwrap().is_empty(), Ordering::SeqCst);
    }

    fn is_interrupted(&self) -> bool {
        self.0.is_interrupted()
    }
}

fn watching() -> WatchOptions {
    WatchOptions {
        poll: Duration::ZERO,
        interval: Duration::ZERO,
        check_interval: Duration::ZERO,
        count_max: None,
        thinning: None,
    }
}

fn missing() -> BackupOptions {
    let found = Err(SourceError::new("/a.db", "does not exist"));
    let asked = vec![PathBuf::from("/a.db")];
    let sqlite = SqliteOptions {
        program: "/does/not/exist".into(),
        lock_max: Duration::ZERO,
        recognise: false,
        check: Check::Quick,
        tables: true,
        clients: Arc::default(),
        zero_free_pages: false,
    };
    let sources = vec![SourceOptions::Sqlite(DatabaseSource { asked, found })];
    BackupOptions { sources, sqlite: Some(sqlite), ..tree_options(Path::new("/")) }
}

#[test]
fn databases_that_are_all_missing_are_not_taken_for_unchanged() {
    let repo = Fixture::new().open("watch");
    let observer = Once(Heard::default());
    let ended = watch(&repo, &watching(), &mut || Ok(missing()), &observer, &mut |_| {});
    assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
    let told = observer.0.lines.lock().unwrap().join("\n");
    assert!(told.contains("problem /a.db: does not exist"), "{told}");
}

/// What opening a repository and listing its snapshots asks of the store.
fn opening_requests(fixture: &Fixture, seed: &str) -> u64 {
    let store = Arc::new(NthStore {
        inner: fixture.memory.clone(),
        nth: u64::MAX,
        count: AtomicU64::new(0),
        hook: Mutex::new(None),
    });
    let repo = fixture.try_open(store.clone(), seed).unwrap();
    repo.heads(&repo.view().unwrap(), &Silent).unwrap();
    repo.load_index(&Silent).unwrap();
    store.count.load(Ordering::SeqCst)
}

/// Backs up a file that is another each time, every ten minutes.
fn steps(fixture: &Fixture, range: std::ops::Range<u64>) -> Repository {
    let open = |step: u64| {
        let at_ns = NOW_NS + i64::try_from(step * 600).unwrap() * 1_000_000_000;
        fixture.open_at(&format!("step {step}"), at_ns)
    };
    for step in range.clone() {
        fixture.file("app.db", &noise(step, 50_000));
        backup(&open(step), fixture.tree(), &Silent).unwrap();
    }
    open(range.end)
}

#[test]
fn few_are_thinned_once_the_last_prune_was_a_day_ago() {
    let (fixture, thinning) = (Fixture::new(), thinning(100));
    let thin = |repo: &Repository| thin(repo, &thinning, 100, &|_| true, &Silent).unwrap();
    assert_eq!(thin(&steps(&fixture, 0..20)), None);
    assert!(thin(&steps(&fixture, 150..151)).unwrap().snapshots_forgotten > 0);
    assert_eq!(thin(&steps(&fixture, 160..180)), None);
    assert!(thin(&steps(&fixture, 296..297)).unwrap().snapshots_forgotten > 0);
}

#[test]
fn room_is_made_of_what_was_forgotten_before_and_of_few() {
    let (fixture, thinning) = (Fixture::new(), thinning(100));
    let repo = steps(&fixture, 0..3);
    let room = |repo: &Repository| make_room(repo, &thinning, &|_| true, &Silent).unwrap();
    assert_eq!(room(&repo), Thinned::default());
    let filter = Filter::default();
    let first = forget_named(&repo, &["latest".to_owned()], &filter, &Silent).unwrap();
    forget(&repo, &first, &Silent).unwrap();
    let made = room(&repo);
    assert!(made.snapshots_forgotten == 0 && made.bytes_deleted >= 50_000, "{made:?}");
    let made = room(&steps(&fixture, 10..20));
    assert!(made.snapshots_forgotten > 0 && made.bytes_deleted >= 50_000, "{made:?}");
}

/// Snapshots every ten minutes for so many days, thinned as a watch does. A year takes minutes: `COFFER_TEST_WATCH_DAYS=365`.
#[test]
fn objects_and_the_cost_of_opening_stay_bounded_over_many_days() {
    let days: u64 = std::env::var("COFFER_TEST_WATCH_DAYS").map_or(3, |it| it.parse().unwrap());
    let (fixture, thinning) = (Fixture::new(), thinning(100));
    let random = Entropy::fixed(b"watch");
    let mut bytes = noise(1, 200_000);
    let (mut prunes, mut most) = (0, [0; 5]);
    for step in 0..days * 144 {
        let at = (u64::from_le_bytes(random.bytes()) % 199_000) as usize;
        bytes[at..at + 100].copy_from_slice(&random.bytes::<100>());
        fixture.file("app.db", &bytes);
        let at_ns = NOW_NS + i64::try_from(step * 600).unwrap() * 1_000_000_000;
        let repo = fixture.open_at(&format!("step {step}"), at_ns);
        backup(&repo, fixture.tree(), &Silent).unwrap();
        if step % 16 == 0 {
            let thinned = thin(&repo, &thinning, 100, &|_| true, &Silent).unwrap();
            prunes += u64::from(thinned.is_some());
        }
        let folders = ["snapshots/", "packs/", "index/", "forgets/"];
        let counts = folders.map(|folder| fixture.names(folder).len() as u64);
        let requests =
            if step % 144 == 143 { opening_requests(&fixture, &format!("{step}")) } else { 0 };
        for (most, count) in most.iter_mut().zip(counts.into_iter().chain([requests])) {
            *most = (*most).max(count);
        }
    }
    // Seven within the hour, 24 hours, 7 days, 12 months, and 116 that wait for the next thinning.
    let [snapshots, packs, segments, forgets, requests] = most;
    assert!(snapshots <= 170, "{most:?}");
    assert!(packs <= 450 && segments <= 200 && forgets <= 450, "{most:?}");
    assert!(requests <= 1000, "{most:?}");
    assert!(prunes >= days * 144 / 116 - 1, "{prunes} prunes");
    assert_eq!(fixture.names("gen/").len() as u64, prunes * 4);
    let repo = fixture.open("verify");
    assert!(verify(&repo, &Silent).unwrap().is_clean());
    let contents = fixture.read_all().unwrap();
    assert_eq!(contents.last(), Some(&fixture.wanted()));
    if days > 30 {
        eprintln!("{days} days: {most:?}, {prunes} prunes, {} objects", fixture.names("").len());
    }
}
