//! Where a group may run, to and from [`crate::model::Placement`].

use super::{BadMessage, need, v1};
use crate::model::{Affinity, Placement, Spread};

/// Writes it; what says nothing is left out.
pub(super) fn placement_to_wire(placement: &Placement) -> Option<v1::Placement> {
    (*placement != Placement::default()).then(|| v1::Placement {
        constraints: placement.constraints.clone(),
        affinities: placement
            .affinities
            .iter()
            .map(|one| v1::Affinity { when: one.when.clone(), weight: i32::from(one.weight) })
            .collect(),
        spread: placement.spread.iter().map(spread_to_wire).collect(),
        distinct: placement.distinct.clone().unwrap_or_default(),
        node: placement.node.clone().unwrap_or_default(),
    })
}

/// Reads it.
///
/// # Errors
/// [`BadMessage`] names a weight or share that is none.
pub(super) fn placement_from_wire(placement: v1::Placement) -> Result<Placement, BadMessage> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let affinity = |one: v1::Affinity| {
        Ok(Affinity { when: one.when, weight: need(i8::try_from(one.weight).ok(), "weight")? })
    };
    Ok(Placement {
        constraints: placement.constraints,
        affinities: placement.affinities.into_iter().map(affinity).collect::<Result<_, BadMessage>>()?,
        spread: placement.spread.into_iter().map(spread_from_wire).collect::<Result<_, BadMessage>>()?,
        distinct: some(placement.distinct),
        node: some(placement.node),
    })
}

fn spread_to_wire(spread: &Spread) -> v1::Spread {
    v1::Spread {
        over: spread.over.clone(),
        weight: u32::from(spread.weight),
        targets: spread.targets.iter().map(|(value, share)| (value.clone(), u32::from(*share))).collect(),
    }
}

fn spread_from_wire(spread: v1::Spread) -> Result<Spread, BadMessage> {
    let target = |(value, share): (String, u32)| Ok((value, need(u8::try_from(share).ok(), "targets")?));
    Ok(Spread {
        over: spread.over,
        weight: need(u8::try_from(spread.weight).ok(), "weight")?,
        targets: spread.targets.into_iter().map(target).collect::<Result<_, BadMessage>>()?,
    })
}
