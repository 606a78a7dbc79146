//! Tests of Coffer through its binary and its engine.

mod browse;
mod commands;
mod compare;
mod crashes;
mod differences;
mod fence_model;
mod fuzz_smoke;
mod harm;
mod histories;
mod limits_of_disks;
mod manual;
mod old_bytes;
mod restoring;
mod retention;
mod secrets;
mod shape;
mod sqlite;
mod support;
mod trees;
mod vectors;
