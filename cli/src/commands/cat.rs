use std::io::{self, Write};

use coffer_engine::model::{Entry, EntryKind, Source};
use coffer_engine::repo::{ChunkReader, sources_of};

use super::{Context, ls};
use crate::args::CatArgs;
use crate::exit::{Failure, Result};
use crate::output::{Stdout, escape, output_failure};

/// Writes a stored file to standard output.
///
/// # Errors
/// Fails if the path is not in the snapshot or is no file.
pub fn run(context: &Context, args: &CatArgs) -> Result<()> {
    let repository = context.open()?;
    let snapshot = context.select(&repository, &args.from.snapshot, &args.filter)?;
    let reader = repository.reader(&context.watcher())?;
    let asked = sources_of(&snapshot, args.source.as_deref())?;
    let is_sealed = asked.iter().any(|source| !repository.may_read(source));
    let readable = |source: &&Source| source.root.is_some() && repository.may_read(source);
    let sources: Vec<&Source> = asked.into_iter().filter(readable).collect();
    let Some(entry) = find(&reader, &sources, &args.from.path)? else {
        return Err(if is_sealed {
            ls::sealed_away()
        } else {
            ls::not_there(&snapshot, &args.from.path)
        });
    };
    let shown = escape::path(entry.path.as_bytes());
    match &entry.kind {
        EntryKind::File { .. } => {}
        EntryKind::Directory => {
            return Err(Failure::usage(format!("{shown} is a folder"))
                .hint("`coffer restore SNAP:PATH --target DIR` writes folders"));
        }
        EntryKind::Symlink { target } => {
            let message = format!("{shown} is a symbolic link to {}", escape::name(target));
            return Err(Failure::usage(message).hint("name the file it points to"));
        }
        _ => return Err(Failure::usage(format!("{shown} is a special file without content"))),
    }
    let mut out = Watched { out: Stdout::new()?, interrupted: context, failure: None };
    let written = reader.write_file(&entry, &mut out);
    // The engine tells only that writing failed; we know that it was standard output, and why.
    if let Some(error) = out.failure {
        return Err(output_failure(error));
    }
    written?;
    out.out.finish()
}

fn find(reader: &ChunkReader<'_>, sources: &[&Source], path: &[u8]) -> Result<Option<Entry>> {
    for source in sources {
        let mut found = None;
        reader.entries(&[source], path, &mut |_, entry| {
            found = (entry.path.as_bytes() == path).then_some(entry);
            Ok(false)
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Standard output that remembers its own failure, and stops when the user asked to.
struct Watched<'a> {
    out: Stdout,
    interrupted: &'a Context,
    failure: Option<io::Error>,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.interrupted.interrupt.is_set() {
            return Err(io::Error::other("interrupted"));
        }
        self.out.write(bytes).map_err(|error| {
            let told = io::Error::from(error.kind());
            // `write_all` goes on after this one.
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            told
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
