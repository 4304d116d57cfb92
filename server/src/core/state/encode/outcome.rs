//! Outcomes of writes, as snapshots keep them.

use prost::Message as _;
use proto::error::Kind as ErrorKind;
use proto::ids::{JobVersion, Revision};
use proto::wire::v1;

use super::{BadRecord, need};
use crate::core::state::{Outcome, Refusal};

/// Writes the outcome of a named write. Outcomes that only the servers' own commands have are kept as "done".
#[must_use]
pub fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    use v1::write_result::Kind;
    let kind = match outcome {
        Outcome::Written { changed, version, revision } => {
            Some(Kind::Written(v1::Written { changed: *changed, version: version.0, revision: revision.0 }))
        }
        Outcome::Refused(refusal) => Some(Kind::Refusal(v1::Refusal {
            kind: refusal.kind.word().to_owned(),
            message: refusal.message.clone(),
            hint: refusal.hint.clone(),
        })),
        _ => None,
    };
    v1::WriteResult { kind }.encode_to_vec()
}

/// Reads the outcome of a named write.
///
/// # Errors
/// [`BadRecord`] when the bytes are no outcome.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, BadRecord> {
    use v1::write_result::Kind;
    Ok(match v1::WriteResult::decode(bytes)?.kind {
        Some(Kind::Written(written)) => Outcome::Written {
            changed: written.changed,
            version: JobVersion(written.version),
            revision: Revision(written.revision),
        },
        Some(Kind::Refusal(refusal)) => Outcome::Refused(Refusal {
            kind: need(ErrorKind::from_word(&refusal.kind), "kind")?,
            message: refusal.message,
            hint: refusal.hint,
        }),
        None => Outcome::Done,
    })
}
