//! A job or an allocation, by the text that names it.

use proto::error::{Error, Kind};
use proto::ids::SHOWN_LEN;
use proto::view::{AllocView, JobStatus};

use crate::args::Global;
use crate::connect::Servers;
use crate::read::{self, Document};

/// What a text names.
pub enum Target {
    /// A job.
    Job(Document<JobStatus>),
    /// One allocation.
    Alloc(Document<AllocView>),
}

/// The least characters of an id that are looked up when no job has that name: fewer are a typing error in a job's name.
const LEAST_PREFIX: usize = 4;

/// Looks a text up: `job.group.index` is an allocation; else a job; else, if it could be one, an id or a prefix of one.
///
/// # Errors
/// The server's refusal; [`Kind::NotFound`] speaks of a job where both were looked for.
pub async fn find(servers: &Servers, global: &Global, text: &str) -> Result<Target, Error> {
    let (namespace, name) = global.qualify(text);
    if name.contains('.') {
        return read::alloc(servers, namespace, name).await.map(Target::Alloc);
    }
    let missing = match read::job_status(servers, namespace, name, None).await {
        Ok(job) => return Ok(Target::Job(job)),
        Err(error) if error.kind == Kind::NotFound && may_be_id(name) => error,
        Err(error) => return Err(error),
    };
    match read::alloc(servers, namespace, name).await {
        Ok(alloc) => Ok(Target::Alloc(alloc)),
        Err(error) if error.kind == Kind::NotFound => Err(missing),
        Err(error) => Err(error),
    }
}

fn may_be_id(text: &str) -> bool {
    (LEAST_PREFIX..=SHOWN_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_be_an_id_is_looked_up_as_one() {
        assert!(may_be_id("0a1b") && may_be_id("0a1b2c3d4e5f6"));
        assert!(!may_be_id("web") && !may_be_id("my-job") && !may_be_id("0a1b2c3d4e5f67"));
    }
}
