//! What programs have open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{Errno, FileHandle};

/// What was opened and not yet released, by the number the kernel has.
pub struct Handles<T> {
    open: Mutex<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Handles<T> {
    pub fn new() -> Self {
        Self { open: Mutex::default(), next: AtomicU64::new(1) }
    }

    pub fn put(&self, value: T) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(handle, Arc::new(value));
        FileHandle(handle)
    }

    pub fn get(&self, handle: FileHandle) -> Result<Arc<T>, Errno> {
        self.open().get(&handle.into()).cloned().ok_or(Errno::EBADF)
    }

    pub fn remove(&self, handle: FileHandle) {
        self.open().remove(&handle.into());
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
