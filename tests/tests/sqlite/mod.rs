//! Live databases, through the binary. The test process is the application.

pub mod app;
mod hard;
mod kinds;
mod live;
mod restores;
mod to_file;
