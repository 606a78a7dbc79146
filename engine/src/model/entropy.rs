//! Randomness as a value, so that a run with the same randomness and input gives the same output.

use std::sync::Mutex;

/// A source of random bytes: the operating system's, or a fixed stream for vectors and tests.
#[derive(Debug)]
pub struct Entropy(Option<Mutex<blake3::OutputReader>>);

impl Entropy {
    /// The operating system's random number generator.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A fixed stream of bytes: BLAKE3 of `seed`, extended. For vectors, tests, and rehearsals that
    /// store nothing.
    #[must_use]
    pub fn fixed(seed: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(seed);
        Self(Some(Mutex::new(hasher.finalize_xof())))
    }

    /// Randomness of its own for one thread, so that what a fixed stream gives does not depend on
    /// which thread asks first.
    #[must_use]
    pub fn split(&self) -> Self {
        match &self.0 {
            None => Self(None),
            Some(_) => Self::fixed(&self.bytes::<32>()),
        }
    }

    /// Fills `bytes`.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing can be sealed safely then.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.0 {
            None => getrandom::fill(bytes).expect("the operating system gives random bytes"),
            Some(stream) => match stream.lock() {
                Ok(mut reader) => reader.fill(bytes),
                Err(poisoned) => poisoned.into_inner().fill(bytes),
            },
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}
