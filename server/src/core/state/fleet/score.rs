//! What makes one node better than another.

/// A score of nodes by the parts of their cpu and memory that are in use; what is less is better.
pub trait Score {
    /// Returns the score of a node.
    fn of(&self, cpu: f32, memory: f32) -> u32;

    /// Returns what no score is below while each part is within bounds, the lower one first: to the last bit, since pages are passed
    /// over by it.
    fn least(&self, cpu: (f32, f32), memory: (f32, f32)) -> u32;
}
