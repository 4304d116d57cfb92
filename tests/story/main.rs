//! The promises of minijob as observable behaviour: the built program, real processes, real kills. One file per promise.

#[path = "../support/http.rs"]
mod http;
#[path = "../support/kill_after_sync/mod.rs"]
mod kill_after_sync;
#[path = "../support/memory.rs"]
mod memory;

mod agent_dies;
mod agent_leaves;
mod ansible;
mod batch_ends;
mod config_file;
mod crash_loops;
mod depends_on;
mod dev_leaves_nothing;
mod disk_full;
mod drain;
mod every_node;
mod fair;
mod fences;
mod hooks_in_order;
mod hopeless_start;
mod hostile_input;
mod invalid_file;
mod kills_differ;
mod logs_elsewhere;
mod logs_follow;
mod logs_kept;
mod logs_order;
mod loud_task;
mod monexec_files;
mod newcomer;
mod node_lost;
mod old_copy;
mod only_members;
mod placement_rules;
mod plan_lose;
mod prune;
mod reach;
mod reach_confined;
mod restart_on_order;
mod restarts;
mod same_file_twice;
mod scale_and_revert;
mod server_dies;
mod service_that_ends;
mod settings;
mod snapshot;
mod stop_reaches_all;
mod supervise;
mod thousand_tasks;
mod three_run;
mod three_servers;
mod token_wanted;
mod waits_for_room;
