//! Damage of every kind to every object: told by name, never wrong bytes, and what else is intact stays
//! restorable.

mod heal;
mod matrix;
mod rollback;
pub mod support;
