//! `${name}` in `args`, `env`, `workdir` and two paths of the node: filled in by the agent when it starts a task, checked when a job is submitted.

/// A name that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`${{{name}}}` names nothing that is known here")]
pub struct UnknownName {
    /// What stands between the braces; of one that is never closed, all that follows.
    pub name: String,
}

/// Fills in a template: `${name}` becomes what `lookup` says, `$${` becomes `${`, all else stays. What is filled in is not
/// looked through again.
///
/// # Errors
/// [`UnknownName`] for the first name that `lookup` does not know, and for a `${` that is never closed.
pub fn render(template: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, UnknownName> {
    let mut text = String::with_capacity(template.len());
    for part in parts(template) {
        match part {
            Part::Text(plain) => text.push_str(plain),
            Part::Name(name) => {
                let value = lookup(name).ok_or_else(|| UnknownName { name: name.to_owned() })?;
                text.push_str(&value);
            }
            Part::Unclosed(rest) => return Err(UnknownName { name: rest.to_owned() }),
        }
    }
    Ok(text)
}

/// Returns whether nothing of a text would be filled in, so that it may stand where nothing is.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    parts(text).all(|part| matches!(part, Part::Text(_)))
}

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// Stays as it is.
    Text(&'t str),
    /// Between `${` and `}`.
    Name(&'t str),
    /// After a `${` that is never closed.
    Unclosed(&'t str),
}

/// Takes a template apart.
pub(super) fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix("$${") {
            let literal = &rest[1..3];
            rest = after;
            return Some(Part::Text(literal));
        }
        if let Some(after) = rest.strip_prefix("${") {
            let part = match after.split_once('}') {
                Some((name, left)) => {
                    rest = left;
                    Part::Name(name)
                }
                None => {
                    rest = "";
                    Part::Unclosed(after)
                }
            };
            return Some(part);
        }
        // A `$` that begins neither is text, and so is all up to the next one.
        let next = rest.char_indices().skip(1).find(|(_, c)| *c == '$');
        let end = next.map_or(rest.len(), |(at, _)| at);
        let (text, left) = rest.split_at(end);
        rest = left;
        Some(Part::Text(text))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "job.name" => Some("web".into()),
            "port.http" => Some("${job.name}".into()),
            _ => None,
        }
    }

    #[test]
    fn known_names_are_filled_in_once() {
        let check = |template: &str, expected: &str| {
            assert_eq!(render(template, &lookup).as_deref(), Ok(expected), "{template}");
        };
        check("", "");
        check("a $ b $$ c $d }", "a $ b $$ c $d }");
        check("${job.name}-${job.name}", "web-web");
        check("é${job.name}é", "éwebé");
        check("$${job.name}", "${job.name}");
        check("$$${job.name}", "$${job.name}");
        check("$${${job.name}}", "${web}");
        check("${port.http}", "${job.name}");
        check("$é$", "$é$");
    }

    #[test]
    fn an_unknown_name_is_named() {
        let unknown = |template: &str| render(template, &lookup).map_err(|error| error.name);
        assert_eq!(unknown("x ${nope}"), Err("nope".into()));
        assert_eq!(unknown("${}"), Err(String::new()));
        assert_eq!(unknown("${job.name"), Err("job.name".into()));
        let error = render("${nope}", &lookup).expect_err("unknown");
        assert_eq!(error.to_string(), "`${nope}` names nothing that is known here");
    }

    proptest! {
        #[test]
        fn a_text_without_a_name_stays_as_it_is(text in "[^{]{0,40}") {
            prop_assert_eq!(render(&text, &lookup), Ok(text));
        }

        #[test]
        fn no_template_makes_it_panic(text in "[$é{}a.]{0,40}") {
            let _ = render(&text, &lookup);
        }
    }
}
