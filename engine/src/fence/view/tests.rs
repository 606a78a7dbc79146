use super::*;
use crate::model::{HostId, ObjectHash};

fn object(generation: u64, sid: u8) -> SnapshotRef {
    SnapshotRef { generation, sid: SnapshotId([sid; 16]), hash: ObjectHash([sid; 32]) }
}

fn packs(names: &[u8]) -> Vec<PackId> {
    names.iter().map(|name| PackId([*name; 32])).collect()
}

fn close(number: u64, add: &[SnapshotRef], deleted: &[u8]) -> Close {
    Close {
        number,
        valid_add: add.to_vec(),
        deleted_add: packs(deleted),
        generation: ObjectHash([0; 32]),
        full: false,
        previous: ObjectHash([0; 32]),
        valid_drop: Vec::new(),
        deleted_drop: Vec::new(),
        forgets: Vec::new(),
        author: HostId([0; 16]),
        created_ns: 0,
        ring: HashedNumber::NONE,
    }
}

fn generation(number: u64, condemned: &[u8]) -> Generation {
    Generation {
        number,
        condemned: packs(condemned),
        previous: ObjectHash([0; 32]),
        features: Features::default(),
        author: HostId([0; 16]),
        created_ns: 0,
        ring: HashedNumber::NONE,
    }
}

fn fold(closes: &[Close], open: Option<&Generation>) -> Result<View> {
    View::fold(closes, open, None, Features::default())
}

#[test]
fn without_generations_every_listed_snapshot_is_valid() {
    let view = fold(&[], None).unwrap();
    assert_eq!(view.highest(), 0);
    let listed = [object(0, 1), object(1, 2)];
    let valid = view.valid(&listed, &Forgotten::default());
    assert_eq!(valid.into_iter().collect::<Vec<_>>(), [object(0, 1)]);
    assert_eq!(view.look(&object(0, 1)), Look::Acknowledge);
}

#[test]
fn a_snapshot_that_lands_in_a_closed_generation_is_void() {
    let view = fold(&[close(1, &[object(0, 1)], &[7])], None).unwrap();
    let listed = [object(0, 1), object(0, 2), object(1, 3)];
    let valid = view.valid(&listed, &Forgotten::default());
    assert_eq!(valid.into_iter().collect::<Vec<_>>(), [object(0, 1), object(1, 3)]);
    assert_eq!(view.look(&object(0, 2)), Look::Again);
    assert_eq!(view.look(&object(0, 1)), Look::Acknowledge);
    assert!(view.excludes(&PackId([7; 32])) && !view.excludes(&PackId([8; 32])));
}

#[test]
fn while_a_generation_is_open_its_condemned_packs_are_excluded() {
    let open = generation(2, &[9]);
    let view = fold(&[close(1, &[object(0, 1)], &[])], Some(&open)).unwrap();
    assert_eq!(view.highest(), 2);
    assert!(view.excludes(&PackId([9; 32])));
    assert_eq!(view.look(&object(1, 4)), Look::Again);
    let listed = [object(1, 4), object(2, 5)];
    assert_eq!(view.valid(&listed, &Forgotten::default()).len(), 3);
}

#[test]
fn gaps_between_closes_are_damage() {
    assert!(fold(&[close(2, &[], &[])], None).is_err());
    assert!(fold(&[close(1, &[], &[]), close(3, &[], &[])], None).is_err());
    assert!(fold(&[close(1, &[], &[])], Some(&generation(3, &[]))).is_err());
}

#[test]
fn the_highest_generation_then_sequence_of_a_run_wins() {
    let objects = [(object(0, 1), 5, "a"), (object(1, 1), 6, "b"), (object(0, 2), 0, "c")];
    let newest = newest_of_each_run(objects);
    assert_eq!(newest[&SnapshotId([1; 16])].1, "b");
    assert_eq!(newest[&SnapshotId([2; 16])].1, "c");
}
