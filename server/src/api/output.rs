//! The output of tasks comes from the agents that are connected here.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use proto::error::{Error, Kind};
use proto::time::Timestamp;
use proto::wire::v1::LogsUp;
use tokio::sync::mpsc::Receiver;

use crate::agents::{Hub, LogsSpec};
use crate::ops::logs::{Chunks, Lines, Portion, Sources, Streams, Wanted};

impl Sources for Hub {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Chunks, Error>> {
        let hub = self.clone();
        async move {
            let Wanted { node, alloc, task, streams, follow, portion, since } = wanted;
            let Portion { tail, last } = portion;
            let (both, stderr) = (streams == Streams::Both, streams == Streams::Stderr);
            let spec = LogsSpec { alloc, task, both, stderr, follow, tail, last, since };
            let mut received = hub.open_logs(node, spec.clone()).await?;
            let first = received.recv().await.unwrap_or_default();
            let understood = first.both;
            let chunks = chunks(first, received, stderr);
            if !both || understood {
                return Ok(chunks);
            }
            // An agent that is older than this server reads one stream at a time.
            let spec = LogsSpec { both: false, stderr: true, ..spec };
            let mut received = hub.open_logs(node, spec).await?;
            let first = received.recv().await.unwrap_or_default();
            let others = self::chunks(first, received, true);
            Ok(if follow { stream::select(chunks, others).boxed() } else { chunks.chain(others).boxed() })
        }
        .boxed()
    }
}

fn chunks(first: LogsUp, received: Receiver<LogsUp>, stderr: bool) -> Chunks {
    let received =
        stream::unfold(received, |mut received| async move { Some((received.recv().await?, received)) });
    let messages = stream::once(async move { first }).chain(received);
    messages.flat_map(move |message| stream::iter(lines(message, stderr))).boxed()
}

/// Takes a message apart.
fn lines(message: LogsUp, stderr: bool) -> Vec<Result<Lines, Error>> {
    let LogsUp { mut data, error, lines, gone, .. } = message;
    let mut found = Vec::with_capacity(lines.len() + 1);
    for part in lines {
        let count = usize::try_from(part.bytes).map_or(data.len(), |count| count.min(data.len()));
        let (bytes, time) = (data.split_to(count), part.at_ms.map(Timestamp));
        found.push(Ok(Lines { stderr: part.stderr, time, data: bytes }));
    }
    if !data.is_empty() {
        found.push(Ok(Lines { stderr, time: None, data }));
    }
    if !error.is_empty() {
        let kind = if gone { Kind::NotFound } else { Kind::Unavailable };
        found.push(Err(Error::new(kind, error)));
    }
    found
}

#[cfg(test)]
mod tests {
    use proto::wire::v1::LogLines;

    use super::*;

    #[test]
    fn a_message_is_taken_apart_into_lines_of_one_stream_and_one_time() {
        let parts = vec![
            LogLines { bytes: 4, stderr: false, at_ms: Some(10) },
            LogLines { bytes: 4, stderr: true, at_ms: None },
        ];
        let message = LogsUp { data: "out\nerr\n".into(), lines: parts, ..LogsUp::default() };
        let expected = [
            Ok(Lines { stderr: false, time: Some(Timestamp(10)), data: "out\n".into() }),
            Ok(Lines { stderr: true, time: None, data: "err\n".into() }),
        ];
        assert_eq!(lines(message, false), expected);
        let plain = LogsUp { data: "err\n".into(), ..LogsUp::default() };
        assert_eq!(lines(plain, true), [Ok(Lines { stderr: true, time: None, data: "err\n".into() })]);
        let many = vec![LogLines { bytes: u64::MAX, ..LogLines::default() }];
        let wrong = LogsUp { data: "a\n".into(), lines: many, ..LogsUp::default() };
        assert_eq!(lines(wrong, false).len(), 1, "more than there is, is what there is");
    }

    #[test]
    fn output_that_is_gone_is_told_from_output_that_cannot_be_read_now() {
        let kind = |gone| {
            let message = LogsUp { error: "x".into(), gone, ..LogsUp::default() };
            lines(message, false).pop().and_then(Result::err).map(|error| error.kind)
        };
        assert_eq!((kind(true), kind(false)), (Some(Kind::NotFound), Some(Kind::Unavailable)));
    }
}
