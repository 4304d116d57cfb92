//! No file makes the reader panic, hang or take memory; what it writes it reads back.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{brief, explain, parse, testing};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_job_explained_reads_back_as_the_same_job(job in testing::job()) {
        let text = explain(&job);
        let read = parse("job.yml", &text).map_err(|faults| TestCaseError::fail(format!("{faults}\n{text}")))?;
        prop_assert_eq!(&read, &vec![job], "{}", text);
        prop_assert_eq!(explain(&read[0]), text);
    }

    #[test]
    fn a_job_said_briefly_reads_back_as_the_same_job_and_is_never_longer(job in testing::job()) {
        // Not through `brief`, which would write in full what it cannot say briefly.
        let text = super::super::explain::brief(&job);
        let read = parse("job.yml", &text).map_err(|faults| TestCaseError::fail(format!("{faults}\n{text}")))?;
        let full = explain(&job);
        prop_assert!(text.lines().count() < full.lines().count(), "{}", text);
        prop_assert_eq!(read, vec![job], "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse("job.yml", &text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse("job.yml", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_pieces_of_yaml_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        for fault in parse("job.yml", &text).err().into_iter().flat_map(|faults| faults.0) {
            let line = text.split(['\n', '\r']).map(|line| line.chars().count()).max().unwrap_or(0);
            let said = format!("{}{}{}", fault.source_line, fault.message, fault.hint);
            prop_assert!(!said.contains(|c: char| c.is_control() && c != '\t'), "{:?}", said);
            prop_assert!(fault.line >= 1 && fault.column >= 1 && fault.column as usize <= line + 1, "{}", fault);
        }
    }

    #[test]
    fn no_mistake_in_a_right_file_makes_it_panic(edits in proptest::collection::vec(edit(), 1..6)) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (at, length, piece) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(jobs) = parse("job.yml", &text) {
            for job in jobs {
                prop_assert_eq!(parse("job.yml", &explain(&job)), Ok(vec![job.clone()]), "{}", text);
                prop_assert_eq!(parse("job.yml", &brief(&job)), Ok(vec![job]), "{}", text);
            }
        }
    }
}

const FULL: &str = include_str!("../../../../examples/full.yml");

const PIECES: &[&str] = &[
    "name: a\n",
    "command: b\n",
    "groups:\n",
    "tasks:\n",
    "  a:\n",
    "    tasks:\n",
    "env: ",
    "args: ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ": ",
    "- ",
    "\n",
    "\r",
    "\t",
    " ",
    "  ",
    "&a ",
    "*a",
    "<<: *a\n",
    "? ",
    "| \n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "#",
    "---\n",
    "...\n",
    "!x ",
    "!!str ",
    "%YAML 1.2\n",
    "${",
    "${port.x}",
    "é",
    "\u{2028}",
    "\u{feff}",
    "\0",
    "restart: {",
    "delay: 1s",
    "attempts: -1",
    "jobs:\n",
    "\u{1b}[2J",
    "a b \u{7}",
    "services: {}\n",
    "~",
    "0",
    "x",
];

/// A place, how many characters are taken out there, and what is put in.
fn edit() -> impl Strategy<Value = (proptest::sample::Index, usize, String)> {
    let piece = prop_oneof![
        Just(String::new()),
        proptest::sample::select(PIECES).prop_map(str::to_owned),
        testing::text(),
        any::<char>().prop_map(String::from)
    ];
    (any::<proptest::sample::Index>(), prop_oneof![Just(0usize), 0..3usize, 0..200usize], piece)
}

#[test]
fn what_is_said_about_a_file_cannot_control_a_terminal() {
    for text in [
        "a: *b\u{1b}[2J",
        "command: \"a\\e[2J b\"",
        "args: [\"${x\\e[2J}\"]",
        "\"a\\nb\\u009b\": 1",
        "a: \u{9b}",
    ] {
        let faults = parse("job.yml", &format!("name: a\n{text}\n")).expect_err("is wrong");
        let said = faults.to_string();
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    }
}

#[test]
fn files_of_a_mebibyte_are_read_or_refused_within_a_second() {
    let most = crate::limits::JOB_FILE_BYTES;
    let repeated = |part: &str| part.repeat(most / part.len());
    let files = [
        repeated("["),
        repeated("{"),
        repeated("- "),
        repeated("- a\n"),
        repeated("a: "),
        repeated("a,"),
        format!("[{}", repeated("a,").split_at(most - 2).0),
        repeated("? "),
        repeated("a"),
        repeated("\n"),
        repeated(" "),
        repeated("\t"),
        repeated("#\n"),
        repeated("---\n"),
        repeated("\"\\x41"),
        format!("\"{}", repeated("\\n").split_at(most - 2).0),
        repeated("&a "),
        repeated("*a "),
        repeated("!"),
        repeated("!!str "),
        repeated("%YAML 1.2\n"),
        repeated("a: b\n"),
        repeated("'"),
        repeated("|\n "),
        repeated("é"),
        repeated("a: &a [*a]\n"),
        repeated("{a: {b: "),
        repeated("cuont: 1\n"),
        repeated("[]: "),
        (0..most / 12).map(|n| format!("k{n}: {n}\n")).collect::<String>().split_at(most - 100).0.to_owned(),
        format!("name: a\ncommand: b\nargs: [{}]", repeated("${port.x} ").split_at(most - 100).0),
        format!("name: a\ncommand: {}", repeated("x ").split_at(most - 100).0),
        format!("name: a\ncommand: {}", repeated("/x -").split_at(most - 100).0),
    ];
    for text in files {
        let begun = processor_time();
        let faults = parse("job.yml", &text).expect_err("is no job");
        let shown = faults.to_string();
        let took = processor_time().saturating_sub(begun);
        let head: String = text.chars().take(20).collect();
        assert!(took < Duration::from_secs(1), "{head:?} took {took:?}");
        assert!(shown.len() < 100_000, "{head:?}: {} bytes of errors", shown.len());
    }
}

/// Returns the processor time of this thread: unlike the wall's, it does not grow while other tests have the processor.
fn processor_time() -> Duration {
    let at = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
}

/// Found by fuzzing: a variable that is not closed takes the next one for a part of its name.
#[test]
fn variables_within_one_another_are_a_fault_and_no_panic() {
    for value in [
        "${var.a: ${var.tag} b",
        "${var.${var.tag}}",
        "${var.${var.${var.tag",
        "$${var.${var.tag} ${var.tag}${var.x",
    ] {
        let text = format!("name: a\nvariables: {{tag: {{default: x}}}}\ncommand: b\nargs: ['{value}']\n");
        let faults = parse("job.yml", &text).expect_err(value);
        assert!(faults.0.iter().any(|fault| fault.line == 4), "{value}: {faults}");
    }
}
