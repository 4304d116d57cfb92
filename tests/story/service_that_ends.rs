use tests::cluster::Cluster;

/// A command that ends well is no service. `run` says so with the code it ended with, and how it is made a batch job.
#[test]
fn a_service_that_ends_well_is_told_of_batch_jobs() {
    let cluster = Cluster::start(1);
    let answer = cluster.run(&["run", "--restart-delay", "100ms", "--", "echo", "hi"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    let why = ": exit code 0, and a service is started again whenever it ends";
    assert!(answer.stderr.contains("echo.echo.0 ") && answer.stderr.contains(why), "{answer:?}");
    let advice = "`type: batch` in its file, or `minijob run --batch -- CMD`";
    assert!(answer.stderr.contains(advice), "{answer:?}");
    let story = cluster.run(&["why", "echo"]).stdout;
    assert!(story.contains(advice), "{story}");
}
