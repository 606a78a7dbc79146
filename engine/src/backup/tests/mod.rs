mod capture;
mod checkpoint;
mod delta;
mod fence;
mod store;
