//! Which members may call which service.

use pki::Role;
use pki::tls::Peer;
use tonic::{Request, Status};

/// Lets members with a role call a service, and nobody else: to be put before a service (`InterceptedService::new(service, only(role))`)
/// on a port with TLS. There is no token that opens it, and without TLS it is shut.
pub fn only(
    role: Role,
) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone + Send + Sync + 'static {
    move |request| match request.extensions().get::<Peer>() {
        Some(peer) if peer.is(role) => Ok(request),
        Some(Peer { identity: Some(identity), .. }) => {
            Err(Status::permission_denied(format!("only a {role} may call this, not {}", identity.member)))
        }
        _ => Err(Status::permission_denied(format!(
            "only a {role} of this cluster may call this, and shows its certificate: enrol it with the cluster's key file"
        ))),
    }
}
