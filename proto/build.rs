//! Compiles the wire contract without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=api");
    let files = ["agent", "control", "enrol", "job", "peer", "raft", "reach", "status", "store"]
        .map(|name| format!("minijob/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["api"])?;
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
