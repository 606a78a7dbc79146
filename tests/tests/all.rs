//! Tests of Coffer through its binary and its engine.

mod commands;
mod crashes;
mod fuzz_smoke;
mod harm;
mod histories;
mod limits_of_disks;
mod manual;
mod secrets;
mod shape;
mod support;
mod trees;
mod vectors;
