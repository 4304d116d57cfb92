use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::cluster::Cluster;
use tests::process::is_alive;
use tests::wait::until;

use crate::{http, memory};

/// What hostile input may cost in memory, whatever there is of it.
const MEMORY: u64 = 64 << 20;

/// How long anybody may wait for an answer meanwhile.
const WELL_WITHIN: Duration = Duration::from_secs(2);

/// Promise 49, for what a server of this version offers: hostile input costs bounded memory, and the server goes on answering.
#[test]
fn garbage_costs_nothing_and_stops_nobody() {
    under_watch(|cluster| {
        let noise: Vec<u8> = (0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
        let giant_frame = [preface, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], &noise].concat();
        let endless_head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'x'; 4 << 20]].concat();
        let cases = [
            noise.clone(),
            [preface, &noise].concat(),
            giant_frame,
            endless_head,
            vec![0x16, 3, 1, 2, 0, 1, 0],
        ];
        for bytes in cases.iter().cycle().take(50) {
            let Ok(mut stream) = TcpStream::connect(cluster.addr()) else { continue };
            stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            stream.write_all(bytes).ok();
        }
    });
}

/// A body of 1 GB is refused when it has been read to the bound, with its length told or not, with the token or without.
#[test]
fn a_body_of_a_gigabyte_is_refused_at_its_beginning() {
    under_watch(|cluster| {
        let token = format!("Authorization: Bearer {}\r\n", cluster.token());
        for (bearer, length) in [(&*token, true), (&token, false), ("", true), ("", false)] {
            let (sent, answer) = gigabyte(cluster.addr(), bearer, length);
            let expected = if bearer.is_empty() { " 403 " } else { " 413 " };
            // The rest of what went out is in the buffers of the two sockets.
            assert!(sent < 32 << 20, "{sent} bytes were taken");
            assert!(answer.is_empty() || answer.contains(expected), "{answer}");
        }
    });
}

/// Sends as much of a gigabyte as is taken; how much that was, and the beginning of the answer.
fn gigabyte(addr: &str, bearer: &str, length_is_told: bool) -> (u64, String) {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let framing = if length_is_told { "Content-Length: 1073741824" } else { "Transfer-Encoding: chunked" };
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{bearer}{framing}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the head is taken");
    let mut piece = vec![b'x'; 64 << 10];
    if !length_is_told {
        piece = [b"10000\r\n".as_slice(), &piece, b"\r\n"].concat();
    }
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(&piece).is_ok() {
        sent += piece.len() as u64;
    }
    let mut answer = [0; 200];
    let count = stream.read(&mut answer).unwrap_or(0);
    (sent, String::from_utf8_lossy(&answer[..count]).into_owned())
}

/// Connections that say nothing are cut off, and who comes while they are there is served.
#[test]
fn idle_connections_keep_nobody_out() {
    under_watch(|cluster| {
        // All at once: each one apart would wait for the one before.
        let connect =
            || (0..50).map(|_| TcpStream::connect(cluster.addr()).expect("it listens")).collect::<Vec<_>>();
        let idle: Vec<TcpStream> = std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..30).map(|_| scope.spawn(connect)).collect();
            crowd.into_iter().flat_map(|part| part.join().expect("it connects")).collect()
        });
        assert_eq!(idle.len(), 1_500);
        until(Duration::from_secs(30), "all of them are cut off", || {
            let open = idle.iter().filter(|stream| is_open(stream)).count();
            if open == 0 { Ok(()) } else { Err(format!("{open} are open")) }
        });
    });
}

fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Heads that come a byte at a time are cut off as well.
#[test]
fn slow_heads_keep_nobody_out() {
    under_watch(|cluster| {
        let mut slow: Vec<TcpStream> =
            (0..300).filter_map(|_| TcpStream::connect(cluster.addr()).ok()).collect();
        let head =
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
        let mut head = head.copied();
        until(Duration::from_secs(20), "all of them are cut off", || {
            let byte = [head.next().expect("an endless head")];
            slow.retain(|mut stream| is_open(stream) && stream.write_all(&byte).is_ok());
            std::thread::sleep(Duration::from_millis(100));
            if slow.is_empty() { Ok(()) } else { Err(format!("{} are open", slow.len())) }
        });
    });
}

/// A job file that unfolds into billions of values, and documents nested without end, are refused at once.
#[test]
fn bombs_are_refused() {
    under_watch(|cluster| {
        let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..40 {
            let before = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", [&*before; 9].join(", "));
        }
        let env: String = (0..40).map(|level| format!("  A{level}: *a{level}\n")).collect();
        let merged = (1..40).fold("x0: &x0 {a: b}\n".to_owned(), |text, level| {
            let before = format!("*x{}", level - 1);
            text + &format!(
                "x{level}: &x{level} {{<<: [{}], k{level}: {before}}}\n",
                [&*before; 9].join(", ")
            )
        });
        let files = [
            bomb.clone() + "name: bomb\ncommand: /bin/true\nargs: *a39\n",
            bomb + "name: bomb\ncommand: /bin/true\nenv:\n" + &env,
            merged + "name: bomb\ncommand: /bin/true\nmeta: *x39\n",
            "[".repeat(500_000),
            "{a: ".repeat(100_000),
            "- ".repeat(500_000),
            (0..1_000).map(|depth| " ".repeat(depth) + "a:\n").collect(),
            "name: &a [*a]\n".to_owned(),
            "&a ".repeat(300_000),
        ];
        let bodies = files.iter().map(|file| json!({ "job_file": file }).to_string());
        let nested = [
            "[".repeat(1_000_000),
            format!("{{\"job_file\":{}", "[".repeat(1_000_000)),
            "{\"a\":".repeat(300_000),
        ];
        for body in bodies.chain(nested) {
            let begin = Instant::now();
            let answer =
                http::ask(cluster.addr(), "POST /v1/jobs", &cluster.token(), &body, Duration::from_secs(10));
            let shown: String = body.chars().take(60).collect();
            let answer = answer.unwrap_or_else(|error| panic!("{error}: {shown}"));
            assert_eq!(
                (answer.status, &answer.json()["kind"]),
                (400, &json!("invalid")),
                "{shown}: {answer:?}"
            );
            assert!(answer.body.len() < 64 << 10, "{shown}: the answer has {} bytes", answer.body.len());
            assert!(begin.elapsed() < WELL_WITHIN, "{shown}: it took {:?}", begin.elapsed());
        }
    });
}

/// Does something to a server and asks all the while, and for a while afterwards, how it is.
fn under_watch(attack: impl FnOnce(&Cluster)) {
    let cluster = Cluster::start(1);
    let (addr, pid) = (cluster.addr().to_owned(), cluster.server_pid());
    let before = memory::resident(pid).expect("it lives");
    let (over, most, asked) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut wrong = Vec::new();
            while !over.load(Ordering::Relaxed) {
                if let Err(error) = well(&addr) {
                    wrong.push(error);
                }
                asked.fetch_add(1, Ordering::Relaxed);
                most.fetch_max(memory::resident(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            wrong
        });
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(&cluster)));
        let asked_in_it = asked.load(Ordering::Relaxed);
        until(Duration::from_secs(20), "it was asked some more", || {
            let more = asked.load(Ordering::Relaxed) - asked_in_it;
            if more > 3 { Ok(()) } else { Err(format!("{more} answers")) }
        });
        over.store(true, Ordering::Relaxed);
        let wrong = watch.join().expect("the watch does not panic");
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
        assert!(wrong.is_empty(), "{} of {asked:?} times not well: {wrong:?}", wrong.len());
    });
    assert!(is_alive(pid), "the server is dead");
    let grown = most.load(Ordering::Relaxed).saturating_sub(before);
    assert!(grown < MEMORY, "from {before} bytes by {grown}");
    cluster.wait_for_nodes(1);
}

fn well(addr: &str) -> Result<(), String> {
    let begin = Instant::now();
    let answer = http::ask(addr, "GET /health", "", "", Duration::from_secs(10));
    match (answer, begin.elapsed()) {
        (Ok(answer), took) if answer.status == 200 && took < WELL_WITHIN => Ok(()),
        (answer, took) => Err(format!("after {took:?}: {answer:?}")),
    }
}
