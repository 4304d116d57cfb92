//! Facts and output over HTTP: whole, or as they come.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::header;
use proto::error::{Error, Kind};
use proto::ids::Revision;
use proto::view::EventList;
use serde::Deserialize;

use super::Failure;
use super::query::{Params, Span, switch};
use crate::api::Context;
use crate::limits;
use crate::ops::logs::{LogsQuery, Piece, Portion};
use crate::ops::{self, Caller, EventsQuery};

/// Which facts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsParams {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    subject: String,
    #[serde(default, deserialize_with = "switch")]
    follow: bool,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Option<usize>,
}

/// Which output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsParams {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    task: String,
    #[serde(default, deserialize_with = "switch")]
    follow: bool,
    #[serde(default)]
    tail: Option<u32>,
    #[serde(default)]
    since: Option<Span>,
    #[serde(default, deserialize_with = "switch")]
    stdout: bool,
    #[serde(default, deserialize_with = "switch")]
    stderr: bool,
    #[serde(default, deserialize_with = "switch")]
    all: bool,
    #[serde(default, deserialize_with = "switch")]
    timestamps: bool,
}

/// One list of the most recent facts; with `follow` one fact per line, without end.
pub(super) async fn events(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<EventsParams>,
) -> Result<Response, Failure> {
    let most = limits::EVENTS_PER_LIST;
    let query = EventsQuery {
        namespace: params.namespace,
        subject: params.subject,
        follow: params.follow,
        after: Revision(params.after),
        limit: params.limit.unwrap_or(most).clamp(1, most),
    };
    let lists = ops::events(&context.cluster, &caller, query)?;
    if params.follow {
        return Ok(streamed("application/x-ndjson", lists.map(|list| lines(&list))));
    }
    let list = std::pin::pin!(lists).next().await;
    let none = || Failure(Error::new(Kind::Internal, "the events gave no list"));
    list.map(|list| Json(list).into_response()).ok_or_else(none)
}

fn lines(list: &EventList) -> Bytes {
    let mut text = Vec::new();
    for event in &list.items {
        // Plain data always becomes JSON.
        if serde_json::to_writer(&mut text, event).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}

/// The output of a job or an allocation as plain text; what could not be read is a line that begins with `minijob: `.
pub(super) async fn logs(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(target): Path<String>,
    Params(params): Params<LogsParams>,
) -> Result<Response, Failure> {
    let query = LogsQuery {
        namespace: params.namespace,
        target,
        task: params.task,
        follow: params.follow,
        portion: Portion { tail: params.tail, last: params.since.map(|since| since.0) },
        stdout: params.stdout,
        stderr: params.stderr,
        all: params.all,
        times: params.timestamps,
    };
    let pieces = ops::logs::logs(&context.cluster, &context.sources, &caller, query)?;
    let times = params.timestamps;
    Ok(streamed("text/plain; charset=utf-8", pieces.map(move |piece| text(piece, times))))
}

fn text(piece: Piece, times: bool) -> Bytes {
    let Piece { group, index, task, notice, .. } = &piece;
    if notice.is_empty() {
        return if times { timed(&piece) } else { piece.data };
    }
    // What is of no single task speaks for itself.
    let text = if group.is_empty() { notice.clone() } else { format!("{group}.{index} {task}: {notice}") };
    format!("minijob: {text}\n").into()
}

/// Every line with its time before it; `-` where that is not known.
fn timed(piece: &Piece) -> Bytes {
    let time = piece.time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let mut text = BytesMut::with_capacity(piece.data.len() + 64);
    for line in piece.data.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(time.as_bytes());
        text.extend_from_slice(b" ");
        text.extend_from_slice(line);
    }
    text.freeze()
}

fn streamed(content_type: &'static str, stream: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, content_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body)
        .into_response()
}
