//! No text makes the reader of job files panic or hang, every fault has a place, and what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::jobfile::{Given, explain, parse, read};

fuzz_target!(|text: &str| {
    // A value that YAML would take for more than a text.
    let variables = [("tag".to_owned(), "x\n- {a: [b]} # ${c}".to_owned())].into();
    let given = Given { variables: &variables, ..Given::default() };
    match read("job.yml", text, &given).jobs {
        Ok(jobs) => {
            assert!(!jobs.is_empty());
            for job in jobs {
                let explained = explain(&job);
                let again = parse("explained.yml", &explained)
                    .unwrap_or_else(|faults| panic!("{explained}\n{faults}"));
                assert_eq!(again, [job], "{explained}");
                assert_eq!(explain(&again[0]), explained);
            }
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            assert!(faults.0.iter().all(|fault| fault.line >= 1 && fault.column >= 1));
            assert!(!faults.to_string().contains('\0'));
        }
    }
});
