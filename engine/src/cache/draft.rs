//! Files without a name yet, and files mapped into memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap};
use tempfile::{NamedTempFile, TempPath};

/// A file being written; it is gone when dropped without a name.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    path: Option<TempPath>,
}

impl Draft {
    /// Begins a file in `folder`, or in the system's temporary folder, that never gets a name.
    ///
    /// # Errors
    /// When the system does not give one.
    pub fn unnamed(folder: Option<&Path>) -> io::Result<Self> {
        let file = match folder {
            Some(folder) => tempfile::tempfile_in(folder)?,
            None => tempfile::tempfile()?,
        };
        Ok(Self { file: BufWriter::with_capacity(BUFFER_LEN, file), path: None })
    }

    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        let (file, path) = NamedTempFile::new_in(folder)?.into_parts();
        // Tells a sweep that somebody is at work; where files cannot be locked, it does not sweep.
        let _ = file.lock();
        Ok(Self { file: BufWriter::with_capacity(BUFFER_LEN, file), path: Some(path) })
    }

    /// Maps what was written so far. Nothing may be written afterwards.
    ///
    /// # Errors
    /// When the last bytes cannot be written, or the system refuses.
    pub fn map(&mut self) -> io::Result<Mapped> {
        self.file.flush()?;
        Mapped::file(self.file.get_ref())
    }

    /// Brings what was written so far to the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    pub(super) fn rename_to(mut self, path: &Path) -> io::Result<()> {
        self.file.flush()?;
        match self.path {
            Some(from) => from.persist(path).map_err(|error| error.error),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Bytes gathered before they are written.
const BUFFER_LEN: usize = 128 << 10;

/// Bytes of a file in memory, paged in by need; or bytes in memory where no file could be had.
#[derive(Debug)]
pub struct Mapped(Inner);

/// How a file in memory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Here and there: a page is brought in by itself.
    Scattered,
    /// From the beginning to the end.
    InOrder,
}

#[derive(Debug)]
enum Inner {
    File(Mmap),
    Memory(Vec<u8>),
}

impl Mapped {
    /// Takes bytes that have no file.
    #[must_use]
    pub fn memory(bytes: Vec<u8>) -> Self {
        Self(Inner::Memory(bytes))
    }

    /// Says how the bytes will be read, for the system to read ahead or not.
    pub fn expect(&self, access: Access) {
        if let Inner::File(map) = &self.0 {
            let advice = match access {
                Access::Scattered => Advice::Random,
                Access::InOrder => Advice::Sequential,
            };
            // Only a hint.
            let _ = map.advise(advice);
        }
    }

    pub(super) fn file(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::memory(Vec::new()));
        }
        // SAFETY: the file is a private one in a folder of mode 0700 (or has no name at all). This
        // program never writes to a file after mapping it, nor truncates one: it replaces files by
        // rename and removes them by unlink, which leave a mapping whole.
        Ok(Self(Inner::File(unsafe { Mmap::map(file)? })))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::File(map) => map,
            Inner::Memory(bytes) => bytes,
        }
    }
}
