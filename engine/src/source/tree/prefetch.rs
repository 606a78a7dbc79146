//! Work done ahead of the consumer by a few threads: nearest first, and bounded in bytes.
//!
//! The consumer never waits for room: what it wants and nobody has begun it does itself. So the
//! threads may stop at any bound, or not exist at all, and the walk still ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::exclude::Rules;
use super::listing::{Batch, Lister, Task};

/// Threads that work ahead.
const WORKER_COUNT: usize = 2;
/// Bytes of results that wait for the consumer; more than what it uses up while a thread wakes.
const HELD_BYTES_MAX: usize = 8 << 20;

/// One piece of work and, later, its result.
#[derive(Debug)]
pub(super) struct Slot(Mutex<Step>);

#[derive(Debug)]
enum Step {
    Waiting(Box<Task>),
    Running,
    Done(Box<Batch>),
    /// The consumer has it, or nobody will.
    Gone,
}

impl Slot {
    pub(super) fn new(task: Task) -> Self {
        Self(Mutex::new(Step::Waiting(Box::new(task))))
    }

    fn lock(&self) -> MutexGuard<'_, Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_waiting(&self) -> bool {
        matches!(*self.lock(), Step::Waiting(_))
    }

    /// Takes the work, if nobody has begun it.
    fn begin(&self) -> Option<Box<Task>> {
        let mut step = self.lock();
        match std::mem::replace(&mut *step, Step::Running) {
            Step::Waiting(task) => Some(task),
            other => {
                *step = other;
                None
            }
        }
    }
}

impl Drop for Slot {
    /// Drops what hangs on the result one by one: a deep tree must not exhaust the stack.
    fn drop(&mut self) {
        let step = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Step::Done(batch) = std::mem::replace(step, Step::Gone) else {
            return;
        };
        let mut hanging: Vec<_> = batch.into_following().collect();
        while let Some(slot) = hanging.pop() {
            // Another holder drops its own.
            let Some(mut slot) = Arc::into_inner(slot) else {
                continue;
            };
            let step = slot.0.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Step::Done(batch) = std::mem::replace(step, Step::Gone) {
                hanging.extend(batch.into_following());
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Work to do; the nearest to the consumer last.
    ready: Vec<Arc<Slot>>,
    held_bytes: usize,
    idle_count: usize,
    consumer_waits: bool,
    is_stopped: bool,
}

/// The work of one walk.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// There is work and room.
    work: Condvar,
    /// A result is there.
    done: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; none when the walk is over.
    fn next(&self) -> Option<(Arc<Slot>, Box<Task>)> {
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            if state.held_bytes < HELD_BYTES_MAX {
                while let Some(slot) = state.ready.pop() {
                    if let Some(task) = slot.begin() {
                        return Some((slot, task));
                    }
                }
            }
            state.idle_count += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle_count -= 1;
        }
    }

    /// Hands in a worker's result.
    fn finish(&self, slot: &Slot, batch: Option<Batch>) {
        let mut state = self.lock();
        *slot.lock() = match batch {
            Some(batch) => {
                state.held_bytes += batch.held_bytes();
                self.push(&mut state, &batch);
                Step::Done(Box::new(batch))
            }
            None => Step::Gone,
        };
        if state.consumer_waits {
            self.done.notify_one();
        }
    }

    /// Makes what follows from `batch` the nearest work.
    fn push(&self, state: &mut State, batch: &Batch) {
        state.ready.extend(batch.following().rev().cloned());
        // A notice is a system call even if nobody listens.
        if state.idle_count > 0 && !state.ready.is_empty() && state.held_bytes < HELD_BYTES_MAX {
            self.work.notify_all();
        }
    }

    /// The result of `slot`: from a worker, or done here and now.
    fn take(&self, slot: &Slot, lister: &mut Lister) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            let mut step = slot.lock();
            match std::mem::replace(&mut *step, Step::Gone) {
                Step::Waiting(task) => {
                    drop(step);
                    while state.ready.last().is_some_and(|slot| !slot.is_waiting()) {
                        state.ready.pop();
                    }
                    drop(state);
                    let batch = lister.run(*task);
                    self.push(&mut self.lock(), &batch);
                    return Some(batch);
                }
                Step::Done(batch) => {
                    state.held_bytes = state.held_bytes.saturating_sub(batch.held_bytes());
                    // Not at once: a thread that wakes for each result works for none.
                    if state.idle_count > 0
                        && state.held_bytes < HELD_BYTES_MAX / 2
                        && !state.ready.is_empty()
                    {
                        self.work.notify_all();
                    }
                    return Some(*batch);
                }
                Step::Running => {
                    *step = Step::Running;
                    drop(step);
                    state.consumer_waits = true;
                    state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.consumer_waits = false;
                }
                Step::Gone => return None,
            }
        }
    }
}

/// The threads that work ahead. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Prefetch {
    queue: Arc<Queue>,
    lister: Lister,
    workers: Vec<JoinHandle<()>>,
}

impl Prefetch {
    pub(super) fn start(rules: &Arc<Rules>) -> Self {
        let queue = Arc::new(Queue::default());
        let workers = (0..WORKER_COUNT).filter_map(|_| {
            let (queue, mut lister) = (Arc::clone(&queue), Lister::new(rules));
            let work = move || {
                while let Some((slot, task)) = queue.next() {
                    // Whatever happens here, the consumer must not wait for ever.
                    let result = catch_unwind(AssertUnwindSafe(|| lister.run(*task)));
                    queue.finish(&slot, result.ok());
                }
            };
            // Without a thread the consumer does all by itself.
            thread::Builder::new().name("walk".to_owned()).spawn(work).ok()
        });
        let workers = workers.collect();
        Self { queue, lister: Lister::new(rules), workers }
    }

    /// The result of `slot`; none if the work failed for a fault of our own.
    pub(super) fn take(&mut self, slot: &Slot) -> Option<Batch> {
        self.queue.take(slot, &mut self.lister)
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.queue.lock().is_stopped = true;
        self.queue.work.notify_all();
        for worker in self.workers.drain(..) {
            // A panic has been printed where it happened.
            let _ = worker.join();
        }
    }
}
