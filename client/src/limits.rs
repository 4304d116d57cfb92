//! Every bound of this crate, each with its reason.

use std::time::Duration;

/// Bytes of the record of one allocation: a job is at most 192 KiB, and every task adds a tail of 4 KiB at most.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;
