//! Whatever comes over the wire costs little and breaks nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{Rig, SOON};
use crate::limits;

async fn still_well(rig: &Rig) {
    assert_eq!(rig.ask("GET /v1/jobs").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_or_cut_off_and_nothing_else_happens() {
    let rig = Rig::leading().await;
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let endless_head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let h2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &noise].concat();
    let cases: [&[u8]; 7] = [
        &noise,
        b"\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        endless_head.as_bytes(),
        many.as_bytes(),
        &h2,
        b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ];
    for (number, bytes) in cases.into_iter().enumerate() {
        let answer = rig.raw(bytes).await;
        assert!(!answer.contains(" 200 "), "case {number}: {answer}");
    }
    still_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_by_its_length() {
    let rig = Rig::leading().await;
    let body = json!({ "job_file": "x".repeat(limits::HTTP_BODY_BYTES) });
    let answer = rig.post("/v1/jobs", &body).await;
    assert_eq!((answer.status, answer.json()["kind"].as_str()), (413, Some("too_large")), "{}", answer.head);
    still_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_says_little_or_nothing_is_cut_off_in_seconds() {
    let rig = Rig::leading().await;
    let most = limits::FIRST_REQUEST_WITHIN + limits::STRANGER_ENDS_WITHIN + Duration::from_secs(4);
    let silence = |first: &'static [u8]| {
        let addr = rig.addr;
        async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(first).await.unwrap();
            let since = Instant::now();
            let mut rest = Vec::new();
            timeout(SOON, stream.read_to_end(&mut rest)).await.expect("an end").ok();
            since.elapsed()
        }
    };
    let health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let took = tokio::join!(
        silence(b""),
        silence(b"G"),
        silence(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        silence(health)
    );
    for took in [took.0, took.1, took.2, took.3] {
        assert!(took < most, "{took:?}");
    }
    still_well(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_showed_the_token_stays_and_many_strangers_do_not_take_its_place() {
    let rig = Rig::leading().await;
    let mut known = TcpStream::connect(rig.addr).await.unwrap();
    let revision = rig.cluster.snapshot().revision.0;
    let wait = (limits::FIRST_REQUEST_WITHIN + limits::STRANGER_ENDS_WITHIN).as_secs() + 2;
    let head = format!(
        "GET /v1/jobs?wait={wait}s&revision={revision} HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n",
        rig.bearer()
    );
    known.write_all(head.as_bytes()).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..limits::STRANGERS_MAX / 2 {
        strangers.push(TcpStream::connect(rig.addr).await.unwrap());
    }
    still_well(&rig).await;
    let mut answer = [0; 15];
    timeout(SOON, known.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK", "the long read outlived the time that strangers have");
}
