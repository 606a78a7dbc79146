//! Looking into snapshots: `find`, `diff`, `stats`, facts, `mount`.

mod compare;
mod facts;
mod search;
mod sizes;
