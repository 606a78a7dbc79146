//! Tests of credentials, slots and the chain of rings, over a store in memory.

use super::*;
use crate::crypto::{Author, Credential, KdfStrength, Place, SignatureState};
use crate::limits;
use crate::model::{Entropy, ObjectKind, Purpose};
use crate::store::MemoryStore;

const NOW: i64 = 1_000;

struct World {
    store: MemoryStore,
    entropy: Entropy,
    author: Author,
    credential: Credential,
    first: Unlocked,
}

fn key_file(entropy: &Entropy) -> Credential {
    Credential::KeyFile(Secret32::random(entropy))
}

fn world_with(seed: &[u8], credential: impl FnOnce(&Entropy) -> Credential) -> World {
    let (store, entropy) = (MemoryStore::new(), Entropy::fixed(seed));
    let (author, credential) = (Author::generate(&entropy), credential(&entropy));
    let first = create(
        &store,
        &entropy,
        &NewRepository {
            credential: &credential,
            strength: KdfStrength::Default,
            label: "first",
            config: &default_config(&entropy, NOW),
            author: (&author, "host"),
            now_ns: NOW,
        },
    )
    .unwrap();
    World { store, entropy, author, credential, first }
}

fn world(seed: &[u8]) -> World {
    world_with(seed, key_file)
}

impl World {
    fn open(&self, credential: &Credential) -> Result<Unlocked> {
        unlock(&self.store, std::slice::from_ref(credential), None)
    }

    fn remembering(&self, credential: &Credential, seen: HashedNumber) -> Result<Unlocked> {
        unlock(&self.store, std::slice::from_ref(credential), Some(seen))
    }

    fn add(&self, current: &Unlocked, credential: &Credential, secrets: bool) -> Result<Unlocked> {
        let new =
            NewCredential { credential, strength: KdfStrength::Default, label: "more", secrets };
        add(&self.store, &self.entropy, NOW, current, &new)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.store.get(name, limits::CONFIG_LEN_MAX).unwrap()
    }

    fn flip(&self, name: &str, at: usize) {
        let mut bytes = self.bytes(name);
        bytes[at] ^= 1;
        self.store.tamper(name, bytes);
    }
}

/// What `by` seals now, `reader` opens.
fn understands(reader: &Unlocked, by: &Unlocked, entropy: &Entropy) -> bool {
    let (kind, place) = (ObjectKind::Segment, Place::none());
    let sealed = by.keyring.seal_object(entropy, kind, &place, b"x").unwrap();
    reader.keyring.open_object(kind, &place, &sealed).is_ok()
}

fn kind(result: Result<Unlocked>) -> Kind {
    result.expect_err("refused").kind()
}

#[test]
fn a_new_repository_opens_with_its_credential_only() {
    let world = world(b"create");
    let opened = world.open(&world.credential).unwrap();
    assert_eq!(opened.config, world.first.config);
    assert_eq!(opened.ring, world.first.ring);
    assert_eq!(opened.keyring.ring(), world.first.keyring.ring());
    assert_eq!(opened.slot, world.first.slot);
    assert!(understands(&opened, &world.first, &world.entropy));
    assert_eq!(world.bytes("config"), world.bytes("config.copy"));
    let stranger = key_file(&world.entropy);
    assert_eq!(kind(world.open(&stranger)), Kind::WrongKey);
    let both = [stranger, world.credential.clone()];
    assert!(unlock(&world.store, &both, None).is_ok());

    let (kind, place) = (ObjectKind::Fate, Place::number(1));
    let sealed = world.first.keyring.seal_signed(&world.entropy, &world.author, kind, &place, b"");
    let signed = opened.keyring.open_signed(kind, &place, &sealed.unwrap()).unwrap();
    let state = opened.keyring.check_signature(&signed, kind, &place, &world.author.host());
    assert_eq!(state, SignatureState::Good);
}

#[test]
fn passwords_open_change_and_are_told_from_wrong_ones() {
    let world = world_with(b"password", |_| Credential::password("first password"));
    let current = world.open(&world.credential).unwrap();
    let next = Credential::password("second password");
    let new = NewCredential {
        credential: &next,
        strength: KdfStrength::Default,
        label: "",
        secrets: true,
    };
    passwd(&world.store, &world.entropy, NOW, &current, &new).unwrap();
    assert_eq!(kind(world.open(&world.credential)), Kind::WrongKey);
    let opened = world.open(&next).unwrap();
    assert_eq!((opened.ring.number, opened.keyring.epoch()), (1, 1));
    assert!(understands(&opened, &current, &world.entropy));
    assert!(!understands(&current, &opened, &world.entropy));
    let listed = list(&world.store, &opened).unwrap();
    assert_eq!((listed.slots.len(), listed.strays.len()), (1, 0));
}

#[test]
fn there_is_no_second_repository_in_a_store_and_none_in_an_empty_one() {
    let world = world(b"second");
    for lost in [None, Some("config")] {
        lost.iter().for_each(|name| world.store.delete(name).unwrap());
        let again = create(
            &world.store,
            &world.entropy,
            &NewRepository {
                credential: &world.credential,
                strength: KdfStrength::Default,
                label: "",
                config: &default_config(&world.entropy, NOW),
                author: (&world.author, "host"),
                now_ns: NOW,
            },
        );
        assert_eq!(kind(again), Kind::Conflict);
    }
    assert!(world.open(&world.credential).is_ok(), "from the copy");
    let none = unlock(&MemoryStore::new(), std::slice::from_ref(&world.credential), None);
    assert_eq!(kind(none), Kind::NotFound);
}

#[test]
fn slots_are_added_used_listed_and_removed() {
    let world = world(b"slots");
    let (second, third) = (key_file(&world.entropy), key_file(&world.entropy));
    let ring1 = world.add(&world.first, &second, true).unwrap();
    assert_eq!((ring1.ring.number, ring1.ring.epoch), (1, 0));
    let by_second = world.open(&second).unwrap();
    assert_eq!(by_second.keyring.ring(), ring1.keyring.ring());
    let ring2 = world.add(&by_second, &third, true).unwrap();
    for credential in [&world.credential, &second, &third] {
        assert_eq!(world.open(credential).unwrap().keyring.ring(), ring2.keyring.ring());
    }

    let removed = world.first.slot;
    let ring3 = remove(&world.store, &world.entropy, NOW, &ring2, &removed).unwrap();
    assert_eq!((ring3.ring.number, ring3.keyring.epoch()), (3, 1));
    assert_ne!(ring3.ring.signing_public, ring2.ring.signing_public);
    assert_eq!(kind(world.open(&world.credential)), Kind::WrongKey);
    let by_third = world.open(&third).unwrap();
    assert!(understands(&by_third, &world.first, &world.entropy), "old objects still open");
    assert!(!understands(&ring2, &by_third, &world.entropy), "new ones not with old keys");
    assert_eq!(by_third.ring.data_id_key, world.first.ring.data_id_key);
    let listed = list(&world.store, &by_third).unwrap();
    let slots: Vec<_> = listed.slots.iter().map(|it| (it.in_use, it.present)).collect();
    assert_eq!((slots, listed.strays), (vec![(false, true), (true, true)], vec![]));
}

#[test]
fn the_slot_in_use_the_last_and_unknown_slots_are_not_removed() {
    let world = world(b"refusals");
    let remove =
        |current: &Unlocked, slot| kind(remove(&world.store, &world.entropy, NOW, current, &slot));
    assert_eq!(remove(&world.first, world.first.slot), Kind::Refused);
    assert_eq!(remove(&world.first, SlotId([0; 16])), Kind::NotFound);
    let ring1 = world.add(&world.first, &key_file(&world.entropy), true).unwrap();
    assert_eq!(remove(&ring1, ring1.slot), Kind::Refused);
}

#[test]
fn rotation_keeps_the_slots_and_replaces_epoch_and_pair() {
    let world = world(b"rotate");
    let mut current = world.open(&world.credential).unwrap();
    for number in 1..=3 {
        current = rotate(&world.store, &world.entropy, NOW, &current).unwrap();
        assert_eq!((current.ring.number, current.keyring.epoch()), (number, number));
    }
    let opened = world.open(&world.credential).unwrap();
    assert_eq!(opened.ring, current.ring);
    assert_eq!(opened.ring.epochs.len(), 4);
    assert!(understands(&opened, &world.first, &world.entropy));
    // The new slot starts at ring 4 and never sees the rings before.
    let late = key_file(&world.entropy);
    world.add(&opened, &late, true).unwrap();
    assert_eq!(world.open(&late).unwrap().ring.number, 4);
}

#[test]
fn a_slot_without_secrets_reads_the_rest_and_changes_nothing() {
    let world = world(b"no secrets");
    let plain = key_file(&world.entropy);
    world.add(&world.first, &plain, false).unwrap();
    let opened = world.open(&plain).unwrap();
    assert!(!opened.keyring.has_secrets());
    assert!(understands(&opened, &world.first, &world.entropy));
    let refused = rotate(&world.store, &world.entropy, NOW, &opened);
    assert_eq!(kind(refused), Kind::Refused);
}

#[test]
fn hosts_are_enrolled_once() {
    let world = world(b"enrol");
    let (store, entropy) = (&world.store, &world.entropy);
    let enrol = |current, author| enrol(store, entropy, NOW, current, (author, "other"));
    assert!(enrol(&world.first, &world.author).unwrap().is_none());
    let other = Author::generate(entropy);
    let current = enrol(&world.first, &other).unwrap().unwrap();
    assert_eq!(world.open(&world.credential).unwrap().ring.authors.len(), 2);
    let mut forged = other.to_bytes();
    forged[47] ^= 1;
    let forged = Author::from_bytes(&forged);
    assert_eq!(enrol(&current, &forged).expect_err("refused").kind(), Kind::Conflict);
}

#[test]
fn of_two_changes_at_once_one_wins_and_the_other_leaves_nothing() {
    let world = world(b"race");
    let (early, late) = (key_file(&world.entropy), key_file(&world.entropy));
    world.add(&world.first, &early, true).unwrap();
    assert_eq!(kind(world.add(&world.first, &late, true)), Kind::Conflict);
    let opened = world.open(&early).unwrap();
    let listed = list(&world.store, &opened).unwrap();
    assert_eq!((listed.slots.len(), listed.strays.len()), (2, 0));
    assert!(world.add(&opened, &late, true).is_ok());
}

#[test]
fn every_object_that_stands_twice_may_lose_one() {
    let world = world(b"copies");
    world.add(&world.first, &key_file(&world.entropy), true).unwrap();
    let ring2 = rotate(&world.store, &world.entropy, NOW, &world.open(&world.credential).unwrap());
    let expected = ring2.unwrap().keyring.ring();
    for name in ["config", "config.copy", "rings/1", "rings/1.copy", "rings/2", "rings/2.copy"] {
        let intact = world.bytes(name);
        for at in (0..intact.len()).step_by(101).chain([intact.len() - 1]) {
            world.flip(name, at);
            let opened = world.open(&world.credential);
            assert_eq!(opened.unwrap().keyring.ring(), expected, "{name} byte {at}");
            world.store.tamper(name, intact.clone());
        }
        world.store.delete(name).unwrap();
        let opened = world.open(&world.credential).unwrap();
        assert_eq!(opened.keyring.ring(), expected, "{name} gone");
        complete_copies(&world.store, &opened).unwrap();
        world.store.create(name, &intact).unwrap();
        assert_eq!(world.bytes(name), intact);
    }
}

#[test]
fn damage_to_both_copies_is_named() {
    let check = |names: [&str; 2], at: usize| {
        let world = world(b"damage");
        rotate(&world.store, &world.entropy, NOW, &world.first).unwrap();
        rotate(&world.store, &world.entropy, NOW, &world.open(&world.credential).unwrap()).unwrap();
        names.iter().for_each(|name| world.flip(name, at));
        let error = world.open(&world.credential).expect_err("damaged");
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        let named = names[0].split('.').next().unwrap();
        assert!(error.to_string().contains(named), "{error}");
        if names[0] == "rings/1" {
            names.iter().for_each(|name| world.store.delete(name).unwrap());
            assert_eq!(kind(world.open(&world.credential)), Kind::Corrupt, "a gap");
        }
    };
    for at in [0, 5, 40] {
        check(["config", "config.copy"], at.max(11));
        check(["rings/1", "rings/1.copy"], at + 30);
        check(["rings/2", "rings/2.copy"], at + 600);
    }
}

#[test]
fn no_flip_of_a_config_in_both_copies_goes_unnoticed() {
    let world = world(b"config flips");
    let config = world.bytes("config");
    // Every byte of the head and of ring 0's tables, a sample of the rest.
    let tables = 64 + 56 + 176 + 8;
    for at in (0..tables).chain((tables..config.len()).step_by(29)) {
        let mut harmed = config.clone();
        harmed[at] ^= 1 << (at % 8);
        world.store.tamper("config", harmed.clone());
        world.store.tamper("config.copy", harmed);
        assert!(world.open(&world.credential).is_err(), "byte {at}");
    }
}

#[test]
fn a_ring_rolled_back_or_of_another_branch_is_told_from_memory() {
    let world = world(b"rollback");
    let seen0 = world.first.keyring.ring();
    let late = key_file(&world.entropy);
    let ring1 = rotate(&world.store, &world.entropy, NOW, &world.first).unwrap();
    let seen1 = ring1.keyring.ring();
    world.add(&ring1, &late, true).unwrap();
    for credential in [&world.credential, &late] {
        for seen in [seen0, seen1] {
            assert!(world.remembering(credential, seen).is_ok());
            let other = HashedNumber { hash: ObjectHash([9; 32]), ..seen };
            assert_eq!(kind(world.remembering(credential, other)), Kind::RolledBack);
        }
    }
    let later = HashedNumber { number: 3, hash: ObjectHash([9; 32]) };
    assert_eq!(kind(world.remembering(&late, later)), Kind::RolledBack);
    world.store.delete("rings/2").unwrap();
    world.store.delete("rings/2.copy").unwrap();
    let seen2 = HashedNumber { number: 2, hash: seen1.hash };
    assert_eq!(kind(world.remembering(&world.credential, seen2)), Kind::RolledBack);
}

#[test]
fn a_ring_signed_by_a_former_holder_is_refused() {
    let world = world(b"former");
    let friend = key_file(&world.entropy);
    let ring1 = world.add(&world.first, &friend, true).unwrap();
    let by_friend = world.open(&friend).unwrap();
    let mut ring2 = remove(&world.store, &world.entropy, NOW, &ring1, &by_friend.slot).unwrap();
    assert!(world.open(&world.credential).is_ok());
    // All that the friend learned, and even the bodies of ring 2, are not enough for a ring 3.
    ring2.ring.signing_secret = by_friend.ring.signing_secret.clone();
    ring2.ring.signing_public = by_friend.ring.signing_public;
    rotate(&world.store, &world.entropy, NOW, &ring2).unwrap();
    let error = world.open(&world.credential).expect_err("forged");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("rings/3: the signature"), "{error}");
}

#[test]
fn features_that_are_not_known_are_refused_by_name() {
    let world = world(b"features");
    for name in ["config", "config.copy"] {
        let mut config = world.bytes(name);
        config[32] = 4;
        world.store.tamper(name, config);
    }
    let error = world.open(&world.credential).expect_err("unknown");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("feature 2"), "{error}");
}

#[test]
fn a_lost_or_broken_slot_is_damage_and_another_slot_still_opens() {
    let world = world(b"lost slot");
    let second = key_file(&world.entropy);
    world.add(&world.first, &second, true).unwrap();
    let name = slot_name(&world.first.slot);
    world.flip(&name, 200);
    let error = world.open(&world.credential).expect_err("broken");
    assert!(matches!(error.kind(), Kind::Corrupt | Kind::WrongKey));
    assert!(error.to_string().contains(&name), "{error}");
    world.store.delete(&name).unwrap();
    let opened = world.open(&second).unwrap();
    let listed = list(&world.store, &opened).unwrap();
    assert_eq!(listed.slots.iter().filter(|slot| slot.present).count(), 1);
}

#[test]
fn the_first_ring_has_a_key_for_every_purpose() {
    let world = world(b"purposes");
    let keys = &world.first.ring.epochs[0].keys;
    let all = [Purpose::Data, Purpose::Metadata, Purpose::Index, Purpose::Control];
    assert!(all.iter().all(|purpose| keys.contains_key(purpose)) && keys.len() == 4);
    assert!(world.first.keyring.has_secrets());
}
