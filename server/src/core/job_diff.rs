//! What differs between two descriptions of a job, as keys of its file.
//!
//! The full form of a job file names every key with its value, so the two full forms are compared: a key that the language gains
//! is seen here without a word about it.

use std::collections::BTreeMap;

use proto::jobfile::explain;
use proto::model::Job;

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which: `groups.web.count`. A whole group or task that only one side has is one key.
    pub key: String,
    /// Its value on the one side, as YAML; none: it is not there.
    pub before: Option<String>,
    /// Its value on the other.
    pub after: Option<String>,
}

/// Compares two descriptions; in the order of the keys. Equal descriptions differ in nothing, others in something.
#[must_use]
pub fn differences(before: &Job, after: &Job) -> Vec<Difference> {
    if before == after {
        return Vec::new();
    }
    let (old, new) = (entries(&explain(before)), entries(&explain(after)));
    let mut found: Vec<Difference> = Vec::new();
    let keys: std::collections::BTreeSet<&Vec<String>> = old.keys().chain(new.keys()).collect();
    let mut covered: Option<&Vec<String>> = None;
    for key in keys {
        if covered.is_some_and(|above| key.starts_with(above)) {
            continue;
        }
        let (was, is) = (old.get(key), new.get(key));
        match (was, is) {
            (Some(was), Some(is)) if was == is || was.is_none() || is.is_none() => {}
            (was, is) => {
                covered = Some(key);
                let shown =
                    |value: Option<&Option<String>>| value.map(|value| value.clone().unwrap_or_default());
                found.push(Difference { key: key.join("."), before: shown(was), after: shown(is) });
            }
        }
    }
    if before.origin != after.origin {
        let (key, before, after) = ("origin".to_owned(), before.origin.clone(), after.origin.clone());
        found.push(Difference { key, before, after });
    }
    if found.is_empty() {
        found.push(Difference { key: "other".to_owned(), before: None, after: None });
    }
    found
}

/// Reads a full form: for every key its path, with its value; none for a key that holds others.
fn entries(text: &str) -> BTreeMap<Vec<String>, Option<String>> {
    let mut entries: BTreeMap<Vec<String>, Option<String>> = BTreeMap::new();
    // The keys above the line, each with its indentation.
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = indent_of(line);
        let Some((key, value)) = split(line.trim_start()) else { continue };
        above.retain(|(there, _)| *there < indent);
        above.push((indent, key));
        let path: Vec<String> = above.iter().map(|(_, key)| key.clone()).collect();
        let inside = |next: &&str| next.is_empty() || indent_of(next) > indent;
        let is_list =
            value.is_empty() && lines.peek().is_some_and(|next| next.trim_start().starts_with("- "));
        let mut whole = value.to_owned();
        // A block and a list are texts, whatever they hold.
        while let Some(next) = lines.next_if(|next| (value.starts_with('|') || is_list) && inside(next)) {
            whole.push('\n');
            whole.push_str(next.trim_start());
        }
        let holds_others = whole.is_empty() || whole == "{}";
        entries.insert(path, (!holds_others).then(|| whole.trim().to_owned()));
    }
    entries
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Splits `key: value`; none for a comment and for what is no key.
fn split(line: &str) -> Option<(String, &str)> {
    if line.starts_with('#') || line.is_empty() {
        return None;
    }
    let end = match line.strip_prefix('"') {
        Some(rest) => closing_quote(rest)? + 2,
        None => line.find(": ").or_else(|| line.ends_with(':').then(|| line.len() - 1))?,
    };
    let key = line[..end].trim_matches('"').to_owned();
    Some((key, line[end..].strip_prefix(':')?.trim_start()))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, char)| {
        let closes = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        closes.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::testing::job;

    fn told(before: &Job, after: &Job) -> Vec<String> {
        let words = |one: Difference| {
            let side = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            format!("{} {} > {}", one.key, side(one.before), side(one.after))
        };
        differences(before, after).into_iter().map(words).collect()
    }

    fn changed(change: impl FnOnce(&mut Job)) -> Vec<String> {
        let mut after = job("web", 2);
        change(&mut after);
        told(&job("web", 2), &after)
    }

    fn task(job: &mut Job) -> &mut proto::model::Task {
        let group = job.groups.get_mut("web").expect("a group");
        group.tasks.get_mut("web").expect("a task")
    }

    #[test]
    fn a_changed_value_is_named_by_its_key_with_both_values() {
        assert_eq!(changed(|_| {}), Vec::<String>::new());
        let count = |job: &mut Job| job.groups.values_mut().for_each(|group| group.count = 3);
        assert_eq!(changed(count), ["groups.web.count 2 > 3"]);
        let env = |job: &mut Job| drop(task(job).env.insert("COLOR".into(), "blue: light".into()));
        assert_eq!(changed(env), ["groups.web.tasks.web.env.COLOR - > \"blue: light\""]);
        let odd = |job: &mut Job| drop(job.meta.insert("a: \"b".into(), "x".into()));
        assert_eq!(changed(odd).len(), 1);
    }

    #[test]
    fn a_list_and_a_text_of_several_lines_are_one_value() {
        let args =
            |job: &mut Job| task(job).process.args = vec!["-c".into(), "while true\ndo\n  date\ndone".into()];
        assert_eq!(
            changed(args),
            ["groups.web.tasks.web.args [] > - \"-c\"\n- |-\nwhile true\ndo\ndate\ndone"]
        );
    }

    #[test]
    fn a_group_that_only_one_side_has_is_one_key() {
        let more = |job: &mut Job| drop(job.groups.insert("api".into(), job.groups["web"].clone()));
        assert_eq!(changed(more), ["groups.api - > "]);
    }

    #[test]
    fn what_no_key_shows_is_a_difference_all_the_same() {
        let origin = |job: &mut Job| job.origin = Some("host:/srv/jobs".into());
        assert_eq!(changed(origin), ["origin - > host:/srv/jobs"]);
    }

    proptest! {
        #[test]
        fn any_text_in_a_value_is_seen_and_nothing_else(text in "\\PC{0,20}|[a-z \n:|\"#-]{0,20}") {
            let mut after = job("web", 2);
            task(&mut after).env.insert("A".into(), text.clone());
            task(&mut after).process.args = vec![text];
            let keys: Vec<String> = differences(&job("web", 2), &after).into_iter().map(|one| one.key).collect();
            prop_assert_eq!(keys, ["groups.web.tasks.web.args", "groups.web.tasks.web.env.A"]);
        }
    }
}
