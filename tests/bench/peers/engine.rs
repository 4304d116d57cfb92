//! Calls of HTTP, one connection each, as HTTP 1.0: the answer ends with the connection and comes in one piece.

use std::io::{Read, Write};
use std::time::Duration;

/// Until a daemon must have answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What can be called.
pub(super) trait Stream: Read + Write {
    /// Bounds every wait of it.
    ///
    /// # Errors
    /// What the kernel says.
    fn bounded(&self, at_most: Duration) -> std::io::Result<()>;
}

impl Stream for std::os::unix::net::UnixStream {
    fn bounded(&self, at_most: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(at_most))?;
        self.set_write_timeout(Some(at_most))
    }
}

impl Stream for std::net::TcpStream {
    fn bounded(&self, at_most: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(at_most))?;
        self.set_write_timeout(Some(at_most))
    }
}

/// Sends a request and returns the body of its answer.
///
/// # Errors
/// What keeps it from being answered, and an answer other than success.
pub(super) fn call(
    mut stream: impl Stream,
    request: &str,
    kind: &str,
    body: &[u8],
) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{request}: {error}");
    stream.bounded(ANSWERED_WITHIN).map_err(failed)?;
    let head = format!(
        "{request} HTTP/1.0\r\nHost: peer\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body = answer.split_off(end.map_or(answer.len(), |end| end + 4));
    let head = String::from_utf8_lossy(&answer);
    if head.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        return Ok(body);
    }
    let first = head.lines().next().unwrap_or_default();
    Err(format!("{request}: {first}: {}", String::from_utf8_lossy(&body)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn answered(answer: &'static [u8]) -> Result<Vec<u8>, String> {
        let (ours, mut theirs) = UnixStream::pair().expect("two ends");
        let daemon = std::thread::spawn(move || {
            let mut asked = [0; 512];
            let read = theirs.read(&mut asked).expect("a request");
            theirs.write_all(answer).expect("a reader");
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        let result = call(ours, "POST /x", "text/plain", b"");
        assert!(daemon.join().expect("it answered").starts_with("POST /x HTTP/1.0\r\n"));
        result
    }

    #[test]
    fn only_success_is_an_answer() {
        assert_eq!(answered(b"HTTP/1.0 201 Created\r\nA: b\r\n\r\n{}"), Ok(b"{}".to_vec()));
        let refused = answered(b"HTTP/1.0 409 Conflict\r\n\r\nin use").expect_err("a conflict");
        assert!(refused.contains("409") && refused.contains("in use"), "{refused}");
        assert!(answered(b"").is_err(), "an empty answer is none");
    }
}
