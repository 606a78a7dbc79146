//! The generation fence, tried out in every order of its steps.
//!
//! Backups, prunes and operators act one request to the store at a time; after every step every promise
//! is looked at: what is listed or was acknowledged can be restored, and what was acknowledged stays
//! listed. A crash is a process that never goes on. Rules are shown to be needed by leaving them out one
//! at a time: then a promise must break.
//!
//! These are models of `format-spec/6-snapshots.md`, not of the engine's code; where that page says less,
//! `rules.rs` names what must hold. Each case says how many states it has, so that a change of a model
//! shows. The large ones run with `COFFER_TEST_MODEL=full` (minutes, and gigabytes of memory).
//!
//! Not modelled: closes as differences of each other, forgets that are dropped, roots in records, damaged
//! generations and closes, listings of packs or of snapshots in parts, two delayed creates at once, bad
//! packs beside rewriting, differences and parents beside an undone prune.

mod backup;
mod bare;
mod cases;
mod explore;
mod finish;
mod hazards;
mod prune;
mod request;
mod rules;
mod state;
mod tables;
mod undo;

use bare::Bare;
use cases::Case;
use explore::Model;
use state::World;

/// Cases with more states, and those too large to be explored whole, wait for `COFFER_TEST_MODEL=full`.
const STATE_COUNT_QUICK: usize = 350_000;
/// Where a case is cut off that is too large.
const STATE_COUNT_MAX: usize = 6_500_000;

fn is_full() -> bool {
    std::env::var("COFFER_TEST_MODEL").is_ok_and(|it| it == "full")
}

/// `state_count` is none for a case too large to be explored whole.
fn check_kept<M: Model>(name: &str, state_count: Option<usize>, aborts: bool, model: &M) {
    if state_count.is_none_or(|it| it > STATE_COUNT_QUICK) && !is_full() {
        return;
    }
    let begun = std::time::Instant::now();
    let outcome = explore::explore(model, STATE_COUNT_MAX);
    println!("{name}: {} states in {:.1?}", outcome.state_count, begun.elapsed());
    if let Some((promise, trace)) = outcome.violation {
        panic!("{name}: {promise} after {trace}");
    }
    assert_eq!(aborts, outcome.stuck.is_some(), "{name}: {:?}", outcome.stuck);
    let explored = outcome.complete.then_some(outcome.state_count);
    assert_eq!(explored, state_count, "{name}: states");
}

fn check_missed<M: Model>(name: &str, model: &M) {
    let outcome = explore::explore(model, STATE_COUNT_MAX);
    let Some((promise, trace)) = outcome.violation else {
        panic!("{name}: nothing is missed in {} states", outcome.state_count);
    };
    println!("{name}: {promise} after {} states, {trace}", outcome.state_count);
}

fn check_cases(cases: &'static [Case]) {
    for case in cases {
        // Between the two requests of a listing a merge may hide a segment: then prune gives up.
        let aborts = case.paged && case.prunes.len() > 1;
        check_kept(case.name, case.state_count, aborts, &World::new(case, None));
    }
}

#[test]
fn the_fence_alone_keeps_its_promises() {
    for case in bare::CASES {
        check_kept(case.name, case.state_count, false, &Bare { case, slip: None });
    }
}

#[test]
fn every_rule_of_the_fence_alone_is_missed() {
    for slip in bare::SLIPS {
        let bare = Bare { case: &bare::CASES[0], slip: Some(*slip) };
        check_missed(&format!("{slip:?}"), &bare);
    }
}

#[test]
fn differences_parents_and_segments_keep_the_promises() {
    check_cases(cases::CASES);
}

#[test]
fn late_lost_and_partial_requests_keep_the_promises() {
    check_cases(hazards::STORE_CASES);
}

#[test]
fn fates_and_undone_forgets_keep_the_promises() {
    check_cases(hazards::FATE_CASES);
}

#[test]
fn bad_packs_shared_bases_and_changed_sources_keep_the_promises() {
    check_cases(hazards::DAMAGE_CASES);
}

#[test]
fn every_rule_is_missed() {
    for (slip, name) in hazards::MISSED {
        check_missed(
            &format!("{slip:?} in {name}"),
            &World::new(hazards::named(name), Some(*slip)),
        );
    }
}

#[test]
fn some_rules_keep_an_undamaged_repository_from_stopping_a_prune() {
    for (slip, name) in hazards::STOPPED {
        let world = World::new(hazards::named(name), Some(*slip));
        let outcome = explore::explore(&world, STATE_COUNT_MAX);
        assert!(outcome.violation.is_none(), "{slip:?} in {name}");
        println!("{slip:?} in {name}: stuck after {}", outcome.stuck.expect(name));
    }
}
