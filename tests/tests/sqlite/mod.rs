//! Live databases, through the binary. The test process is the application.

pub mod app;
mod facts;
mod forms;
mod hard;
mod kinds;
mod live;
mod moments;
mod places;
mod restores;
mod thinning;
mod to_file;
mod together;
mod watch;
