//! The table of endpoints: the router and the OpenAPI document are both made from it, so that neither has what the other lacks.

use axum::routing::{MethodRouter, delete, get, post};
use proto::view;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{brake, jobs, machines, members, openapi, probes, reach, reads, settings, streams, versions};
use crate::api::Context;

/// One method of one path.
pub(in crate::api) struct Endpoint {
    /// `get`, `post` or `delete`.
    pub(in crate::api) method: &'static str,
    pub(in crate::api) path: &'static str,
    /// One sentence for people.
    pub(super) summary: &'static str,
    /// What its query string may say.
    pub(in crate::api) params: &'static [Param],
    pub(in crate::api) body: Option<MakeSchema>,
    pub(super) answer: Answer,
    pub(super) handler: fn() -> MethodRouter<Context>,
}

/// Makes the schema of one document.
type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What comes back when it is not refused.
pub(super) enum Answer {
    /// A document.
    Json(MakeSchema),
    /// A document, or with `follow` one event per line.
    Events(MakeSchema),
    /// Text of that type.
    Text(&'static str),
    /// Any JSON object.
    Object,
}

/// A word of a query string: its name, its type and what it says.
#[derive(Clone, Copy)]
pub(in crate::api) struct Param(
    pub(in crate::api) &'static str,
    pub(in crate::api) &'static str,
    pub(in crate::api) &'static str,
);

const NAMESPACE: Param = Param("namespace", "string", "the namespace; none: the token's own, or `default`");
const WAIT: Param = Param("wait", "string", "waits so long for news: `30s`");
const REVISION: Param = Param("revision", "integer", "what counts as news: what is after this revision");
const REQUEST_ID: Param = Param("request_id", "string", "names the write: 32 hexadecimal digits");
const WITHIN: &[Param] = &[NAMESPACE];
const READ: &[Param] = &[NAMESPACE, WAIT, REVISION];
const EXPORT: &[Param] = &[NAMESPACE, Param("version", "integer", "which version; none: the present one")];
const STOP: &[Param] =
    &[NAMESPACE, Param("purge", "boolean", "also forgets it when everything has ended"), REQUEST_ID];
const LOGS: &[Param] = &[
    NAMESPACE,
    Param("task", "string", "one task; none: all"),
    Param("tail", "integer", "the last so many lines of each task"),
    Param("since", "string", "what was printed in this time: `10m`"),
    Param("follow", "boolean", "goes on with what is printed"),
    Param("stdout", "boolean", "leaves out the other stream"),
    Param("stderr", "boolean", "leaves out the other stream"),
    Param("all", "boolean", "also the older allocations of a job"),
    Param("timestamps", "boolean", "when each line was written"),
];
const EVENTS: &[Param] = &[
    NAMESPACE,
    Param("subject", "string", "a job or a node"),
    Param("after", "integer", "only what is newer than this revision"),
    Param("limit", "integer", "counts back from the newest"),
    Param("follow", "boolean", "goes on with what happens"),
];

const LOSS: &[Param] = &[
    Param("nodes", "string", "the nodes by name or id, with commas"),
    Param("failure_domains", "string", "all nodes of these failure domains, with commas"),
];

const fn of<T: JsonSchema>() -> MakeSchema {
    SchemaGenerator::subschema_for::<T>
}

const fn json<T: JsonSchema>() -> Answer {
    Answer::Json(of::<T>())
}

macro_rules! endpoint {
    ($method:ident $path:literal, $summary:literal, $params:expr, $answer:expr, $handler:expr) => {
        Endpoint {
            method: stringify!($method),
            path: $path,
            summary: $summary,
            params: $params,
            body: None,
            answer: $answer,
            handler: || $method($handler),
        }
    };
    ($method:ident $path:literal, $summary:literal, $params:expr, $body:ty, $answer:expr, $handler:expr) => {
        Endpoint {
            body: Some(of::<$body>()),
            ..endpoint!($method $path, $summary, $params, $answer, $handler)
        }
    };
}

/// All endpoints, in the order of the documentation.
pub(in crate::api) fn endpoints() -> Vec<Endpoint> {
    let mut all = of_jobs();
    all.extend(of_machines());
    all
}

fn of_jobs() -> Vec<Endpoint> {
    use versions::{PlainBody, PlanBody, RestartBody, RevertBody, ScaleBody};
    use view::{Export, History, JobList, JobStatus, List, Plan, Written};
    vec![
        endpoint!(get "/v1/jobs", "a list of jobs, the unhealthy first", READ, json::<JobList>(), jobs::list),
        endpoint!(post "/v1/jobs", "submits the jobs of a file", &[], jobs::PutBody, json::<List<jobs::PutItem>>(), jobs::put),
        endpoint!(get "/v1/jobs/{name}", "all about one job", READ, json::<JobStatus>(), jobs::show),
        endpoint!(delete "/v1/jobs/{name}", "stops a job", STOP, json::<Written>(), jobs::stop),
        endpoint!(get "/v1/jobs/{name}/history", "the versions that are kept, the newest first", WITHIN, json::<History>(), versions::history),
        endpoint!(get "/v1/jobs/{name}/export", "a version as a job file", EXPORT, json::<Export>(), versions::export),
        endpoint!(post "/v1/jobs/{name}/scale", "changes the count of a group", WITHIN, ScaleBody, json::<Written>(), versions::scale),
        endpoint!(post "/v1/jobs/{name}/start", "starts a stopped job again", WITHIN, PlainBody, json::<Written>(), versions::start),
        endpoint!(post "/v1/jobs/{name}/restart", "replaces all work by the same", WITHIN, RestartBody, json::<Written>(), versions::restart),
        endpoint!(post "/v1/jobs/{name}/revert", "makes an earlier version a new one", WITHIN, RevertBody, json::<Written>(), versions::revert),
        endpoint!(get "/v1/jobs/{name}/logs", "output as text", LOGS, Answer::Text("text/plain"), streams::logs),
        endpoint!(post "/v1/plan", "what submitting a file would change", &[], PlanBody, json::<List<Plan>>(), versions::plan),
        endpoint!(get "/v1/why/{target}", "the story of a job or an allocation", WITHIN, json::<view::Story>(), reads::why),
        endpoint!(get "/v1/allocs/{id}", "one allocation", WITHIN, json::<view::AllocView>(), reads::alloc),
        endpoint!(post "/v1/allocs/{id}/restart", "restarts one allocation in its slot", WITHIN, PlainBody, json::<Written>(), reads::restart_alloc),
        endpoint!(post "/v1/allocs/{id}/signal", "sends a signal to a running task", WITHIN, reach::SignalBody, json::<view::Signalled>(), reach::signal),
    ]
}

fn of_machines() -> Vec<Endpoint> {
    use versions::PlainBody;
    use view::{NodeList, NodeStatus, ServerList, Written};
    vec![
        endpoint!(get "/v1/nodes", "a list of nodes, by name", READ, json::<NodeList>(), machines::nodes),
        endpoint!(get "/v1/loss", "what would become of everything if nodes were lost", LOSS, json::<view::LossView>(), machines::loss),
        endpoint!(get "/v1/nodes/{name}", "all about one node", &[], json::<NodeStatus>(), machines::node),
        endpoint!(delete "/v1/nodes/{name}", "forgets a node that is down", &[REQUEST_ID], json::<Written>(), machines::purge),
        endpoint!(post "/v1/nodes/{name}/cordon", "the node takes nothing new", &[], PlainBody, json::<Written>(), machines::cordon),
        endpoint!(post "/v1/nodes/{name}/uncordon", "the node takes work again", &[], PlainBody, json::<Written>(), machines::uncordon),
        endpoint!(post "/v1/nodes/{name}/drain", "moves the node's work to others, or changes the deadline of that", &[], machines::DrainBody, json::<Written>(), machines::drain),
        endpoint!(delete "/v1/nodes/{name}/drain", "cancels a drain: what has not moved stays", &[REQUEST_ID], json::<Written>(), machines::cancel_drain),
        endpoint!(get "/v1/servers", "the servers of the cluster", &[], json::<ServerList>(), machines::servers),
        endpoint!(delete "/v1/servers/{name}", "removes a server from the cluster", &[], json::<Written>(), machines::remove_server),
        endpoint!(get "/v1/members", "the members of the cluster, and who was thrown out", &[], json::<view::MemberList>(), members::list),
        endpoint!(post "/v1/members/{name}/deny", "throws a server or an agent out of the cluster", &[], PlainBody, json::<Written>(), members::deny),
        endpoint!(post "/v1/members/{name}/allow", "takes that back", &[], PlainBody, json::<Written>(), members::allow),
        endpoint!(get "/v1/settings", "the settings of the cluster", &[], json::<view::SettingList>(), settings::list),
        endpoint!(get "/v1/settings/{name}", "one setting", &[], json::<view::SettingView>(), settings::show),
        endpoint!(post "/v1/settings", "changes settings; the others stay", &[], settings::SettingsBody, json::<Written>(), settings::set),
        endpoint!(post "/v1/brake/release", "replaces now what was lost with many nodes at once", &[], PlainBody, json::<Written>(), brake::release),
        endpoint!(get "/v1/events", "a list of events, oldest first", EVENTS, Answer::Events(of::<view::EventList>()), streams::events),
        endpoint!(get "/v1/version", "what this server speaks", &[], json::<view::Version>(), reads::version),
        endpoint!(get "/v1/openapi.json", "this document", &[], Answer::Object, openapi::show),
        endpoint!(get "/health", "whether somebody leads; needs no token", &[], json::<probes::Health>(), probes::health),
        endpoint!(get "/metrics", "OpenMetrics text", &[], Answer::Text("application/openmetrics-text"), probes::metrics),
    ]
}
