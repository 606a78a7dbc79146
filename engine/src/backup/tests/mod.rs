mod capture;
mod checkpoint;
mod fence;
mod store;
