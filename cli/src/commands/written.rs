//! Writes of which little is to be said: the name that makes a repetition harmless, and the answer in words and documents.

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::ids::{JobKey, JobVersion, Revision, random_request_id};
use proto::view::Written;
use proto::wire::v1;

use super::run::placed;
use crate::exit::{Exit, Failure};
use crate::output::Out;

/// Returns a new name for a write.
pub(super) fn request_id() -> Bytes {
    Bytes::copy_from_slice(&random_request_id().0.to_be_bytes())
}

/// Reads the answer to a write.
pub(super) fn understood(reply: &v1::WriteReply) -> Result<Written, Error> {
    let unreadable =
        |cause| Error::new(Kind::Internal, format!("the server's answer is not understood: {cause}"));
    let placement = match reply.placement_json.is_empty() {
        true => None,
        false => Some(serde_json::from_slice(&reply.placement_json).map_err(unreadable)?),
    };
    let (version, revision) = (JobVersion(reply.version), Revision(reply.revision));
    Ok(Written { changed: reply.changed, version, revision, placement })
}

/// Shows what became of a write: the document, or a sentence and where work of the job was placed; none: it is about no
/// job.
pub(super) fn show(
    out: &mut Out,
    written: &Written,
    job: Option<&JobKey>,
    said: &str,
) -> Result<Exit, Failure> {
    if out.json {
        out.document(written)?;
        return Ok(Exit::DONE);
    }
    out.line(said)?;
    let groups = written.placement.iter().filter(|_| written.changed).flat_map(|placement| &placement.groups);
    for (job, (group, placement)) in groups.filter_map(|placed| Some((job?, placed))) {
        for line in placed(job, group, placement) {
            out.toned(line.tone, &line.text)?;
        }
    }
    Ok(Exit::DONE)
}
