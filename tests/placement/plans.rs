//! Plans that a person can read: small worlds, and in words what becomes of them.
//!
//! A case is a text in `plans/`. Its lines are done one after the other; after `decide` and `list` stand their words, each line
//! behind a `>`, and they must be what is found. `MJ_GOLDEN=write` writes them anew; read the difference before you keep it.
//!
//! | line | what happens |
//! |---|---|
//! | `# ...` | nothing: it is for the reader |
//! | `node NAME cpu=4 memory=8GiB domain=a rack=r1` | a machine registers; other words are its `meta` |
//! | `run`, then a job file, indented | its jobs are submitted |
//! | `stop JOB` | a person stops it |
//! | `decide` | the scheduler decides for whom room is kept, looks at all jobs, those of higher priority first, and its plan is applied |
//! | `list` | what has not ended is told |
//! | `act` | agents begin and end what they were told to, and it runs long enough to be healthy |
//! | `rest` | both again and again, in silence, until nothing changes |
//! | `fail ALLOCATION`, `complete ALLOCATION` | it ends |
//! | `lose NODE`, `back NODE`, `cordon NODE`, `uncordon NODE` | of a node |
//! | `pass 5s` | so much time goes by |
//! | `preemption on`, `preemption off` | a person switches the setting |

use std::collections::BTreeMap;
use std::path::PathBuf;

use proto::ids::{AllocId, JobKey, NodeId};
use proto::model::{Desired, EndReason, NodeIdentity, Resources, StopReason};
use proto::units::{parse_duration, parse_size};
use server::core::scheduler::Decision;
use server::core::state::{Edge, Kind, stop_word};

use crate::world::World;

/// How long agents need to do what they are told, and what runs to be healthy.
const ACT_MS: u64 = 2000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("placement/plans")
}

#[test]
fn the_plans_are_those_that_were_read_and_found_right() {
    let writes = std::env::var("MJ_GOLDEN").is_ok_and(|what| what == "write");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 12, "the cases are gone");
    let mut differ = Vec::new();
    for file in files {
        let kept = std::fs::read_to_string(&file).unwrap();
        let found = play(&kept, &file.display().to_string());
        if writes {
            std::fs::write(&file, &found).unwrap();
        } else if kept != found {
            differ.push(format!("{}:\n{found}", file.display()));
        }
    }
    assert!(differ.is_empty(), "other plans (MJ_GOLDEN=write keeps them):\n\n{}", differ.join("\n\n"));
}

/// Plays a case and returns it with the words of its decisions as they are now.
fn play(text: &str, file: &str) -> String {
    let mut world = World::new();
    let mut told = String::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('>')).peekable();
    while let Some(line) = lines.next() {
        told.push_str(line);
        told.push('\n');
        if line == "run" {
            let mut jobs = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
                told.push_str(line);
                told.push('\n');
                jobs.push_str(&line[4..]);
                jobs.push('\n');
            }
            let jobs = proto::jobfile::parse(file, &jobs).unwrap_or_else(|faults| panic!("{faults}"));
            jobs.into_iter().for_each(|job| world.put(job));
        } else if line == "decide" {
            let before = world.clone();
            world.keep_room();
            let decision = world.decide_and_do();
            tell(&before, &decision, &world).iter().for_each(|line| told.push_str(&format!("> {line}\n")));
            assert_eq!(world.state.check(), vec![], "{file}");
        } else if line == "list" {
            list(&world).iter().for_each(|line| told.push_str(&format!("> {line}\n")));
        } else if !line.is_empty() && !line.starts_with('#') {
            happen(&mut world, line).unwrap_or_else(|| panic!("{file}: `{line}` is not understood"));
        }
    }
    told
}

/// What has not ended, and where it is.
fn list(world: &World) -> Vec<String> {
    let one = |alloc: &server::core::state::Alloc| {
        let node = &world.state.nodes.get(&alloc.node).unwrap().identity.name;
        let ends = if let Desired::Stop(reason) = alloc.desired { stop_word(reason) } else { "" };
        let is_lost = if alloc.lost { ", lost" } else { "" };
        let is_told = if ends.is_empty() { String::new() } else { format!(", told to stop: {ends}") };
        format!("{} on {node}{is_lost}{is_told}", alloc.name())
    };
    world.live().iter().map(one).collect()
}

fn happen(world: &mut World, line: &str) -> Option<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "node" => world.register(machine(world, rest)?, vec![]),
        "stop" => drop(world.apply(Kind::StopJob { key: JobKey::new("default", rest), purge: false })),
        "act" => {
            world.agents_act(|_| true);
            world.pass(ACT_MS);
        }
        "rest" => world.settle_healthy(),
        "fail" => world.end(alloc(world, rest)?, EndReason::Exit(1)),
        "complete" => world.end(alloc(world, rest)?, EndReason::Exit(0)),
        "lose" => world.lose(node(world, rest)?),
        "back" => world.come_back(node(world, rest)?, true),
        "cordon" => world.cordon(node(world, rest)?, true),
        "uncordon" => world.cordon(node(world, rest)?, false),
        "preemption" => world.allow_preemption(rest == "on"),
        "pass" => world.pass(parse_duration(rest).ok()?.as_millis() as u64),
        _ => return None,
    }
    Some(())
}

fn machine(world: &World, line: &str) -> Option<NodeIdentity> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let mut facts: BTreeMap<&str, &str> = words.map(|word| word.split_once('=')).collect::<Option<_>>()?;
    let cpu_millis = 1000 * facts.remove("cpu")?.parse::<u64>().ok()?;
    let memory_bytes = parse_size(facts.remove("memory")?).ok()?;
    let failure_domain = facts.remove("domain").map(str::to_owned);
    let attributes =
        facts.into_iter().map(|(key, value)| (format!("meta.{key}"), value.to_owned())).collect();
    Some(NodeIdentity {
        id: NodeId(100 + world.state.nodes.len() as u64),
        machine_id: name.clone(),
        name,
        boot_id: "b".into(),
        address: "127.0.0.1".into(),
        version: "0".into(),
        capacity: Resources { cpu_millis, memory_bytes },
        attributes,
        failure_domain,
        leaving: None,
    })
}

fn node(world: &World, name: &str) -> Option<NodeId> {
    world.state.nodes.named(name).next().map(|node| node.identity.id)
}

fn alloc(world: &World, name: &str) -> Option<AllocId> {
    world.live().into_iter().find(|alloc| alloc.name() == name).map(|alloc| alloc.id)
}

/// For whom nodes are kept.
fn kept(world: &World) -> BTreeMap<NodeId, String> {
    world.memory.kept().map(|(node, job, group)| (node, format!("{job}.{group}"))).collect()
}

/// A decision in words, a line for each thing that it does.
fn tell(world: &World, decision: &Decision, after: &World) -> Vec<String> {
    let mut lines = Vec::new();
    let name = |id| world.state.allocs.get(id).map(|alloc| alloc.name()).unwrap_or_default();
    let (kept_before, kept) = (kept(world), kept(after));
    for stop in &decision.plan.stops {
        let mut line = format!("stop {}: {}", name(stop.alloc), stop_word(stop.reason));
        if stop.reason == StopReason::Preempted {
            let node = world.state.allocs.get(stop.alloc).unwrap().node;
            line.push_str(&format!(", on {node} for {}", kept[&node]));
        }
        lines.push(line);
    }
    let is_new = |(node, who): &(&NodeId, &String)| kept_before.get(node) != Some(who);
    lines.extend(kept.iter().filter(is_new).map(|(node, who)| format!("{node} is kept for {who}")));
    let no_more = kept_before.keys().filter(|node| !kept.contains_key(node));
    lines.extend(no_more.map(|node| format!("{node} is kept no more")));
    for update in &decision.plan.updates {
        lines.push(format!("{} takes over version {}", name(update.alloc), update.version));
    }
    for placed in &decision.placed {
        let beside = placed.runner_up.map_or(String::new(), |next| {
            format!("; before {} because of {}", next.node, edge_word(next.edge))
        });
        lines.push(format!("{placed}{beside}"));
    }
    for wait in &decision.plan.waits {
        lines.push(match wait.why.as_str() {
            "" => format!("{}.{} waits no more", wait.job, wait.group),
            why => format!("{} of {}.{} wait: {why}", wait.count, wait.job, wait.group),
        });
    }
    for (job, at) in &decision.wake_at {
        lines.push(format!("look at {job} again in {} ms", at.0 - world.state.now.0));
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    // Ids mean nothing to people.
    let named = |line: &String| {
        let nodes = world.state.nodes.iter();
        nodes.fold(line.clone(), |line, (id, node)| line.replace(&id.to_string(), &node.identity.name))
    };
    lines.iter().map(named).collect()
}

const fn edge_word(edge: Edge) -> &'static str {
    match edge {
        Edge::Liking => "what the job likes",
        Edge::Spread => "its spread",
        Edge::Domain => "its failure domain",
        Edge::Copies => "how many of the group it has",
        Edge::Fit => "how well it is filled",
        Edge::Id => "its lower id",
    }
}
