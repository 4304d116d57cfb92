//! The one place that reads a clock; everything else is given `now`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Wall time: milliseconds since 1970-01-01 UTC. For people and for records, never for leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Milliseconds since this machine booted, suspend included (CLOCK_BOOTTIME). For leases, delays and deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(pub u64);

/// Returns the wall time.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}

/// Returns the time since boot, suspend included.
#[must_use]
pub fn boottime() -> BootTime {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    BootTime(at.tv_sec as u64 * 1000 + at.tv_nsec as u64 / 1_000_000)
}

/// Returns a duration in whole milliseconds, as records and messages hold it; what is longer than they can hold is the longest.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

macro_rules! arithmetic {
    ($name:ident) => {
        impl $name {
            /// Returns the time that much later.
            #[must_use]
            pub fn plus(self, duration: Duration) -> Self {
                Self(self.0.saturating_add(millis(duration)))
            }
            /// Returns how long after `earlier` this is; zero when it is not after it.
            #[must_use]
            pub fn since(self, earlier: Self) -> Duration {
                Duration::from_millis(self.0.saturating_sub(earlier.0))
            }
        }
    };
}
arithmetic!(Timestamp);
arithmetic!(BootTime);

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, with milliseconds: `2026-11-21T09:30:00.125Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match shown {
            Some(at) => write!(f, "{at:.3}"),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// Reads RFC 3339 with any offset; what is before 1970 is 1970.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at: jiff::Timestamp = text.parse()?;
        Ok(Self(u64::try_from(at.as_millisecond()).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_in_utc_with_milliseconds_and_reads_back() {
        let at = Timestamp(1_700_000_000_125);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.125Z");
        let json = serde_json::to_string(&at).expect("serialises");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("parses"), at);
    }

    #[test]
    fn time_since_boot_moves_forward() {
        let first = boottime();
        assert!(boottime() >= first);
    }
}
