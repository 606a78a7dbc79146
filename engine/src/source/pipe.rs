//! Reading from a pipe without losing sight of the user's wish to stop.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How often a silent pipe lets us look whether the user asked to stop.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Reads what is there, waiting for the first byte; 0 at the end.
///
/// # Errors
/// As the operating system gives them; `Other` once `is_stopped` says so.
pub fn read(
    pipe: impl AsFd,
    buffer: &mut [u8],
    is_stopped: &dyn Fn() -> bool,
) -> io::Result<usize> {
    let every = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
    loop {
        // Not `ErrorKind::Interrupted`: readers try again on that.
        if is_stopped() {
            return Err(io::Error::other("interrupted"));
        }
        let mut waiting = [PollFd::new(&pipe, PollFlags::IN)];
        match poll(&mut waiting, Some(&every)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(rustix::io::read(&pipe, buffer)?),
            Err(error) => return Err(error.into()),
        }
    }
}
