mod capture;
mod fence;
mod store;
