//! The engine of Coffer: content-addressed, deduplicating, encrypted backups.
//!
//! `docs/src/architecture.md` has the map; `format-spec/` the bytes.

pub mod backup;
pub mod browse;
pub mod cache;
pub mod chunk;
pub mod crash;
pub mod crypto;
pub mod error;
pub mod fence;
pub mod format;
pub mod frame;
pub mod index;
pub mod limits;
pub mod maintain;
pub mod manifest;
pub mod model;
pub mod observe;
pub mod pack;
pub mod repo;
pub mod restore;
pub mod source;
pub mod store;
pub mod target;
pub mod tune;
pub mod verify;
pub mod watch;
