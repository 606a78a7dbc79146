//! Tests of Coffer through its binary and its engine.

mod browse;
mod commands;
mod crashes;
mod harm;
mod histories;
mod limits_of_disks;
mod support;
mod trees;
