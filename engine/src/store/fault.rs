//! A store that fails on purpose, and counts what it is asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Creation, Listed, Staged, Store};
use crate::error::{Error, Kind, Result};

/// What a store can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Get,
    GetRange,
    Len,
    Stage,
    /// Both creating in one step and publishing a staged object.
    Create,
    List,
    Delete,
}

/// When an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing has happened.
    Before,
    /// It has happened, and the reply is lost.
    After,
}

/// Bytes that may still be written.
#[derive(Debug)]
pub(super) struct Quota(AtomicU64);

impl Quota {
    /// Takes `len` bytes of what is left.
    pub(super) fn take(&self, len: usize) -> Result<()> {
        let less = |left: u64| left.checked_sub(len as u64);
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Kind::NoSpace, "the store is full (on purpose)")),
        }
    }
}

#[derive(Debug, Default)]
struct Plan {
    calls: BTreeMap<Operation, u64>,
    total: u64,
    faults: Vec<(Option<Operation>, u64, When)>,
}

/// Wraps a store; fails where it was told to.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
    quota: Arc<Quota>,
}

impl FaultStore {
    /// Wraps `inner`; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let quota = Arc::new(Quota(AtomicU64::new(u64::MAX)));
        Self { inner, plan: Mutex::default(), quota }
    }

    /// Lets the `nth` call from now on (counted from 1) of `operation`, or of any, fail.
    pub fn fail(&self, operation: Option<Operation>, nth: u64, when: When) {
        let mut plan = self.plan();
        let so_far = match operation {
            Some(operation) => plan.calls.get(&operation).copied().unwrap_or(0),
            None => plan.total,
        };
        plan.faults.push((operation, so_far.saturating_add(nth), when));
    }

    /// Lets writing fail with `NoSpace` once `bytes` more have been written.
    pub fn fill_after(&self, bytes: u64) {
        self.quota.0.store(bytes, Ordering::SeqCst);
    }

    /// How often `operation` was asked for.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan().calls.get(&operation).copied().unwrap_or(0)
    }

    /// How often anything was asked for.
    #[must_use]
    pub fn calls_total(&self) -> u64 {
        self.plan().total
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, operation: Operation, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let fault = {
            let mut plan = self.plan();
            plan.total += 1;
            let total = plan.total;
            let calls = plan.calls.entry(operation).or_default();
            *calls += 1;
            let calls = *calls;
            let hit = |fault: &&(Option<Operation>, u64, When)| match fault.0 {
                Some(which) => which == operation && fault.1 == calls,
                None => fault.1 == total,
            };
            plan.faults.iter().find(hit).map(|fault| fault.2)
        };
        let failed = || Error::new(Kind::Unavailable, format!("{operation:?} failed (on purpose)"));
        match fault {
            None => act(),
            Some(When::Before) => Err(failed()),
            Some(When::After) => act().and_then(|_| Err(failed())),
        }
    }
}

impl Store for FaultStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn is_local(&self) -> bool {
        self.inner.is_local()
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        self.run(Operation::Get, || self.inner.get(name, len_max))
    }

    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.run(Operation::GetRange, || self.inner.get_range(name, offset, len))
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.run(Operation::Len, || self.inner.len(name))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation> {
        self.run(Operation::Create, || {
            self.quota.take(bytes.len())?;
            self.inner.create(name, bytes)
        })
    }

    fn stage(&self) -> Result<Staged> {
        let mut staged = self.run(Operation::Stage, || self.inner.stage())?;
        staged.quota = Some(Arc::clone(&self.quota));
        Ok(staged)
    }

    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        self.run(Operation::Create, || self.inner.publish(staged, name))
    }

    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        self.run(Operation::List, || self.inner.list(prefix, each))
    }

    fn modified_ns(&self, name: &str) -> Result<Option<i64>> {
        self.run(Operation::Len, || self.inner.modified_ns(name))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.run(Operation::Delete, || self.inner.delete(name))
    }
}
