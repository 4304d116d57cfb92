//! What members call to get a certificate.

use pki::enrol::{Ask, Grant};
use pki::tls::Peer;
use pki::{Member, Role};
use proto::error::{Error, Kind};
use proto::time::now;
use proto::wire::v1;
use tonic::{Request, Response, Status};

use super::{Enrolment, Error as Failed};
use crate::cluster::Cluster;

/// The service.
pub struct Service {
    enrolment: Enrolment,
    cluster: Cluster,
}

impl Service {
    pub(super) fn new(enrolment: Enrolment, cluster: Cluster) -> Self {
        Self { enrolment, cluster }
    }

    /// Refuses who was thrown out; it would be shut out with the new certificate, too.
    fn may_be_a_member(&self, member: &Member) -> Result<(), Error> {
        if self.enrolment.credentials().denies(member.id) {
            let error = Error::new(Kind::Forbidden, format!("{member} was thrown out of the cluster"));
            return Err(
                error.hint("`minijob operator member allow`, with its name or its id, takes that back")
            );
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl v1::enrol_server::Enrol for Service {
    async fn enrol(&self, request: Request<v1::EnrolAsk>) -> Result<Response<v1::EnrolGrant>, Status> {
        let binding = peer(&request)?.binding;
        let ask = read(request.into_inner())?;
        let secrets = self.enrolment.shared.keys.to_enrol();
        let secret = ask.check(&secrets, &binding);
        let secret = secret.map_err(|refused| Error::new(Kind::Forbidden, refused.to_string()))?;
        self.may_be_a_member(&ask.member)?;
        let state = self.cluster.snapshot();
        let ca = self.enrolment.authority(&state).map_err(failed)?;
        let granted = self.enrolment.granted(&state, &ca).map_err(failed)?;
        let certificate = ca.issue(&ask.request, &ask.member, &ask.hosts, now());
        let certificate = certificate.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        tracing::info!(member = %ask.member, "enrolled");
        let Grant { certificate, trust, proof } = ask.grant(secret, &binding, certificate, granted.trust);
        let authority = if ask.member.role == Role::Server { granted.sealed } else { Vec::new() };
        Ok(Response::new(v1::EnrolGrant {
            certificate: certificate.into(),
            trust,
            proof: proof.to_vec().into(),
            authority: authority.into(),
        }))
    }

    async fn renew(&self, request: Request<v1::RenewAsk>) -> Result<Response<v1::RenewGrant>, Status> {
        let member = peer(&request)?.identity.as_ref().map(|identity| identity.member.clone());
        let member = member.ok_or_else(|| {
            Error::new(Kind::Forbidden, "only a member renews its certificate, and shows the one that it has")
        })?;
        self.may_be_a_member(&member)?;
        let state = self.cluster.snapshot();
        let ca = self.enrolment.authority(&state).map_err(failed)?;
        let certificate = ca.issue(&request.get_ref().request, &member, &[], now());
        let certificate = certificate.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        let trust = self.enrolment.granted(&state, &ca).map_err(failed)?.trust;
        tracing::info!(%member, "its certificate is renewed");
        Ok(Response::new(v1::RenewGrant { certificate: certificate.into(), trust }))
    }
}

fn peer<T>(request: &Request<T>) -> Result<&Peer, Error> {
    let peer = request.extensions().get::<Peer>();
    peer.ok_or_else(|| Error::new(Kind::Refused, "certificates are asked for over TLS"))
}

fn read(ask: v1::EnrolAsk) -> Result<Ask, Error> {
    let bad = || Error::new(Kind::Invalid, "what is asked cannot be read: are both of the same version?");
    let role = Role::of_word(&ask.role).ok_or_else(bad)?;
    Ok(Ask {
        member: Member { role, name: ask.name, id: ask.id },
        hosts: ask.hosts,
        request: ask.request.to_vec(),
        proof: ask.proof.as_ref().try_into().map_err(|_| bad())?,
    })
}

/// What a member is told: it can do nothing about this server's troubles but ask another one.
fn failed(error: Failed) -> Error {
    let is_early = matches!(error, Failed::None);
    let message = error.to_string();
    if !is_early {
        tracing::error!(why = message, "nobody can enrol with this server");
    }
    Error::new(Kind::Unavailable, message)
}
