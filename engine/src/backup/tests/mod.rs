mod capture;
mod checkpoint;
mod delta;
mod fence;
mod old_bytes;
mod old_bytes_harm;
mod store;
