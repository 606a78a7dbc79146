//! The generation fence, tried out in every order of its steps.
//!
//! Backups, prunes and operators act one request to the store at a time; after every step every promise
//! is looked at: what is listed or was acknowledged can be restored, and what was acknowledged stays
//! listed. A crash is a process that never goes on. Rules are shown to be needed by leaving them out one
//! at a time: then a promise must break.
//!
//! These are models of `format-spec/6-snapshots.md`, not of the engine's code. Each case says how many
//! states it has, so that a change of a model shows. The large ones run with `COFFER_TEST_MODEL=full`
//! (minutes and gigabytes).

mod bare;
mod explore;

use bare::Bare;
use explore::Model;

/// Cases with more states, and those too large to be explored whole, wait for `COFFER_TEST_MODEL=full`.
const STATE_COUNT_QUICK: usize = 350_000;
/// Where a case is cut off that is too large.
const STATE_COUNT_MAX: usize = 6_000_000;

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
