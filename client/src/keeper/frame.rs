//! Frames: a length of four bytes, little end first, then one message.

use prost::Message;

use crate::limits::FRAME_BYTES_MAX;

/// Why a stream of frames cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side announced more than [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong {
        /// The announced length.
        bytes: usize,
    },
    /// The bytes are not a message of the expected type.
    #[error("a frame that is no message")]
    Undecodable(#[source] prost::DecodeError),
}

/// Appends `message` to `out` as one frame.
///
/// # Errors
/// [`FrameError::TooLong`] when it does not fit; `out` is unchanged then.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let bytes = message.encoded_len();
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    out.reserve(bytes + 4);
    out.extend_from_slice(&(bytes as u32).to_le_bytes());
    message.encode(out).expect("a Vec grows as far as encoded_len asks");
    Ok(())
}

/// Takes the first whole message of `buffer`, or `None` when more bytes are needed.
///
/// # Errors
/// Whatever follows cannot be trusted after an error: the connection must be closed.
pub fn decode<M: Message + Default>(buffer: &mut bytes::BytesMut) -> Result<Option<M>, FrameError> {
    use bytes::Buf;
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let bytes = u32::from_le_bytes(*head) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    if buffer.len() < 4 + bytes {
        return Ok(None);
    }
    buffer.advance(4);
    let body = buffer.split_to(bytes);
    M::decode(&body[..]).map(Some).map_err(FrameError::Undecodable)
}

#[cfg(test)]
mod tests {
    use super::super::message::{Answer, Ask, List, Request};
    use super::*;

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let mut wire = Vec::new();
        for seq in 1..4 {
            encode(&Request { seq, ask: Some(Ask::List(List { after: seq * 1000 })) }, &mut wire).unwrap();
        }
        for cut in 0..wire.len() {
            let mut buffer = bytes::BytesMut::from(&wire[..cut]);
            let mut seen = Vec::new();
            while let Some(request) = decode::<Request>(&mut buffer).unwrap() {
                seen.push(request.seq);
            }
            buffer.extend_from_slice(&wire[cut..]);
            while let Some(request) = decode::<Request>(&mut buffer).unwrap() {
                seen.push(request.seq);
            }
            assert_eq!(seen, [1, 2, 3], "cut at {cut}");
        }
    }

    #[test]
    fn an_announced_giant_and_garbage_are_errors() {
        let mut giant = bytes::BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(matches!(decode::<Answer>(&mut giant), Err(FrameError::TooLong { .. })));
        let mut garbage = bytes::BytesMut::from(&[3, 0, 0, 0, 0xff, 0xff, 0xff][..]);
        assert!(matches!(decode::<Answer>(&mut garbage), Err(FrameError::Undecodable(_))));
    }
}
