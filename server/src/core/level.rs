//! Which behaviour of the state a cluster may have.
//!
//! Servers are updated one by one, and while two versions are there both must make the same of every command. So what is new in a version begins
//! only when the *level* says so: a number in the state, raised by a command when every server can.

/// Returns the level that a cluster is raised to; none: it stays. `own` is the newest that the leader can, `others` what the other servers
/// can, none of one that does not answer: it may come back as the old version.
#[must_use]
pub fn raised(level: u32, own: u32, others: &[Option<u32>]) -> Option<u32> {
    let all = others.iter().copied().chain([Some(own)]).collect::<Option<Vec<u32>>>()?;
    all.into_iter().min().filter(|least| *least > level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_when_all_can_and_as_far_as_the_oldest_can() {
        assert_eq!(raised(1, 3, &[Some(3), Some(3)]), Some(3));
        assert_eq!(raised(1, 3, &[Some(3), Some(2)]), Some(2));
        assert_eq!(raised(1, 2, &[]), Some(2), "who is alone asks nobody");
    }

    #[test]
    fn it_stays_while_one_cannot_or_is_away_and_never_goes_back() {
        assert_eq!(raised(1, 3, &[Some(3), Some(1)]), None);
        assert_eq!(raised(1, 3, &[Some(3), None]), None);
        assert_eq!(raised(3, 3, &[Some(3), Some(3)]), None);
        assert_eq!(raised(3, 2, &[Some(3)]), None);
    }
}
