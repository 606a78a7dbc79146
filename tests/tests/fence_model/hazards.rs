//! What may go wrong around the fence: replies that do not come, listings and deletes in parts, prunes that
//! are undone, bad packs, sources that change. And the rules, each with a case that must miss it.

use super::cases::{A, B, B_ON_A, CASES, Case, D, G, PLAIN};
use super::request::Delay;
use super::rules::Slip;

/// A snapshot that stays, garbage, and a backup that stores something new.
const STEADY: Case = Case {
    needs: &["a", "c"],
    packs: &[A, G],
    backups: &[&[1]],
    prunes: &[2],
    may_be_forgotten: 0,
    ..PLAIN
};

/// What a store may do to requests.
pub const STORE_CASES: &[Case] = &[
    Case { name: "steady", state_count: Some(2_378), ..STEADY },
    Case { name: "two steady", state_count: Some(297_103), prunes: &[1, 1], ..STEADY },
    Case {
        name: "parts",
        state_count: Some(4_918),
        piecewise: true,
        may_be_forgotten: 2,
        ..STEADY
    },
    Case {
        name: "two in parts",
        state_count: Some(1_045_192),
        piecewise: true,
        prunes: &[1, 1],
        ..STEADY
    },
    Case { name: "listing", state_count: Some(4_776), paged: true, ..STEADY },
    Case {
        name: "listing beside a merge",
        state_count: Some(1_859),
        paged: true,
        piecewise: true,
        needs: &["a"],
        backups: &[],
        prunes: &[1, 1],
        ..STEADY
    },
    Case {
        name: "two listing",
        state_count: Some(1_952_171),
        paged: true,
        prunes: &[1, 1],
        ..STEADY
    },
    Case {
        name: "lost replies",
        state_count: Some(4_528),
        lost_replies: true,
        may_be_forgotten: 2,
        ..STEADY
    },
    Case {
        name: "two with lost replies",
        state_count: Some(487_840),
        lost_replies: true,
        prunes: &[1, 1],
        ..STEADY
    },
    Case { name: "late packs", state_count: Some(17_436), delays: &[Delay::Packs], ..STEADY },
    Case {
        name: "two and late packs",
        state_count: Some(2_053_028),
        delays: &[Delay::Packs],
        prunes: &[1, 1],
        ..STEADY
    },
    // All at the start is garbage; a second generation, and a prune that deletes what the first gave up.
    Case {
        name: "late packs beside a slow delete",
        state_count: Some(5_973_981),
        needs: &["", "c"],
        packs: &[D, G],
        stored: 0,
        delays: &[Delay::Packs],
        prunes: &[2, 1],
        ..STEADY
    },
    Case { name: "late segment", state_count: Some(15_999), delays: &[Delay::Segment], ..STEADY },
    Case {
        name: "two and a late segment",
        state_count: Some(2_270_290),
        delays: &[Delay::Segment],
        prunes: &[1, 1],
        ..STEADY
    },
    Case {
        name: "late snapshot",
        state_count: Some(12_380),
        delays: &[Delay::Snapshot],
        may_be_forgotten: 2,
        ..STEADY
    },
    Case {
        name: "two and a late snapshot",
        state_count: Some(1_242_935),
        delays: &[Delay::Snapshot],
        prunes: &[1, 1],
        ..STEADY
    },
    Case {
        name: "late generation",
        state_count: Some(17_456),
        delays: &[Delay::Generation, Delay::Close],
        skips_counted: true,
        ..STEADY
    },
    Case {
        name: "two and a late generation",
        state_count: Some(2_278_338),
        delays: &[Delay::Generation, Delay::Close],
        skips_counted: true,
        prunes: &[1, 1],
        ..STEADY
    },
];

const FATED: Case = Case {
    needs: &["a", "a"],
    packs: &[A, G],
    fates: true,
    undoes: Some(0),
    generation_count_max: 3,
    ..PLAIN
};

/// Prunes that hold back, and an operator who wants a forgotten snapshot again.
pub const FATE_CASES: &[Case] = &[
    Case { name: "undo", state_count: Some(200_024), backups: &[], prunes: &[2, 1], ..FATED },
    Case {
        name: "undo in parts",
        state_count: Some(541),
        backups: &[],
        prunes: &[2],
        piecewise: true,
        ..FATED
    },
    Case {
        name: "undo beside a backup",
        state_count: Some(34_936),
        backups: &[&[1]],
        prunes: &[2],
        ..FATED
    },
    Case {
        name: "undo beside all",
        state_count: Some(1_790_502),
        backups: &[&[1]],
        prunes: &[1, 1],
        packs: &[A],
        generation_count_max: 2,
        ..FATED
    },
    Case {
        name: "late fate",
        state_count: Some(1_371),
        backups: &[],
        prunes: &[2],
        delays: &[Delay::Fate],
        ..FATED
    },
];

const DAMAGED: Case = Case {
    needs: &["a", "a"],
    packs: &[A],
    backups: &[&[1]],
    prunes: &[2],
    may_turn_bad: 1,
    tells_objects_apart: true,
    ..PLAIN
};

/// Bad packs, frames with several bases, sources that change.
pub const DAMAGE_CASES: &[Case] = &[
    Case { name: "bad", state_count: Some(12_727), ..DAMAGED },
    Case { name: "bad and healed", state_count: Some(2_514), may_be_forgotten: 2, ..DAMAGED },
    Case { name: "bad parent", state_count: Some(12_650), parents: &[(1, 0)], ..DAMAGED },
    Case {
        name: "bad base",
        state_count: Some(43_776),
        needs: &["a", "b"],
        packs: &[A, B_ON_A],
        bases: &[(1, "b", "a")],
        ..DAMAGED
    },
    Case {
        name: "one of two bad",
        state_count: Some(4_191),
        packs: &[A, A],
        may_be_forgotten: 0,
        ..DAMAGED
    },
    Case {
        name: "bad and two prunes",
        state_count: Some(129_320),
        may_be_forgotten: 0,
        prunes: &[1, 1],
        ..DAMAGED
    },
    Case {
        name: "one of two bad and two prunes",
        state_count: Some(484_761),
        packs: &[A, A],
        may_be_forgotten: 0,
        prunes: &[1, 1],
        ..DAMAGED
    },
    // One frame holds b and c and needs both a and d; nobody may need c or a for itself.
    Case {
        name: "bases",
        state_count: Some(4_392),
        needs: &["ab", "bc", "b"],
        packs: &[A, D, &[("bc", "ad")]],
        stored: 3,
        backups: &[&[2]],
        bases: &[(2, "b", "ad")],
        prunes: &[2],
        may_be_forgotten: 3,
        ..PLAIN
    },
    Case {
        name: "bases and two prunes",
        state_count: Some(1_588_534),
        needs: &["ad", "b"],
        packs: &[A, D],
        backups: &[&[1]],
        bases: &[(1, "b", "ad")],
        ..PLAIN
    },
    // 2 is what 1 becomes when the source is read again, 3 what it must not become.
    Case {
        name: "changed",
        state_count: Some(8_215),
        needs: &["ab", "ab", "cd", "ad"],
        packs: &[A, B],
        backups: &[&[1]],
        prunes: &[2],
        becomes: Some((1, 2)),
        patched: Some((1, 3)),
        torn: 8,
        tells_objects_apart: true,
        ..PLAIN
    },
];

/// The case of this name.
pub fn named(name: &str) -> &'static Case {
    let all = [CASES, STORE_CASES, FATE_CASES, DAMAGE_CASES];
    all.into_iter().flatten().find(|case| case.name == name).expect(name)
}

/// Each rule with a case in which leaving it out breaks a promise.
pub const MISSED: &[(Slip, &str)] = &[
    (Slip::NoFence, "parent"),
    (Slip::RelyOnCondemned, "parent"),
    (Slip::ParentWhileOpen, "parent"),
    (Slip::ParentWhileOpenUnlessForgotten, "parentU"),
    (Slip::AnyParent, "parent"),
    (Slip::NoPackListing, "leave3"),
    (Slip::LookUpWithoutBases, "delta2"),
    (Slip::IgnoreBases, "parentD"),
    (Slip::DeltaAsBase, "cross"),
    (Slip::FirstBaseOnly, "bases"),
    (Slip::BelieveFirstWalk, "parent"),
    (Slip::NoSegment, "delta"),
    (Slip::LookBeforePut, "parent"),
    (Slip::NoLook, "parent"),
    (Slip::LostReplyIsSuccess, "parent"),
    (Slip::RescueForNewOnly, "parentU"),
    (Slip::NoReload, "parent"),
    (Slip::GoOnUnresolved, "two listing"),
    (Slip::NoRescue, "parent"),
    (Slip::RescueWithoutBases, "parentD"),
    (Slip::MergeBeforeClose, "parent"),
    (Slip::DeleteAllSegments, "parent"),
    (Slip::DeleteOwnChoice, "parentG"),
    (Slip::MarkWithoutListing, "leave3"),
    (Slip::LeaveWhileStored, "two steady"),
    (Slip::PutAgainUnderOneName, "late packs beside a slow delete"),
    (Slip::ExistsMeansOwn, "late generation"),
    (Slip::MergeBeforeFate, "undo"),
    (Slip::DeleteWithoutFate, "undo"),
    (Slip::MarkBeforeFate, "undo"),
    (Slip::UndoWithoutSnapshots, "undo"),
    (Slip::UndoBelievesReader, "undo"),
    (Slip::UndoWithoutLook, "undo"),
    (Slip::CountBadCopies, "bad and healed"),
    (Slip::NoBadReload, "bad and healed"),
    (Slip::AcknowledgeByRun, "bad"),
    (Slip::RelyOnBad, "bad and healed"),
    (Slip::ParentDespiteBad, "bad parent"),
    (Slip::KeepLostChunk, "changed"),
    (Slip::PatchEntry, "changed"),
];

/// Rules without which no promise breaks, but an undamaged repository stops a prune.
pub const STOPPED: &[(Slip, &str)] =
    &[(Slip::UndoWithoutPacks, "undo"), (Slip::ListSnapshotsLast, "listing")];
