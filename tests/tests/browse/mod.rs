//! Looking into snapshots: `find`, `diff`, `stats`, facts, `mount`.

mod compare;
mod facts;
pub mod mount;
mod search;
mod sizes;
