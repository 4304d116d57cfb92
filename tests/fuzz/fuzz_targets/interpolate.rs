//! No template makes rendering panic, and one without `${` stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::jobfile::interpolate::render;

fuzz_target!(|template: &str| {
    let echo = |name: &str| Some(name.to_owned());
    match render(template, &echo) {
        Ok(text) if !template.contains("${") => assert_eq!(text, template),
        Ok(text) => assert!(text.len() <= template.len()),
        Err(error) => assert!(template.ends_with(&error.name)),
    }
});
