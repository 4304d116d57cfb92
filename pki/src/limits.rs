//! Every bound of certificates and TLS, each with its reason.

use std::time::Duration;

/// How long a look takes at most whether the other side ends a connection by itself: somebody waits for the reason, and it is said at once or not.
pub const REFUSED_WITHIN: Duration = Duration::from_millis(500);
/// How long a member's certificate holds: a machine that was off over a holiday comes back by itself, and one that was thrown out is
/// shut out by time alone, should a peer not have heard of it.
pub const CERTIFICATE_LASTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a cluster's CA holds: longer than the machines. It is changed by order, not by time.
pub const CA_LASTS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far a certificate reaches into the past: a machine whose clock is behind by less takes it at once.
pub const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// How long at most until the clock is looked at again: one that was set is noticed within that.
pub const CLOCK_CHECK: Duration = Duration::from_secs(3600);
/// The shortest pause before a renewal that failed is tried again: servers that come back are not met by everybody at once.
pub const RENEW_AGAIN: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take with the connection before it: two round trips around the world, and again for a lost packet.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a request for a certificate: one for a P-256 key takes 250.
pub const REQUEST_BYTES: usize = 4 << 10;
/// Names and addresses of a server beside its own name: its host's name, and an address in each of a few networks.
pub const HOSTS_MAX: usize = 16;
/// Bytes of a file with keys or certificates: a few certificates take 1 KiB each.
pub const FILE_BYTES: u64 = 256 << 10;
/// Keys of the cluster that hold at once: the one in use and, while it is changed, the next.
pub const KEYS_MAX: usize = 2;
/// How long asking a server for a certificate may take: a connection, two messages, and a disk that is busy.
pub const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// CAs that are believed at once: the one in use and, while it is changed, the next; twice that for who is slow.
pub const TRUSTED_MAX: usize = 4;
