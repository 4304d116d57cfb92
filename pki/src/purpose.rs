//! What the cluster's key is used for: each purpose has a secret of its own (`ClusterKey::secret`), and the names are never changed.

/// That who connects is a server, or will be one: [`crate::tls::Keys`].
pub const PEER: &str = "peer";
/// That who asks for a first certificate has the key, and who grants it: [`crate::enrol`].
pub const ENROL: &str = "enrol";
/// The CA's private key, where others may read: [`crate::seal`]; also the label there.
pub const AUTHORITY: &str = "authority";
