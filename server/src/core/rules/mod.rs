//! Leader duties.
