use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use tests::cluster::Cluster;
use tests::disk::with_own_mounts;
use tests::job;
use tests::notes::Notes;
use tests::wait::{SOON, until};

/// Output goes to the node's journal and to a file of the node beside what is kept, and goes on when the keeper was killed.
#[test]
fn output_also_goes_to_the_journal_and_to_a_file() {
    with_own_mounts(|| {
        // The journal of this story: nobody else sees this /run.
        let nothing = None::<&str>;
        mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), nothing).expect("root may");
        std::fs::create_dir_all("/run/systemd/journal").expect("it is empty");
        let journal = UnixDatagram::bind("/run/systemd/journal/socket").expect("nobody has it");
        journal.set_read_timeout(Some(Duration::from_secs(20))).expect("it is set");
        let entry = || {
            let mut bytes = [0; 4096];
            let length = journal.recv(&mut bytes).expect("an entry comes");
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        let expected = |priority: u8, text: &str| {
            format!("SYSLOG_IDENTIFIER=talk.talk.0/talk\nPRIORITY={priority}\nMESSAGE={text}\n")
        };

        let cluster = Cluster::start_patient(1);
        let notes = Notes::new(cluster.dir());
        let script = format!(
            "echo out; while ! test -e {0}1; do sleep 0.05; done; echo err >&2; while ! test -e {0}2; do sleep 0.05; done; echo later; exec sleep 100000",
            notes.path("go")
        );
        let more = format!("logs: {{file: {}, to: journald}}", notes.path("talk.log"));
        cluster.submit(&job::with("talk", "service", 1, &script, &more));
        assert_eq!(entry(), expected(6, "out"));
        notes.write("go1");
        assert_eq!(entry(), expected(3, "err"));
        cluster.kill_keeper(0);
        notes.write("go2");
        assert_eq!(entry(), expected(6, "later"), "the next keeper goes on");
        let file = || std::fs::read_to_string(notes.path("talk.log")).unwrap_or_default();
        until(
            SOON,
            "the file has it all",
            || if file() == "out\nerr\nlater\n" { Ok(()) } else { Err(file()) },
        );
        let kept = cluster.run(&["logs", "talk"]).stdout;
        assert!(kept.contains("out\n") && kept.contains("err\n") && kept.contains("later\n"), "{kept}");
        let status = cluster.status("talk").expect("it is there");
        assert_eq!(status["allocs"][0]["tasks"][0]["attempt"], 1, "{status}");
    });
}
