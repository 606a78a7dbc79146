//! Benchmarks of the engine; `benches/steps` has them.
