//! The process driver keeps every promise of a driver, however trees are tracked.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use client::driver::conformance;
use support::Host;

#[tokio::test]
async fn with_control_groups_v2() {
    conformance::all(&Host::new("v2")).await;
}

#[tokio::test]
async fn with_control_groups_v1() {
    conformance::all(&Host::new("v1")).await;
}

#[tokio::test]
async fn without_control_groups() {
    conformance::all(&Host::new("off")).await;
}
