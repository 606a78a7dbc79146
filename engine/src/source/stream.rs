//! A stream of bytes from elsewhere that becomes one file: standard input, or the output of a command.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use super::command::Running;
use crate::error::SourceError;
use crate::model::EntryPath;

/// Bytes asked for at once.
const READ_LEN: usize = 64 << 10;

/// One stream of bytes to back up as a single file.
pub struct StreamSource {
    /// The file's path within the snapshot; slashes in front are left out.
    pub name: String,
    pub input: Input,
}

/// Where the bytes come from.
pub enum Input {
    /// Something that can be read once; it must end by itself when the user asks to stop.
    Reader(Box<dyn Read + Send>),
    /// A reader whose bytes were taken.
    Taken,
    /// The standard output of a shell command, which must succeed. It can be run again.
    Command(String),
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A command line may hold a password.
        write!(out, "StreamSource({:?})", self.name)
    }
}

impl StreamSource {
    /// The kind of the source, as a snapshot tells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.input {
            Input::Command(_) => "command",
            Input::Reader(_) | Input::Taken => "stream",
        }
    }

    /// The path of its entry.
    ///
    /// # Errors
    /// If the name is not a relative path without `.` or `..`.
    pub fn path(&self) -> Result<EntryPath, SourceError> {
        EntryPath::new(self.name.trim_matches('/').as_bytes()).map_err(|_| {
            let what = "is not a file name: give a relative path without `.` or `..`";
            SourceError::new(self.name.as_bytes(), what)
        })
    }

    /// Begins to read; a reader is taken.
    ///
    /// # Errors
    /// If the command cannot be started, or the reader was taken before.
    pub fn open(&mut self) -> io::Result<OpenStream> {
        match std::mem::replace(&mut self.input, Input::Taken) {
            Input::Reader(reader) => Ok(OpenStream::Reader(reader)),
            Input::Taken => Err(io::Error::other("was read before")),
            Input::Command(line) => {
                let running = Running::start(&line);
                self.input = Input::Command(line);
                Ok(OpenStream::Command(running?))
            }
        }
    }
}

/// A stream that is being read.
pub enum OpenStream {
    Reader(Box<dyn Read + Send>),
    Command(Running),
}

impl OpenStream {
    /// Reads on to the end of `bytes`, at most `len` of them, often fewer; how many, 0 at the end.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn append(
        &mut self,
        bytes: &mut Vec<u8>,
        len: usize,
        is_stopped: &dyn Fn() -> bool,
    ) -> io::Result<usize> {
        // A pipe gives little at a time: not worth clearing the room of a part for each reading.
        let mut buffer = [0; READ_LEN];
        let count = self.read(&mut buffer[..len.min(READ_LEN)], is_stopped)?;
        bytes.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Reads on; `is_stopped` is asked whenever a command keeps us waiting.
    ///
    /// # Errors
    /// As the operating system gives them; `Other` once `is_stopped` says so.
    pub fn read(&mut self, buffer: &mut [u8], is_stopped: &dyn Fn() -> bool) -> io::Result<usize> {
        match self {
            Self::Reader(reader) => reader.read(buffer),
            Self::Command(running) => running.read(buffer, is_stopped),
        }
    }

    /// Looks at how it ended, after its last byte; the facts to record.
    ///
    /// # Errors
    /// What is wrong, if the bytes are not what was wanted: a command that failed.
    pub fn finish(self, is_stopped: &dyn Fn() -> bool) -> Result<BTreeMap<String, String>, String> {
        match self {
            Self::Reader(_) => Ok(BTreeMap::new()),
            Self::Command(running) => {
                running.finish(is_stopped)?;
                Ok(BTreeMap::from([("exit_status".to_owned(), "0".to_owned())]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> StreamSource {
        StreamSource { name: "out".to_owned(), input: Input::Command(line.to_owned()) }
    }

    /// All bytes and how it ended.
    fn run(source: &mut StreamSource) -> (Vec<u8>, Result<BTreeMap<String, String>, String>) {
        let mut open = source.open().unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), [0; 7]);
        loop {
            match open.read(&mut buffer, &|| false).unwrap() {
                0 => break,
                len => bytes.extend_from_slice(&buffer[..len]),
            }
        }
        (bytes, open.finish(&|| false))
    }

    #[test]
    fn a_command_gives_its_output_and_can_run_again() {
        let mut source = command("printf 'select 1;'; echo told >&2");
        for _ in 0..2 {
            let (bytes, end) = run(&mut source);
            assert_eq!(
                (bytes.as_slice(), end.unwrap()["exit_status"].as_str()),
                (&b"select 1;"[..], "0")
            );
        }
    }

    #[test]
    fn a_command_that_fails_or_is_killed_says_so() {
        let failed = |line: &str| run(&mut command(line)).1.unwrap_err();
        assert!(failed("echo half; exit 3").contains("exit status 3"));
        assert!(failed("kill -9 $$").contains("signal 9"));
        assert!(failed("/no/such/program").contains("exit status 127"));
    }

    #[test]
    fn a_silent_command_is_stopped_with_all_it_started() {
        let mut open = command("sleep 1000 & echo $!; wait").open().unwrap();
        let mut buffer = [0; 20];
        let len = open.read(&mut buffer, &|| false).unwrap();
        let pid: i32 = String::from_utf8_lossy(&buffer[..len]).trim().parse().unwrap();
        assert!(open.read(&mut buffer, &|| true).is_err());
        drop(open);
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        let mut tries = 0;
        while !gone() && tries < 500 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            tries += 1;
        }
        assert!(gone());
    }

    #[test]
    fn a_command_leads_a_session_and_has_time_to_clean_up() {
        let folder = tempfile::tempdir().unwrap();
        let cleaned = folder.path().join("cleaned");
        let line = format!(
            "trap 'sleep 0.2; echo > {}; exit' TERM; \
             read -r _ _ _ _ _ session _ < /proc/$$/stat; echo $$ $session; while :; do sleep 0.01; done",
            cleaned.display()
        );
        let mut open = command(&line).open().unwrap();
        let mut buffer = [0; 40];
        let len = open.read(&mut buffer, &|| false).unwrap();
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let (pid, session) = text.trim().split_once(' ').unwrap();
        assert_eq!(pid, session);
        drop(open);
        assert!(cleaned.exists());
    }

    #[test]
    fn unsound_names_are_refused() {
        for name in ["", "/", "a/../b", "a//b", "a\0"] {
            let source = StreamSource { name: name.to_owned(), input: Input::Taken };
            assert!(source.path().is_err(), "{name:?}");
        }
    }
}
