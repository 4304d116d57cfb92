//! What other servers call.

use proto::error::{Error, Kind};
use proto::wire::v1;
use tonic::{Request, Response, Status};

use super::{Forming, admission, joined, wire};

/// The service.
pub struct Service {
    forming: Forming,
}

impl Service {
    pub(super) fn new(forming: Forming) -> Self {
        Self { forming }
    }
}

#[tonic::async_trait]
impl v1::peer_server::Peer for Service {
    async fn greet(&self, request: Request<v1::PeerGreeting>) -> Result<Response<v1::PeerGreeting>, Status> {
        let greeting = wire::greeting_from_wire(request.into_inner())?;
        let is_stranger = greeting.server.id != self.forming.shared.config.own.id;
        if is_stranger {
            self.forming.hear(greeting);
        }
        Ok(Response::new(wire::greeting_to_wire(&self.forming.greeting())))
    }

    async fn join(&self, request: Request<v1::PeerJoin>) -> Result<Response<v1::PeerJoined>, Status> {
        let from = request.into_inner().from;
        let from = from.ok_or_else(|| Error::new(Kind::Invalid, "nobody asks to join"))?;
        let asks = wire::greeting_from_wire(from)?;
        let leadership = self.forming.shared.cluster.leadership().borrow().clone();
        if !leadership.leading {
            let leader = leadership.leader.ok_or_else(|| {
                Error::new(Kind::Unavailable, "no server leads at the moment, so none can be added")
            })?;
            return Ok(Response::new(v1::PeerJoined { leader }));
        }
        admission::admit(&self.forming, &asks).await?;
        Ok(Response::new(joined()))
    }
}
