//! A shell command whose standard output is read.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::pipe::{self, LOOK_EVERY};

/// How long a command that is stopped may take to clean up before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How often we look whether it has.
const GRACE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// A command that was started. Dropping it ends the command and what it started.
#[derive(Debug)]
pub struct Running {
    /// Closed before the command is waited for: one that still writes gets SIGPIPE and ends.
    output: ChildStdout,
    session: Session,
}

impl Running {
    /// Starts `line` with `sh -c`, in a session of its own and thus without a terminal, with an
    /// empty standard input and our standard error.
    ///
    /// # Errors
    /// If there is no shell or no process can be made.
    pub fn start(line: &str) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped());
        // A process group alone would still have our terminal, in the background: a command that asks
        // there for a password would be stopped by SIGTTIN for good instead of failing.
        // SAFETY: setsid is async-signal-safe and touches no memory.
        unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { output, session: Session { child, has_ended: false } })
    }

    /// Reads on, or 0 at the end of the output.
    ///
    /// # Errors
    /// As the operating system gives them; `Other` once `is_stopped` says so.
    pub fn read(&mut self, buffer: &mut [u8], is_stopped: &dyn Fn() -> bool) -> io::Result<usize> {
        pipe::read(&self.output, buffer, is_stopped)
    }

    /// Waits for its end, with its output closed.
    ///
    /// # Errors
    /// What is wrong, if it failed, was killed, or `is_stopped` says so.
    pub fn finish(self, is_stopped: &dyn Fn() -> bool) -> Result<(), String> {
        let Self { output, session } = self;
        drop(output);
        session.wait(is_stopped)
    }
}

/// The processes of a command: its first one leads a session and a process group.
#[derive(Debug)]
struct Session {
    child: Child,
    has_ended: bool,
}

impl Session {
    fn wait(mut self, is_stopped: &dyn Fn() -> bool) -> Result<(), String> {
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

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// True if nothing of its group is left. The number of a group is not given away while it has
    /// members.
    fn is_gone(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
            && test_kill_process_group(self.group()).is_err()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // It has a group of its own: what it started ends with it.
        let _ = kill_process_group(self.group(), Signal::TERM);
        let asked = Instant::now();
        while !self.is_gone() {
            if asked.elapsed() > GRACE {
                let _ = kill_process_group(self.group(), Signal::KILL);
                let _ = self.child.wait();
                return;
            }
            thread::sleep(GRACE_LOOK_EVERY);
        }
    }
}
