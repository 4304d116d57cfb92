//! The house checks itself: layers, purity of `core/`, limits with reasons, examples and snippets that parse, banned crates.

mod dependencies;
mod layers;
mod limits;
mod purity;
mod snippets;
mod source;
