//! No file of monexec makes its reader panic or hang, faults and notes have a place, and what comes out can be said by a job file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use proto::convert::{self, Format};
use proto::jobfile::{Given, explain, parse};

fuzz_target!(|text: &str| {
    let given = Given { base: Some(Path::new("/srv/app")), ..Given::default() };
    let read = convert::read("monexec.yml", text, &given, Some(Format::Monexec));
    assert!(read.notes.iter().all(|note| note.line >= 1));
    match read.jobs {
        Ok(jobs) => {
            for job in jobs {
                let printed = explain(&job);
                let again =
                    parse("printed.yml", &printed).unwrap_or_else(|faults| panic!("{printed}\n{faults}"));
                assert_eq!(again, [job], "{printed}");
            }
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            assert!(faults.0.iter().all(|fault| fault.line >= 1 && fault.column >= 1));
        }
    }
});
