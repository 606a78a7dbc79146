//! Tests of Coffer through its binary and its engine.

mod commands;
mod crashes;
mod harm;
mod histories;
mod limits_of_disks;
mod secrets;
mod support;
mod trees;
