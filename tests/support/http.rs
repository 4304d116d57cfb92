//! A plain HTTP/1.1 peer over a socket: one request, one answer, and a time for all of it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// Reads the body as JSON; what is none is null.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// Sends `METHOD /path` with a token and a JSON body, either of which may be empty, and reads the answer.
///
/// # Errors
/// When the peer cannot be reached, breaks off before the whole answer, or takes longer than `at_most`.
pub fn ask(addr: &str, request: &str, token: &str, body: &str, at_most: Duration) -> io::Result<Answer> {
    let end = Instant::now() + at_most;
    let to = addr.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&to, at_most)?;
    let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{bearer}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(at_most))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("no whole answer: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_none_or(|length| length > body.len()) {
        return Err(cut());
    }
    Ok(Answer { status, body: body.to_owned() })
}
