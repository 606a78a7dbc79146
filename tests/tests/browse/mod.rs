//! Looking into snapshots: `find`, `diff`, `stats`, facts, `mount`.

mod compare;
mod facts;
mod mount;
mod search;
mod sizes;
