//! What may stand under a key: for the schema, which editors check a file by while it is written.

use super::Level;

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub(in crate::jobfile) enum Shape {
    /// `[a-z0-9]([a-z0-9-]*[a-z0-9])?`.
    Name,
    /// Any scalar, taken as it is written.
    Text,
    /// A whole number within these two.
    Whole(i64, i64),
    /// `5s`.
    Duration,
    /// `256MiB`.
    Size,
    /// `500m`.
    Cpu,
    /// `10%`.
    Percent,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Three octal digits, one `0` before them or none.
    Mode,
    /// Several of a shape.
    List(&'static Shape),
    /// Names to a shape.
    Map(&'static Shape),
    /// A mapping with the keys of a level.
    Table(Level),
    /// The first or the second.
    Either(&'static Shape, &'static Shape),
    /// Nothing that this version acts on.
    Later,
}
