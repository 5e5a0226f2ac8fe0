//! What is made of reports that are there already: a comparison of two, and a page of one.

pub(crate) mod compare;
pub(crate) mod read;
