//! The output of tasks comes from the agents that are connected here.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use proto::error::{Error, Kind};

use crate::agents::{Hub, LogsSpec};
use crate::ops::logs::{Chunks, Portion, Sources, Wanted};

impl Sources for Hub {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Chunks, Error>> {
        let hub = self.clone();
        async move {
            let Wanted { node, alloc, task, stderr, follow, portion } = wanted;
            let Portion { tail, last } = portion;
            let spec = LogsSpec { alloc, task, stderr, follow, tail, last };
            let received = hub.open_logs(node, spec).await?;
            let chunks = stream::unfold(received, |mut received| async move {
                let up = received.recv().await?;
                let chunk = match up.error.is_empty() {
                    true => Ok(up.data),
                    false => Err(Error::new(Kind::Unavailable, up.error)),
                };
                Some((chunk, received))
            });
            Ok(chunks.boxed())
        }
        .boxed()
    }
}
