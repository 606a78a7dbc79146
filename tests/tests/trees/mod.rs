//! Awkward trees, backed up and restored equal.

mod changing;
mod kinds;
mod metadata;
mod names;
mod outputs;
mod restores;
mod roots;
mod selection;
