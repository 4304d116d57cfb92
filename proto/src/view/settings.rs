//! Settings of the cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::List;

/// All settings, in the order of the documentation.
pub type SettingList = List<SettingView>;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingView {
    /// Its name.
    pub name: String,
    /// What it is, as it can be set: `4s`, `200`, `true`.
    pub value: String,
    /// The same, where it is a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_ms: Option<u64>,
    /// What it is unless somebody changes it.
    pub default: String,
    /// What it may be.
    pub allowed: String,
    /// What it is for.
    pub about: String,
}
