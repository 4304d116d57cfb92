//! What may not come in, checked without any tool; `deny.toml` says more and `tests/run --long` asks it.

use crate::source::{must_be_empty, root};

/// Crates that must not be in the lock file, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "doubles the build; TLS uses ring"),
    ("openssl-sys", "a system library"),
    ("protobuf-src", "the wire contract is compiled without protoc"),
    ("serde_yaml", "archived"),
    ("bincode", "RUSTSEC-2025-0141"),
];

#[test]
fn banned_crates_stay_out() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file is committed");
    let banned = |(name, _): &&(&str, &str)| lock.contains(&format!("name = \"{name}\"\n"));
    let faults: Vec<String> =
        BANNED.iter().filter(banned).map(|(name, reason)| format!("{name}: {reason}")).collect();
    must_be_empty(&faults, "banned crates stay out");
}

/// What decides about data is pinned exactly: a newer minor version is a decision, not an update.
#[test]
fn stores_are_pinned() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    for pinned in ["openraft = { version = \"=", "sled = \"="] {
        assert!(manifest.contains(pinned), "{pinned} is not pinned");
    }
}
