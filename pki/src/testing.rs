//! Certificates for tests.

use proto::time::Timestamp;

use crate::ca::Ca;
use crate::member::{Member, Role};
use crate::own::{Own, Pending};
use crate::tls::{Credentials, Trust};

/// A whole second, as certificates have them.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) fn ca() -> Ca {
    Ca::create("test", NOW).unwrap()
}

pub(crate) fn member(role: Role, name: &str, id: u64) -> Member {
    Member { role, name: name.into(), id }
}

pub(crate) fn issue(ca: &Ca, member: &Member, now: Timestamp) -> Own {
    let pending = Pending::new().unwrap();
    pending.certified(ca.issue(pending.request(), member, &[], now).unwrap()).unwrap()
}

pub(crate) fn trust(ca: &Ca) -> Trust {
    Trust::from_pem(&ca.certificate_pem()).unwrap()
}

/// What a member has whose certificate holds at this moment.
pub(crate) fn credentials(ca: &Ca, role: Role, name: &str, id: u64) -> Credentials {
    Credentials::of_member(issue(ca, &member(role, name, id), proto::time::now()), trust(ca))
}
