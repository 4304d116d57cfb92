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

type Writer = mpsc::Sender<Result<Lines, Error>>;

/// Sources that say what the test writes; every opening is noted.
#[derive(Default)]
struct Desk {
    opened: Mutex<Vec<Wanted>>,
    writers: Mutex<BTreeMap<AllocId, Writer>>,
}

impl Sources for Desk {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Chunks, Error>> {
        let (writer, chunks) = mpsc::channel(8);
        self.writers.lock().unwrap().insert(wanted.alloc, writer);
        self.opened.lock().unwrap().push(wanted);
        async move { Ok(ReceiverStream::new(chunks).boxed()) }.boxed()
    }
}

impl Desk {
    async fn writer(&self, alloc: AllocId) -> Writer {
        let wait = async {
            loop {
                if let Some(writer) = self.writers.lock().unwrap().remove(&alloc) {
                    return writer;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.expect("the source is opened in time")
    }
}

fn line(stderr: bool, ms: u64, text: &'static str) -> Result<Lines, Error> {
    Ok(Lines { stderr, time: (ms > 0).then_some(Timestamp(ms)), data: text.into() })
}

fn out(ms: u64, text: &'static str) -> Result<Lines, Error> {
    line(false, ms, text)
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
    let writer = desk.writer(first).await;
    writer.send(out(0, "one\ntw")).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "one\n");
    writer.send(out(0, "o\nrest")).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "two\n");
    drop(writer);
    assert_eq!(next(&mut pieces).await.expect("the rest").data, "rest", "also without its end of line");

    live.node(2).await;
    live.lose(1).await;
    let second = live.placed("web", 2).await;
    live.all_run(2).await;
    let writer = desk.writer(second).await;
    writer.send(out(0, "again\n")).await.unwrap();
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
async fn a_source_that_breaks_off_goes_on_behind_its_last_line_and_its_reader_is_told_once() {
    let (live, id) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let writer = desk.writer(id).await;
    writer.send(out(5_000, "one\n")).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "one\n");
    writer.send(Err(Error::new(Kind::Unavailable, "the connection broke"))).await.unwrap();
    let told = next(&mut pieces).await.expect("a notice");
    let expected =
        "node n1: the connection broke; it goes on behind the last line as soon as that can be read";
    assert_eq!((told.notice.as_str(), told.missing), (expected, false));
    let writer = desk.writer(id).await;
    writer.send(out(5_000, "one\ntwo\n")).await.unwrap();
    writer.send(out(6_000, "three\n")).await.unwrap();
    let mut meanwhile = Vec::new();
    while meanwhile.len() < b"two\nthree\n".len() {
        meanwhile.extend_from_slice(&next(&mut pieces).await.expect("written meanwhile").data);
    }
    assert_eq!(meanwhile, b"two\nthree\n", "what was shown is not shown again");
    let opened: Vec<_> =
        desk.opened.lock().unwrap().iter().map(|wanted| (wanted.portion.tail, wanted.since)).collect();
    assert_eq!(opened, [(Some(3), None), (None, Some(Timestamp(4_000)))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_lines_have_no_times_a_reader_is_told_that_some_may_be_missing() {
    let (live, id) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let writer = desk.writer(id).await;
    writer.send(out(0, "one\n")).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "one\n");
    writer.send(Err(Error::new(Kind::Unavailable, "the connection broke"))).await.unwrap();
    let told = next(&mut pieces).await.expect("a notice");
    assert_eq!(told.notice, "node n1: the connection broke; lines may be missing");
    desk.writer(id).await.send(out(0, "on\n")).await.unwrap();
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
    let writer = desk.writer(id).await;
    drop(pieces);
    timeout(SOON, writer.closed()).await.expect("the source is closed in time");
}

/// A job of two slots that run on two nodes.
async fn two_running() -> (Live, [AllocId; 2]) {
    let live = Live::leading().await;
    live.node(1).await;
    live.node(2).await;
    live.put(&job("web", 2)).await;
    let ids = [live.placed("web", 1).await, live.placed("web", 2).await];
    live.all_run(1).await;
    live.all_run(2).await;
    (live, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_merged_in_the_order_of_time_with_each_source_in_its_own_order() {
    let (live, [first, second]) = two_running().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let both = LogsQuery { stdout: false, times: true, ..query(false) };
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), both).expect("opened");
    let (one, other) = (desk.writer(first).await, desk.writer(second).await);
    for lines in [out(10, "a\n"), line(true, 30, "c\n"), out(25, "clock went back\n"), out(0, "no time\n")] {
        one.send(lines).await.unwrap();
    }
    for lines in [out(20, "b\n"), out(40, "d\nno end")] {
        other.send(lines).await.unwrap();
    }
    drop((one, other));
    let pieces: Vec<Piece> = timeout(SOON, pieces.collect()).await.expect("it ends");
    let shown = |piece: &Piece| {
        let text = String::from_utf8(piece.data.to_vec()).expect("text");
        (piece.alloc, piece.stderr, piece.time.map(|time| time.0), text)
    };
    let shown: Vec<_> = pieces.iter().map(shown).collect();
    let expected = [
        (first, false, Some(10), "a\n"),
        (second, false, Some(20), "b\n"),
        (first, true, Some(30), "c\n"),
        (first, false, Some(25), "clock went back\n"),
        (first, false, None, "no time\n"),
        (second, false, Some(40), "d\n"),
        (second, false, Some(40), "no end"),
    ];
    assert_eq!(shown, expected.map(|(alloc, stderr, ms, text)| (alloc, stderr, ms, text.to_owned())));
    let opened = desk.opened.lock().unwrap();
    assert!(opened.iter().all(|wanted| !wanted.follow && wanted.streams == Streams::Both));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_is_gone_is_told_and_output_that_breaks_off_is_missing() {
    for (kind, missing) in [(Kind::NotFound, false), (Kind::Unavailable, true)] {
        let (live, id) = running_job().await;
        let desk = Arc::new(Desk::default());
        let sources: Arc<dyn Sources> = desk.clone();
        let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(false)).expect("opened");
        let mut pieces = std::pin::pin!(pieces);
        desk.writer(id).await.send(Err(Error::new(kind, "it was removed"))).await.unwrap();
        let told = next(&mut pieces).await.expect("a notice");
        assert_eq!((told.notice.as_str(), told.missing), ("it was removed", missing));
        assert_eq!(next(&mut pieces).await, None);
    }
}

/// Sources of which none can be opened.
struct Away;

impl Sources for Away {
    fn open(&self, _: Wanted) -> BoxFuture<'static, Result<Chunks, Error>> {
        async { Err(Error::new(Kind::Unavailable, "the node is not connected")) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_node_that_is_down_one_sentence_names_it_and_what_cannot_be_read() {
    let (live, _) = running_job().await;
    live.lose(1).await;
    for follow in [false, true] {
        let sources: Arc<dyn Sources> = Arc::new(Away);
        let both = LogsQuery { stdout: false, ..query(follow) };
        let pieces = logs(&live.cluster, &sources, &Caller::operator(), both).expect("opened");
        let mut pieces = std::pin::pin!(pieces);
        let told = next(&mut pieces).await.expect("a notice");
        assert!(told.missing && told.notice.contains(" has been down for "), "{told:?}");
        assert!(told.notice.contains("the output of web.web.0 there cannot be read"), "{told:?}");
        if follow {
            let more = timeout(Duration::from_millis(1500), pieces.next()).await;
            assert!(more.is_err(), "said once: {more:?}");
        } else {
            assert_eq!(next(&mut pieces).await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_source_of_a_lost_node_does_not_keep_its_reader_busy() {
    let (live, first) = running_job().await;
    let desk = Arc::new(Desk::default());
    let sources: Arc<dyn Sources> = desk.clone();
    let pieces = logs(&live.cluster, &sources, &Caller::operator(), query(true)).expect("opened");
    let mut pieces = std::pin::pin!(pieces);
    let writer = desk.writer(first).await;
    live.node(2).await;
    live.lose(1).await;
    let second = live.placed("web", 2).await;
    live.all_run(2).await;
    writer.send(Err(Error::new(Kind::Unavailable, "gone"))).await.unwrap();
    assert!(next(&mut pieces).await.expect("a notice").notice.starts_with("node n1: gone"));
    let again = desk.writer(second).await;
    again.send(out(0, "here\n")).await.unwrap();
    assert_eq!(next(&mut pieces).await.expect("a line").data, "here\n");
    let opened: Vec<_> = desk.opened.lock().unwrap().iter().map(|wanted| wanted.alloc).collect();
    assert_eq!(opened, [first, second], "the replaced one is not asked again");
}

#[test]
fn what_of_the_past_is_left_out_is_said_in_one_number() {
    assert_eq!(left_out(0), None);
    let said = |allocs| left_out(allocs).expect("some");
    assert_eq!(said(1), "the output of an older allocation is left out: ask for all (`--all`), or name it");
    assert!(said(4).starts_with("the output of 4 older allocations is left out:"), "{}", said(4));
}
