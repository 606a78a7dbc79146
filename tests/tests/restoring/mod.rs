//! Restores over what is there: what is fetched, what is deleted, what is read back, what is left out.

mod deletes;
mod differences;
mod policies;
mod resumes;
mod spares;
