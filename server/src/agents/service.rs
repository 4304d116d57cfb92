//! The gRPC service that agents dial. It answers at once; a task of its own serves the stream.

use pki::tls::Peer;
use proto::wire::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Hub, exec, logs, session};
use crate::limits::SESSION_MESSAGES_QUEUED;

/// See the module.
pub struct Service {
    hub: Hub,
}

impl Service {
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub }
    }
}

#[tonic::async_trait]
impl v1::agent_server::Agent for Service {
    type SessionStream = ReceiverStream<Result<v1::ServerMessage, Status>>;
    type LogsStream = ReceiverStream<Result<v1::LogsDown, Status>>;
    type ExecStream = ReceiverStream<Result<v1::ExecInput, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (out, messages) = mpsc::channel(SESSION_MESSAGES_QUEUED);
        let shown = request.extensions().get::<Peer>().and_then(|peer| peer.identity.as_ref());
        let shown = shown.map(|identity| identity.member.clone());
        tokio::spawn(session::run(self.hub.clone(), shown, request.into_inner(), out));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn logs(
        &self,
        request: Request<Streaming<v1::LogsUp>>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let hub = self.hub.clone();
        // One message at most: why it ended.
        let (end, down) = mpsc::channel(1);
        tokio::spawn(async move {
            let served = tokio::select! {
                served = logs::serve(hub.log_dials(), request.into_inner()) => served,
                () = hub.closing().cancelled() => Err(Status::unavailable("the server is stopping")),
            };
            if let Err(status) = served {
                end.try_send(Err(status)).ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(down)))
    }

    async fn exec(
        &self,
        request: Request<Streaming<v1::ExecUp>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let mut up = request.into_inner();
        let exec::Joint { output, input } = exec::admit(self.hub.exec_dials(), &mut up).await?;
        let hub = self.hub.clone();
        tokio::spawn(async move {
            // When the server stops, who listens sees the output end without an end.
            tokio::select! {
                () = exec::hand_on(up, output) => {}
                () = hub.closing().cancelled() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(input)))
    }
}
