//! A shell command whose standard output is read.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::pipe::{self, LOOK_EVERY};

/// A command that was started. Dropping it ends the command and what it started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: ChildStdout,
    has_ended: bool,
}

impl Running {
    /// Starts `line` with `sh -c`, in a process group of its own, with an empty standard input and
    /// our standard error.
    ///
    /// # Errors
    /// If there is no shell or no process can be made.
    pub fn start(line: &str) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { child, output, has_ended: false })
    }

    /// Reads on, or 0 at the end of the output.
    ///
    /// # Errors
    /// As the operating system gives them; `Other` once `is_stopped` says so.
    pub fn read(&mut self, buffer: &mut [u8], is_stopped: &dyn Fn() -> bool) -> io::Result<usize> {
        pipe::read(&self.output, buffer, is_stopped)
    }

    /// Waits for its end, after the end of its output.
    ///
    /// # Errors
    /// What is wrong, if it failed, was killed, or the user asked to stop.
    pub fn finish(mut self, is_stopped: &dyn Fn() -> bool) -> Result<(), String> {
        let mut wait = Duration::from_millis(1);
        loop {
            let status = self.child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = status {
                self.has_ended = true;
                return match (status.code(), status.signal()) {
                    (Some(0), _) => Ok(()),
                    (Some(code), _) => Err(format!("the command failed with exit status {code}")),
                    (None, Some(signal)) => Err(format!("the command died of signal {signal}")),
                    (None, None) => Err("the command failed".to_owned()),
                };
            }
            if is_stopped() {
                return Err("interrupted".to_owned());
            }
            thread::sleep(wait);
            wait = wait.saturating_mul(2).min(LOOK_EVERY);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It has a group of its own: what it started ends with it.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
