//! Promises of the whole: what people wrote is what they get, and nothing they write can harm.

mod errors;
mod examples;
mod forms;
mod given;
mod hostile;
