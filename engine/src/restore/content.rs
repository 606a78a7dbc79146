//! From a file's content to pieces: which bytes of which frame go where.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::batch::{FileJob, Piece};
use super::compare::Comparison;
use super::origin::Place;
use super::plan::{Planner, Stopped};
use crate::error::{Error, Kind, Result};
use crate::model::{Content, Hole, NodeRef};

/// Where the next byte of content goes.
pub(super) struct Cursor<'h> {
    at: u64,
    size: u64,
    holes: &'h [Hole],
}

/// Where a run of a chunk's bytes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Bytes of the file before it.
    pub(super) at: u64,
    /// Bytes of the chunk before it.
    pub(super) skip: u32,
    pub(super) len: u32,
}

/// What the plan of a file's content came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planned {
    Written,
    /// The existing file has all of it: nothing was planned.
    Equal,
}

impl Planner<'_, '_> {
    /// Plans the pieces of `job`, over several batches if need be. Damage fails the job, not the
    /// restore.
    pub(super) fn plan_content(
        &mut self,
        job: &Arc<FileJob>,
        content: &Content,
        holes: &[Hole],
        mut compared: Option<&mut Comparison>,
    ) -> std::result::Result<Planned, Stopped> {
        let mut cursor = Cursor::new(job.size, holes);
        for run in (self.origin.chunks)(content) {
            let located =
                run.and_then(|(chunk, repeat)| Ok((chunk, (self.origin.place)(&chunk)?, repeat)));
            let (chunk, place, repeat) = match located {
                Ok(located) => located,
                Err(error) => return self.fail(job, error),
            };
            for _ in 0..repeat {
                if self.report.is_stopped() {
                    return Err(Stopped);
                }
                match self.plan_chunk(&mut cursor, &chunk, &place, compared.as_deref_mut()) {
                    Err(error) => return self.fail(job, error),
                    Ok(Planned::Equal) => self.report.progress(),
                    Ok(Planned::Written) if self.batch.is_full() => self.split(job)?,
                    Ok(Planned::Written) => {}
                }
            }
        }
        if let Err(error) = cursor.finish() {
            return self.fail(job, error);
        }
        match compared {
            Some(compared) if compared.is_equal(job.size, holes) => Ok(Planned::Equal),
            Some(compared) => {
                self.copy_all(compared.differ());
                Ok(Planned::Written)
            }
            None => Ok(Planned::Written),
        }
    }

    /// Sends what there is of `job` and goes on with it in the next batch; it cannot be hidden in a
    /// directory that is published before.
    fn split(&mut self, job: &Arc<FileJob>) -> std::result::Result<(), Stopped> {
        job.is_hidden.store(false, Ordering::Relaxed);
        self.flush()?;
        self.place_file(job);
        Ok(())
    }

    /// Plans one chunk: fetched, or copied if the existing file has it. `Equal` if nothing had to
    /// be planned so far.
    fn plan_chunk(
        &mut self,
        cursor: &mut Cursor<'_>,
        chunk: &NodeRef,
        place: &Place,
        compared: Option<&mut Comparison>,
    ) -> Result<Planned> {
        let runs = cursor.next_runs(place.len)?;
        if let Some(compared) = compared {
            if compared.has(self.origin, chunk, &runs)? {
                let copies: Vec<_> = runs.iter().filter_map(|run| compared.keep(*run)).collect();
                let is_equal = copies.is_empty();
                self.copy_all(copies);
                return Ok(if is_equal { Planned::Equal } else { Planned::Written });
            }
            self.copy_all(compared.differ());
        }
        let file = self.batch.current_file();
        for Run { at, skip, len } in runs {
            self.batch.fetch(Piece { place: *place, chunk: *chunk, file, skip, len, at });
        }
        Ok(Planned::Written)
    }

    fn copy_all(&mut self, runs: Vec<(u64, u64)>) {
        for (at, len) in runs {
            self.batch.copy(at, len);
        }
    }

    fn fail(&mut self, job: &Arc<FileJob>, error: Error) -> std::result::Result<Planned, Stopped> {
        job.state().has_failed = true;
        self.links.forget(job.link_group);
        self.report.damaged(job.path.as_bytes(), error);
        if self.report.is_stopped() { Err(Stopped) } else { Ok(Planned::Written) }
    }
}

impl<'h> Cursor<'h> {
    pub(super) fn new(size: u64, holes: &'h [Hole]) -> Self {
        Self { at: 0, size, holes }
    }

    /// Where the next chunk goes, `len` bytes long.
    pub(super) fn next_runs(&mut self, len: u32) -> Result<Vec<Run>> {
        if len == 0 {
            return Err(damage("an empty chunk"));
        }
        let (mut runs, mut skip) = (Vec::with_capacity(1), 0);
        while skip < len {
            let (at, run_len) = self.next_run(len - skip)?;
            runs.push(Run { at, skip, len: run_len });
            skip += run_len;
        }
        Ok(runs)
    }

    /// Where up to `len` more bytes go, without crossing a hole.
    fn next_run(&mut self, len: u32) -> Result<(u64, u32)> {
        self.skip_holes()?;
        let end = self.holes.first().map_or(self.size, |hole| hole.offset.min(self.size));
        let room = end.saturating_sub(self.at);
        if room == 0 {
            return Err(damage("its content is longer than its size"));
        }
        let run = u32::try_from(room).unwrap_or(u32::MAX).min(len);
        let at = self.at;
        self.at += u64::from(run);
        Ok((at, run))
    }

    fn skip_holes(&mut self) -> Result<()> {
        while let Some((hole, rest)) = self.holes.split_first()
            && hole.offset <= self.at
        {
            let end =
                hole.offset.checked_add(hole.len).filter(|end| *end <= self.size && *end > self.at);
            self.at = end.ok_or_else(|| damage("a hole is not within it"))?;
            self.holes = rest;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.skip_holes()?;
        if self.at == self.size {
            Ok(())
        } else {
            Err(damage("its content is shorter than its size"))
        }
    }
}

fn damage(what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("damaged entry: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_flows_around_holes_and_fills_the_size_exactly() {
        let holes =
            [Hole { offset: 0, len: 10 }, Hole { offset: 15, len: 5 }, Hole { offset: 30, len: 2 }];
        let mut cursor = Cursor { at: 0, size: 32, holes: &holes };
        assert_eq!(cursor.next_run(8).unwrap(), (10, 5));
        assert_eq!(cursor.next_run(3).unwrap(), (20, 3));
        assert_eq!(cursor.next_run(100).unwrap(), (23, 7));
        assert!(cursor.next_run(1).is_err());
        let short = Cursor { at: 0, size: 32, holes: &holes };
        assert!(short.finish().is_err());
        let whole = Cursor { at: 0, size: 10, holes: &holes[..1] };
        assert!(whole.finish().is_ok());
        let outside = Cursor { at: 0, size: 9, holes: &holes[..1] };
        assert!(outside.finish().is_err());
    }
}
