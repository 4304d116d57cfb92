//! What a reader of output sees: a real cluster that leads, and sources under the test's hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::ops::testing::job;
use crate::ops::testing::live::{Live, SOON};

type Writer = mpsc::Sender<Result<Bytes, Error>>;

/// Sources that say what the test writes; every opening is noted.
#[derive(Default)]
struct Desk {
    opened: Mutex<Vec<Wanted>>,
    writers: Mutex<BTreeMap<(AllocId, bool), Writer>>,
}

impl Sources for Desk {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Chunks, Error>> {
        let (writer, chunks) = mpsc::channel(8);
        self.writers.lock().unwrap().insert((wanted.alloc, wanted.stderr), writer);
        self.opened.lock().unwrap().push(wanted);
        async move { Ok(ReceiverStream::new(chunks).boxed()) }.boxed()
    }
}

impl Desk {
    async fn writer(&self, alloc: AllocId, stderr: bool) -> Writer {
        let wait = async {
            loop {
                if let Some(writer) = self.writers.lock().unwrap().remove(&(alloc, stderr)) {
                    return writer;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.expect("the source is opened in time")
    }
}

async fn next(pieces: &mut (impl Stream<Item = Piece> + Unpin)) -> Option<Piece> {
    timeout(SOON, pieces.next()).await.expect("a piece, or the end, in time")
}

fn query(follow: bool) -> LogsQuery {
    LogsQuery {
        target: "web".into(),
        follow,
        portion: Portion { tail: Some(3), last: None },
        stdout: true,
        ..LogsQuery::default()
    }
}

/// A job of one slot that runs on node 1.
async fn running_job() -> (Live, AllocId) {
    let live = Live::leading().await;
    live.node(1).await;
    live.put(&job("web", 1)).await;
    let id = live.placed("web", 1).await;
    live.all_run(1).await;
    (live, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_goes_on_through_a_replacement_and_ends_when_the_job_is_stopped() {
    let (live, first) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let writer = desk.writer(first, false).await;
    writer.send(Ok("one\ntw".into())).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "one\n");
    writer.send(Ok("o\nrest".into())).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "two\n");
    drop(writer);
    assert_eq!(next(&mut pieces).await.expect("the rest").data, "rest", "also without its end of line");

    live.node(2).await;
    live.lose(1).await;
    let second = live.placed("web", 2).await;
    live.all_run(2).await;
    let writer = desk.writer(second, false).await;
    writer.send(Ok("again\n".into())).await.unwrap();
    let piece = next(&mut pieces).await.expect("a line");
    assert_eq!((piece.alloc, piece.data.as_ref()), (second, b"again\n".as_slice()));
    let tails: Vec<_> =
        desk.opened.lock().unwrap().iter().map(|wanted| (wanted.alloc, wanted.portion.tail)).collect();
    assert_eq!(tails, [(first, Some(3)), (second, None)], "of a replacement everything is new");

    live.stop("web").await;
    live.all_stopped(2).await;
    drop(writer);
    assert_eq!(next(&mut pieces).await, None, "although the lost one may still run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_breaks_off_is_opened_again_and_its_reader_is_told_once() {
    let (live, id) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let broken = Error::new(Kind::Unavailable, "the connection to the agent broke");
    desk.writer(id, false).await.send(Err(broken)).await.unwrap();
    let told = next(&mut pieces).await.expect("a notice");
    assert_eq!(told.notice, "the connection to the agent broke; lines may be missing");
    desk.writer(id, false).await.send(Ok("on\n".into())).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "on\n");
    let tails: Vec<_> = desk.opened.lock().unwrap().iter().map(|wanted| wanted.portion.tail).collect();
    assert_eq!(tails, [Some(3), Some(0)], "what was read is not read again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_ends_the_reading() {
    let (live, id) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let writer = desk.writer(id, false).await;
    drop(pieces);
    timeout(SOON, writer.closed()).await.expect("the source is closed in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_following_sources_are_read_one_after_the_other() {
    let (live, id) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let both = LogsQuery { stdout: false, ..query(false) };
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), both).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let out = desk.writer(id, false).await;
    out.send(Ok("out\n".into())).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "out\n");
    assert_eq!(desk.opened.lock().unwrap().len(), 1, "the second waits for its turn");
    drop(out);
    desk.writer(id, true).await.send(Ok("err\n".into())).await.unwrap();
    let piece = next(&mut pieces).await.expect("a line");
    assert_eq!((piece.stderr, piece.data.as_ref()), (true, b"err\n".as_slice()));
    assert_eq!(next(&mut pieces).await, None);
    assert!(desk.opened.lock().unwrap().iter().all(|wanted| !wanted.follow));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_the_same_of_both_streams_of_a_task_is_told_once() {
    let (live, id) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let both = LogsQuery { stdout: false, ..query(false) };
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), both).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    for stderr in [false, true] {
        let removed = Error::new(Kind::NotFound, "it was removed");
        desk.writer(id, stderr).await.send(Err(removed)).await.unwrap();
    }
    assert_eq!(next(&mut pieces).await.expect("a notice").notice, "it was removed");
    assert_eq!(next(&mut pieces).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_source_of_a_lost_node_does_not_keep_its_reader_busy() {
    let (live, first) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let writer = desk.writer(first, false).await;
    live.node(2).await;
    live.lose(1).await;
    let second = live.placed("web", 2).await;
    live.all_run(2).await;
    writer.send(Err(Error::new(Kind::Unavailable, "gone"))).await.unwrap();
    assert!(next(&mut pieces).await.expect("a notice").notice.starts_with("gone"));
    let again = desk.writer(second, false).await;
    again.send(Ok("here\n".into())).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "here\n");
    let opened: Vec<_> = desk.opened.lock().unwrap().iter().map(|wanted| wanted.alloc).collect();
    assert_eq!(opened, [first, second], "the replaced one is not asked again");
}
