//! What a task is told of itself: its environment, and the names that its arguments may use.

use std::collections::BTreeMap;
use std::path::Path;

use proto::ids::AllocId;
use proto::model::Task;

use crate::core::spec::Spec;

/// What the agent's environment may hand on; nothing else of it reaches a task.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Where programs are looked for when the agent itself has no PATH.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The node as its tasks know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// The address that others reach its tasks at.
    pub address: String,
    /// Facts such as `os`, `kernel`, `arch`.
    pub attributes: BTreeMap<String, String>,
    /// The part of the agent's own environment that tasks inherit.
    pub inherited: BTreeMap<String, String>,
}

/// Picks what tasks inherit from an environment.
#[must_use]
pub fn inherited(from: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> =
        from.into_iter().filter(|(name, _)| INHERITED.contains(&name.as_str())).collect();
    kept.entry("PATH".into()).or_insert_with(|| PATH_DEFAULT.into());
    kept
}

/// Everything about one task of one allocation that texts may name.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where it runs.
    pub node: &'a NodeFacts,
    /// Which allocation.
    pub alloc: AllocId,
    /// What the allocation runs.
    pub spec: &'a Spec,
    /// The task's name.
    pub task_name: &'a str,
    /// The task.
    pub task: &'a Task,
    /// Its own directory.
    pub task_dir: &'a Path,
    /// The directory that the tasks of the allocation share.
    pub alloc_dir: &'a Path,
}

impl Facts<'_> {
    /// Returns the environment of the task before its own entries: what it inherits, and the `MINIJOB_` facts.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut env = self.node.inherited.clone();
        let mut put = |name: String, value: String| env.insert(format!("MINIJOB_{name}"), value);
        let spec = self.spec;
        for (name, value) in &spec.meta {
            put(format!("META_{}", variable_name(name)), value.clone());
        }
        for (name, port) in &spec.ports {
            let name = variable_name(name);
            put(format!("PORT_{name}"), port.to_string());
            put(format!("HOST_PORT_{name}"), port.to_string());
            put(format!("ADDR_{name}"), self.reachable_at(*port));
        }
        put("JOB".into(), spec.job.clone());
        put("NAMESPACE".into(), spec.namespace.clone());
        put("GROUP".into(), spec.group_name.clone());
        put("TASK".into(), self.task_name.to_owned());
        put("ALLOC_ID".into(), self.alloc.to_string());
        put("ALLOC_INDEX".into(), spec.index.to_string());
        put("NODE_NAME".into(), self.node.name.clone());
        put("NODE_ADDRESS".into(), self.node.address.clone());
        put("TASK_DIR".into(), self.task_dir.display().to_string());
        put("ALLOC_DIR".into(), self.alloc_dir.display().to_string());
        put("CPU_MILLIS".into(), self.task.resources.cpu_millis.to_string());
        put("MEMORY_BYTES".into(), self.task.resources.memory_bytes.to_string());
        if let Some(fence) = spec.fence {
            put("FENCE_TOKEN".into(), fence.token.to_string());
        }
        env
    }

    /// Returns what `${name}` stands for; `env` is what `${env.X}` reads.
    #[must_use]
    pub fn look_up(&self, name: &str, env: &BTreeMap<String, String>) -> Option<String> {
        let spec = self.spec;
        let (scope, key) = name.split_once('.')?;
        match (scope, key) {
            ("job", "name") => Some(spec.job.clone()),
            ("job", "namespace") => Some(spec.namespace.clone()),
            ("group", "name") => Some(spec.group_name.clone()),
            ("task", "name") => Some(self.task_name.to_owned()),
            ("alloc", "id") => Some(self.alloc.to_string()),
            ("alloc", "index") => Some(spec.index.to_string()),
            ("node", "name") => Some(self.node.name.clone()),
            ("node", "address") => Some(self.node.address.clone()),
            ("port", port) => spec.ports.get(port).map(ToString::to_string),
            ("addr", port) => spec.ports.get(port).map(|port| self.reachable_at(*port)),
            ("meta", key) => spec.meta.get(key).cloned(),
            ("attr", key) => self.node.attributes.get(key).cloned(),
            ("env", key) => env.get(key).cloned(),
            _ => None,
        }
    }

    /// `ip:port`; an IPv6 address wears brackets.
    fn reachable_at(&self, port: u16) -> String {
        let address = &self.node.address;
        if address.contains(':') && !address.starts_with('[') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    }
}

/// A name as part of a variable's name: upper case, every other character than letters and digits becomes `_`.
fn variable_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proto::model::JobType;

    use super::*;
    use crate::core::spec::tests::spec;

    pub(crate) fn node() -> NodeFacts {
        NodeFacts {
            name: "vm7".into(),
            address: "10.0.0.7".into(),
            attributes: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
            inherited: inherited([
                ("SECRET".to_owned(), "x".to_owned()),
                ("TZ".to_owned(), "UTC".to_owned()),
            ]),
        }
    }

    fn with_facts<T>(node: &NodeFacts, check: impl FnOnce(Facts<'_>) -> T) -> T {
        let mut spec = spec(JobType::Service, &["web"]);
        spec.meta.insert("data-center".into(), "east".into());
        spec.ports.insert("admin-ui".into(), 20_002);
        check(Facts {
            node,
            alloc: AllocId(5),
            spec: &spec,
            task_name: "web",
            task: &spec.group.tasks["web"],
            task_dir: Path::new("/data/allocs/x/tasks/web"),
            alloc_dir: Path::new("/data/allocs/x/shared"),
        })
    }

    #[test]
    fn a_task_inherits_four_variables_and_nothing_else_of_the_agent() {
        let env = with_facts(&node(), |facts| facts.environment());
        let foreign: Vec<_> = env.keys().filter(|name| !name.starts_with("MINIJOB_")).collect();
        assert_eq!(foreign, ["PATH", "TZ"]);
    }

    #[test]
    fn names_become_variables_in_upper_case_without_dashes() {
        let env = with_facts(&node(), |facts| facts.environment());
        assert_eq!(env["MINIJOB_META_DATA_CENTER"], "east");
        assert_eq!(env["MINIJOB_PORT_ADMIN_UI"], "20002");
        assert_eq!(env["MINIJOB_HOST_PORT_HTTP"], "20001");
        assert_eq!(env["MINIJOB_ADDR_HTTP"], "10.0.0.7:20001");
        assert_eq!(env["MINIJOB_ALLOC_ID"], AllocId(5).to_string());
        assert_eq!((env["MINIJOB_CPU_MILLIS"].as_str(), env["MINIJOB_TASK"].as_str()), ("100", "web"));
    }

    #[test]
    fn every_documented_name_stands_for_something_and_others_for_nothing() {
        let node = node();
        with_facts(&node, |facts| {
            let env = BTreeMap::from([("DB".to_owned(), "pg".to_owned())]);
            for (name, value) in [
                ("job.name", "shop"),
                ("group.name", "api"),
                ("alloc.index", "0"),
                ("node.name", "vm7"),
                ("node.address", "10.0.0.7"),
                ("port.http", "20001"),
                ("addr.http", "10.0.0.7:20001"),
                ("meta.data-center", "east"),
                ("env.DB", "pg"),
                ("attr.os", "linux"),
            ] {
                assert_eq!(facts.look_up(name, &env).as_deref(), Some(value), "{name}");
            }
            for name in ["port.nope", "job", "nope.name", ""] {
                assert_eq!(facts.look_up(name, &env), None, "{name}");
            }
        });
    }

    #[test]
    fn an_ipv6_address_wears_brackets() {
        let node = NodeFacts { address: "fd00::7".into(), ..node() };
        let env = with_facts(&node, |facts| facts.environment());
        assert_eq!(env["MINIJOB_ADDR_HTTP"], "[fd00::7]:20001");
    }
}
