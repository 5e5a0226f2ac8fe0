//! Tests of the house as a whole: one binary, one module for each subject.

// `cfg(test)` is always true here; it tells clippy that the modules are tests, where `unwrap` is fine.
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod source;
#[cfg(test)]
mod tidy;
