//! What must agree across servers: the settings, what each of them may be, and what they may be together.

use std::fmt;
use std::time::Duration;

use proto::error::Kind as ErrorKind;
use proto::units::show_duration;

use super::Refusal;
use crate::limits::{
    BRAKE_PAUSE, DEAD_SERVER_TIMEOUT, DEAD_SERVER_TIMEOUTS, ENDED_ALLOCS_FOR, ENDED_ALLOCS_MAX,
    EVENTS_PER_SUBJECT_MAX, HEARTBEAT, HEARTBEATS_PER_TIMEOUT, NODE_TIMEOUT, VERSIONS_MAX,
};

/// What must agree across servers; changed by a command, never by a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often an agent asks for its lease.
    pub heartbeat: Duration,
    /// How long a lease lasts.
    pub node_timeout: Duration,
    /// Events kept per job and per node.
    pub events_per_subject: usize,
    /// Ended allocations kept per job.
    pub ended_allocs: usize,
    /// How long they are kept.
    pub ended_allocs_for: Duration,
    /// Versions kept per job, beside those that something runs.
    pub versions: usize,
    /// Whether work of higher priority may take the place of work whose priority is lower by 10 at least.
    pub preemption: bool,
    /// The share of the nodes, in percent, from which on a loss of several failure domains at once pulls the brake.
    pub brake_at: usize,
    /// How long the brake holds everything before it lets go node by node.
    pub brake_pause: Duration,
    /// How long a server may be unreachable before it is removed from the cluster, where enough others are there.
    pub dead_server_timeout: Duration,
}

impl Default for Settings {
    /// The numbers of the design: 1 s, 4 s, 200 events, 100 ended allocations for 24 h, 10 versions; nothing gives
    /// way to other work; the brake from 34 % on, for 1 min; a server that is gone for a long weekend comes back as the
    /// one that it was.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            node_timeout: Duration::from_secs(4),
            events_per_subject: 200,
            ended_allocs: 100,
            ended_allocs_for: Duration::from_secs(24 * 3600),
            versions: 10,
            preemption: false,
            brake_at: 34,
            brake_pause: Duration::from_secs(60),
            dead_server_timeout: DEAD_SERVER_TIMEOUT,
        }
    }
}

/// One of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// [`Settings::heartbeat`].
    Heartbeat,
    /// [`Settings::node_timeout`].
    NodeTimeout,
    /// [`Settings::events_per_subject`].
    EventsPerSubject,
    /// [`Settings::ended_allocs`].
    EndedAllocs,
    /// [`Settings::ended_allocs_for`].
    EndedAllocsFor,
    /// [`Settings::versions`].
    Versions,
    /// [`Settings::preemption`].
    Preemption,
    /// [`Settings::brake_at`].
    BrakeAt,
    /// [`Settings::brake_pause`].
    BrakePause,
    /// [`Settings::dead_server_timeout`].
    DeadServerTimeout,
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A length of time, to the millisecond.
    Time(Duration),
    /// How many.
    Count(u64),
    /// Whether.
    Switch(bool),
}

/// A new value of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Which.
    pub setting: Setting,
    /// What it shall be.
    pub value: SettingValue,
}

/// What one setting may be, by itself; both ends are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A time.
    Time(Duration, Duration),
    /// A number.
    Count(u64, u64),
    /// On or off.
    Switch,
}

impl Setting {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Heartbeat,
        Self::NodeTimeout,
        Self::EventsPerSubject,
        Self::EndedAllocs,
        Self::EndedAllocsFor,
        Self::Versions,
        Self::Preemption,
        Self::BrakeAt,
        Self::BrakePause,
        Self::DeadServerTimeout,
    ];

    /// Returns the setting with that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// Its name, for people and in the log: never changed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::NodeTimeout => "node_timeout",
            Self::EventsPerSubject => "events_per_subject",
            Self::EndedAllocs => "ended_allocs",
            Self::EndedAllocsFor => "ended_allocs_for",
            Self::Versions => "versions",
            Self::Preemption => "preemption",
            Self::BrakeAt => "brake_at",
            Self::BrakePause => "brake_pause",
            Self::DeadServerTimeout => "dead_server_timeout",
        }
    }

    /// What it is for, in a line.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Heartbeat => "how often an agent says that its node lives",
            Self::NodeTimeout => "the silence after which a node counts as lost and its work is placed anew",
            Self::EventsPerSubject => "events kept of each job and of each node",
            Self::EndedAllocs => "ended allocations kept of each job",
            Self::EndedAllocsFor => "how long ended allocations are kept",
            Self::Versions => "versions kept of each job, beside those that something runs",
            Self::Preemption => {
                "work of higher priority may take the place of work whose priority is at least 10 lower"
            }
            Self::BrakeAt => {
                "percent of the nodes, 3 at least and of several failure domains, whose loss at once pauses replacing what they ran"
            }
            Self::BrakePause => {
                "how long that pause is; after it the work of one node after the other is replaced"
            }
            Self::DeadServerTimeout => {
                "after how long a server that cannot be reached is removed, if all others are there and three of them vote"
            }
        }
    }

    /// What it may be by itself; [`Settings::changed`] also compares settings with each other.
    #[must_use]
    pub const fn allowed(self) -> Allowed {
        match self {
            Self::Heartbeat => Allowed::Time(HEARTBEAT.0, HEARTBEAT.1),
            Self::NodeTimeout => Allowed::Time(NODE_TIMEOUT.0, NODE_TIMEOUT.1),
            Self::EventsPerSubject => Allowed::Count(1, EVENTS_PER_SUBJECT_MAX),
            Self::EndedAllocs => Allowed::Count(1, ENDED_ALLOCS_MAX),
            Self::EndedAllocsFor => Allowed::Time(ENDED_ALLOCS_FOR.0, ENDED_ALLOCS_FOR.1),
            Self::Versions => Allowed::Count(1, VERSIONS_MAX),
            Self::Preemption => Allowed::Switch,
            Self::BrakeAt => Allowed::Count(1, 100),
            Self::BrakePause => Allowed::Time(BRAKE_PAUSE.0, BRAKE_PAUSE.1),
            Self::DeadServerTimeout => Allowed::Time(DEAD_SERVER_TIMEOUTS.0, DEAD_SERVER_TIMEOUTS.1),
        }
    }

    /// What it may be, in words.
    #[must_use]
    pub fn rule(self) -> String {
        match self {
            Self::NodeTimeout => {
                format!("{}, and {HEARTBEATS_PER_TIMEOUT} heartbeats at least", self.allowed())
            }
            _ => self.allowed().to_string(),
        }
    }

    /// Returns what it is.
    #[must_use]
    pub const fn of(self, settings: &Settings) -> SettingValue {
        match self {
            Self::Heartbeat => SettingValue::Time(settings.heartbeat),
            Self::NodeTimeout => SettingValue::Time(settings.node_timeout),
            Self::EventsPerSubject => SettingValue::Count(settings.events_per_subject as u64),
            Self::EndedAllocs => SettingValue::Count(settings.ended_allocs as u64),
            Self::EndedAllocsFor => SettingValue::Time(settings.ended_allocs_for),
            Self::Versions => SettingValue::Count(settings.versions as u64),
            Self::Preemption => SettingValue::Switch(settings.preemption),
            Self::BrakeAt => SettingValue::Count(settings.brake_at as u64),
            Self::BrakePause => SettingValue::Time(settings.brake_pause),
            Self::DeadServerTimeout => SettingValue::Time(settings.dead_server_timeout),
        }
    }

    /// Returns the settings with this one changed, if it may be that by itself.
    fn put(self, settings: Settings, value: SettingValue) -> Result<Settings, Refusal> {
        let refused = || {
            let message = format!("{} cannot be {value}: possible is {}", self.name(), self.rule());
            Refusal::new(ErrorKind::Invalid, message)
        };
        if !self.allowed().holds(value) {
            return Err(refused());
        }
        Ok(match (self, value) {
            (Self::Heartbeat, SettingValue::Time(heartbeat)) => Settings { heartbeat, ..settings },
            (Self::NodeTimeout, SettingValue::Time(node_timeout)) => Settings { node_timeout, ..settings },
            (Self::EventsPerSubject, SettingValue::Count(count)) => {
                Settings { events_per_subject: count as usize, ..settings }
            }
            (Self::EndedAllocs, SettingValue::Count(count)) => {
                Settings { ended_allocs: count as usize, ..settings }
            }
            (Self::EndedAllocsFor, SettingValue::Time(ended_allocs_for)) => {
                Settings { ended_allocs_for, ..settings }
            }
            (Self::Versions, SettingValue::Count(count)) => Settings { versions: count as usize, ..settings },
            (Self::Preemption, SettingValue::Switch(preemption)) => Settings { preemption, ..settings },
            (Self::BrakeAt, SettingValue::Count(count)) => Settings { brake_at: count as usize, ..settings },
            (Self::BrakePause, SettingValue::Time(brake_pause)) => Settings { brake_pause, ..settings },
            (Self::DeadServerTimeout, SettingValue::Time(dead_server_timeout)) => {
                Settings { dead_server_timeout, ..settings }
            }
            _ => return Err(refused()),
        })
    }
}

impl Settings {
    /// Returns these settings with some of them changed; of one that is named twice the last counts.
    ///
    /// # Errors
    /// Invalid, with what would be right, for a value that its setting cannot have, and where the heartbeats that a changed lease
    /// must last for do not fit into it. What was wrong before, and is not touched, keeps nobody from changing something else.
    pub fn changed(&self, changes: &[SettingChange]) -> Result<Self, Refusal> {
        let put = |settings, change: &SettingChange| change.setting.put(settings, change.value);
        let after = changes.iter().try_fold(self.clone(), put)?;
        let touched = (after.heartbeat, after.node_timeout) != (self.heartbeat, self.node_timeout);
        if touched && after.heartbeat * HEARTBEATS_PER_TIMEOUT > after.node_timeout {
            return Err(after.too_tight(after.heartbeat != self.heartbeat));
        }
        Ok(after)
    }

    /// Says what would be right: the value that was asked for stays, the other follows it where it can.
    fn too_tight(&self, heartbeat_asked: bool) -> Refusal {
        let (beat, timeout) = (self.heartbeat, self.node_timeout);
        let fits = Duration::from_millis(timeout.as_millis() as u64 / u64::from(HEARTBEATS_PER_TIMEOUT));
        let (beat_then, timeout_then) = if heartbeat_asked {
            (beat, (beat * HEARTBEATS_PER_TIMEOUT).max(NODE_TIMEOUT.0))
        } else {
            (fits, timeout)
        };
        let shown = show_duration;
        let message = format!(
            "node_timeout would be {} and a heartbeat come every {}: {HEARTBEATS_PER_TIMEOUT} heartbeats at least must fit",
            shown(timeout),
            shown(beat)
        );
        let (beat, timeout) = (shown(beat_then), shown(timeout_then));
        Refusal::new(ErrorKind::Invalid, message)
            .hint(format!("heartbeat={beat} node_timeout={timeout} together would be right"))
    }
}

impl Allowed {
    fn holds(self, value: SettingValue) -> bool {
        match (self, value) {
            (Self::Time(least, most), SettingValue::Time(time)) => (least..=most).contains(&time),
            (Self::Count(least, most), SettingValue::Count(count)) => (least..=most).contains(&count),
            (Self::Switch, SettingValue::Switch(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(least, most) => write!(f, "{} to {}", show_duration(*least), show_duration(*most)),
            Self::Count(least, most) => write!(f, "{least} to {most}"),
            Self::Switch => f.write_str("true or false"),
        }
    }
}

impl fmt::Display for SettingValue {
    /// As `set` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => f.write_str(&show_duration(*time)),
            Self::Count(count) => write!(f, "{count}"),
            Self::Switch(on) => write!(f, "{on}"),
        }
    }
}

#[cfg(test)]
mod tests;
