//! What the groups of a job wait for: `depends_on`.

use std::collections::BTreeMap;

use super::keys::Level;
use super::reader::{Reader, did_you_mean, nearest, one_of, quote, shown};
use super::source::Mark;
use super::table::Table;
use super::tree::{Node, Value};
use crate::limits;
use crate::model::dependency::{Wrong, faults};
use crate::model::{Condition, Dependency, Group};

const HINT: &str = "write `depends_on: [db]` for a group of this job, `[{job: db}]` for another job";

/// The dependencies of a job's groups as they are read, each with its place: whether they make sense is known when all groups are.
#[derive(Default)]
pub(super) struct Dependencies {
    of_groups: BTreeMap<String, Vec<(Mark, Dependency)>>,
}

impl Dependencies {
    /// Reads what a group's table says.
    pub fn read(&mut self, reader: &mut Reader<'_>, group: &str, table: &Table<'_>) {
        let Some(node) = table.get("depends_on") else { return };
        let entries = entries(reader, node);
        let found = entries.into_iter().filter_map(|entry| Some((entry.at, dependency(reader, entry)?)));
        self.of_groups.insert(group.to_owned(), found.collect());
    }

    /// Gives every group what it waits for, and notes what makes no sense.
    pub fn settle(self, reader: &mut Reader<'_>, job: &str, groups: &mut BTreeMap<String, Group>) {
        let mut places: BTreeMap<String, Vec<Mark>> = BTreeMap::new();
        for (name, found) in self.of_groups {
            let (marks, mut depends_on): (_, Vec<Dependency>) = found.into_iter().unzip();
            // The job that names itself means itself; all of its groups would be the group's own, too.
            for one in depends_on.iter_mut().filter(|one| one.group.is_some()) {
                one.job = one.job.take().filter(|other| other != job);
            }
            places.insert(name.clone(), marks);
            if let Some(group) = groups.get_mut(&name) {
                group.depends_on = depends_on;
            }
        }
        for (name, at, wrong) in faults(job, groups) {
            let Some(mark) = places.get(&name).and_then(|marks| marks.get(at)) else { continue };
            let Some(dependency) = groups.get(&name).and_then(|group| group.depends_on.get(at)) else {
                continue;
            };
            let (message, hint) = told(job, groups, &name, dependency, &wrong);
            match wrong {
                // It may stand in the part that could not be read.
                Wrong::Unknown => reader.missing(*mark, message, hint),
                _ => reader.fault(*mark, message, hint),
            }
        }
    }
}

/// Returns the entries of a list; what is not one is an entry by itself, so that one group needs no list.
fn entries<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Vec<&'n Node> {
    let items: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().map(|item| &**item).collect(),
        Value::Null => return Vec::new(),
        Value::Map(pairs) if pairs.is_empty() => return Vec::new(),
        Value::Map(pairs) if is_of_compose(pairs) => {
            let first = pairs.first().map_or("db", |(key, _)| match &key.value {
                Value::Text { text, .. } => text.as_str(),
                _ => "db",
            });
            let message = "`depends_on` is a mapping of names, expected a list";
            let hint = format!(
                "write `depends_on: [{{group: {}, condition: healthy}}]`",
                quote(first).trim_matches('`')
            );
            reader.fault(node.at, message, hint);
            return Vec::new();
        }
        _ => vec![node],
    };
    if items.len() > limits::DEPENDENCIES_PER_GROUP {
        let most = limits::DEPENDENCIES_PER_GROUP;
        reader.fault(node.at, format!("{} entries of `depends_on`, at most {most}", items.len()), "");
        return Vec::new();
    }
    items
}

/// `{db: {condition: service_healthy}}`, as docker-compose has it.
fn is_of_compose(pairs: &[(std::rc::Rc<Node>, std::rc::Rc<Node>)]) -> bool {
    pairs.iter().all(|(_, value)| matches!(value.value, Value::Map(_)))
}

fn dependency(reader: &mut Reader<'_>, node: &Node) -> Option<Dependency> {
    match &node.value {
        Value::Text { .. } => {
            let group = reader.name(node, "group")?;
            Some(Dependency { job: None, group: Some(group), condition: Condition::default() })
        }
        Value::Map(_) => {
            let before = reader.count();
            let table = Table::read(reader, node, &[Level::Dependency], "a dependency");
            let job = table.get("job").and_then(|node| reader.name(node, "job"));
            let group = table.get("group").and_then(|node| reader.name(node, "group"));
            let condition = table.get("condition").and_then(|node| condition(reader, node));
            let whole = reader.count() == before;
            whole.then_some(Dependency { job, group, condition: condition.unwrap_or_default() })
        }
        _ => {
            let message =
                format!("an entry of `depends_on` is {}, expected a name or a mapping", shown(node));
            reader.fault(node.at, message, HINT);
            None
        }
    }
}

fn condition(reader: &mut Reader<'_>, node: &Node) -> Option<Condition> {
    // As docker-compose has them, and its users write them.
    const FOREIGN: [(&str, &str); 5] = [
        ("service_started", "started"),
        ("service_healthy", "healthy"),
        ("service_completed_successfully", "completed"),
        ("complete", "completed"),
        ("running", "started"),
    ];
    if let Value::Text { text, .. } = &node.value
        && let Some((_, ours)) = FOREIGN.iter().find(|(foreign, _)| foreign == text)
    {
        let what = one_of(Condition::WORDS.iter().map(|(word, _)| *word));
        return reader.expected(node, "condition", &what, &did_you_mean(ours));
    }
    reader.word(node, "condition", &Condition::WORDS)
}

/// Says what is wrong, and what would be right.
fn told(
    job: &str,
    groups: &BTreeMap<String, Group>,
    name: &str,
    dependency: &Dependency,
    wrong: &Wrong,
) -> (String, String) {
    match wrong {
        Wrong::Empty => ("a dependency names neither `group` nor `job`".to_owned(), HINT.to_owned()),
        Wrong::Itself if dependency.group.is_none() => {
            let hint = "name one of its other groups: `{group: db}`";
            (format!("group `{name}` waits for all of its own job, itself included"), hint.to_owned())
        }
        Wrong::Itself => {
            let hint = "leave it out; another job is `{job: NAME}`, and tasks of one group are ordered by `lifecycle`";
            (format!("group `{name}` waits for itself"), hint.to_owned())
        }
        Wrong::Unknown => {
            let group = dependency.group.as_deref().unwrap_or_default();
            (format!("job `{job}` has no group `{group}`"), unknown_hint(groups, name, group))
        }
        Wrong::NeverCompletes => {
            let hint = "write `condition: started` or `healthy`; work that ends has `type: batch`, which its group may have for itself";
            (format!("{dependency} belongs to a service, which never completes"), hint.to_owned())
        }
        Wrong::Twice => {
            (format!("group `{name}` waits for {dependency} twice"), "one of them is enough".to_owned())
        }
        Wrong::Cycle(way) => {
            let steps: Vec<String> =
                way.windows(2).map(|pair| format!("`{}` for `{}`", pair[0], pair[1])).collect();
            let first = way.first().map_or("", String::as_str);
            let message = format!("groups wait for each other: `{name}` for `{first}`, {}", steps.join(", "));
            (message, "none of them could ever be placed: leave one of these out".to_owned())
        }
    }
}

fn unknown_hint(groups: &BTreeMap<String, Group>, name: &str, group: &str) -> String {
    let others = || groups.keys().map(String::as_str).filter(|other| *other != name);
    if let Some(near) = nearest(group, others()) {
        return did_you_mean(near);
    }
    if groups.get(name).is_some_and(|own| own.tasks.contains_key(group)) {
        return format!(
            "`{group}` is a task of group `{name}`: tasks of one group are ordered by `lifecycle`"
        );
    }
    let all: Vec<String> = others().take(10).map(|other| format!("`{other}`")).collect();
    match all.is_empty() {
        true => format!("it has no other group; a job of that name is `{{job: {group}}}`"),
        false => format!("its other groups: {}; a job of that name is `{{job: {group}}}`", all.join(", ")),
    }
}
