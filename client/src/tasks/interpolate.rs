//! `${name}` in texts of a job.

/// An unknown name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`${{{name}}}` names nothing that is known here")]
pub struct UnknownName {
    /// Which.
    pub name: String,
}

/// Fills in a template.
pub fn render(template: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, UnknownName> {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            text += before;
            text += "${";
            rest = after;
            continue;
        }
        let (name, left) = after.split_once('}').ok_or(UnknownName { name: after.into() })?;
        text += before;
        text += &lookup(name).ok_or(UnknownName { name: name.into() })?;
        rest = left;
    }
    Ok(text + rest)
}
