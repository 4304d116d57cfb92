//! A whole state as bytes: a header, then one record after another, each with its length before it, then an end.
//!
//! The order is fixed, so that equal states are equal bytes. The file around it has the checksums.

use std::io::{Read, Write};
use std::sync::Arc;

use prost::Message as _;
use proto::ids::{Incarnation, NodeId, RequestId, Revision, ServerId};
use proto::time::Timestamp;
use proto::wire::v1::record::Kind;
use proto::wire::{BadMessage, v1};

use super::members::{
    authority_from_wire, authority_to_wire, denied_from_wire, denied_to_wire, token_from_wire, token_to_wire,
};
use super::record::{
    alloc_from_wire, alloc_to_wire, event_from_wire, event_to_wire, job_from_wire, job_to_wire,
    node_from_wire, node_to_wire,
};
use super::settings::{settings_from_wire, settings_to_wire};
use super::{BadRecord, decode_outcome, encode_outcome, need};
use crate::core::state::requests::Result as KeptResult;
use crate::core::state::{Alloc, Brake, ReignRecord, Restored, Staging, State};
use crate::limits;

/// The newest version of a state that this binary reads and applies: the level that it can be raised to. What it writes is of the state's own level, so that
/// servers of the version before can read it as long as there may be any.
pub const STATE_VERSION: u32 = 1;

/// Writes a state.
///
/// # Errors
/// What the writer says.
pub fn write_snapshot(state: &State, to: &mut dyn Write) -> std::io::Result<()> {
    let mut written: u64 = 0;
    let mut put = |kind: Kind| {
        written += 1;
        to.write_all(&v1::Record { kind: Some(kind) }.encode_length_delimited_to_vec())
    };
    put(Kind::Header(header(state)))?;
    for (_, job) in state.jobs.iter() {
        put(Kind::Job(job_to_wire(job)))?;
    }
    for (_, node) in state.nodes.iter() {
        put(Kind::Node(node_to_wire(node)))?;
    }
    for (_, alloc) in state.allocs.iter() {
        put(Kind::Alloc(alloc_to_wire(alloc)))?;
    }
    for event in state.events.all() {
        put(Kind::Event(event_to_wire(event)))?;
    }
    for (id, kept) in state.requests.iter() {
        put(Kind::Request(v1::RequestRecord {
            request_id: id.0.to_be_bytes().to_vec().into(),
            at_ms: kept.at.0,
            body_hash: kept.body_hash,
            result: encode_outcome(&kept.outcome).into(),
        }))?;
    }
    for part in state.staging.iter().flat_map(|staging| staging.parts().map(move |part| (staging, part))) {
        let (staging, data) = (part.0, part.1.clone());
        put(Kind::Staged(v1::StagedPart { upload: staging.upload(), at_ms: staging.at().0, data }))?;
    }
    let end = Kind::End(v1::End { records: written });
    to.write_all(&v1::Record { kind: Some(end) }.encode_length_delimited_to_vec())
}

fn header(state: &State) -> v1::Header {
    v1::Header {
        state_version: state.level,
        incarnation: state.incarnation.map_or(0, |id| id.0),
        previous_incarnation: state.previous_incarnation.map_or(0, |id| id.0),
        revision: state.revision.0,
        next_id: state.next_id,
        now_ms: state.now.0,
        level: state.level,
        reign: state.reign.map_or(0, |reign| reign.reign.0),
        last_plan_seq: state.last_plan_seq,
        reign_server: state.reign.map_or(0, |reign| reign.server.0),
        reign_nonce: state.reign.map_or(0, |reign| reign.boot_nonce),
        settings: Some(settings_to_wire(&state.settings)),
        authority: state.authority.as_deref().map(authority_to_wire),
        denied: state.denied.iter().map(denied_to_wire).collect(),
        brake: state.brake.as_deref().map(brake_to_wire),
        operator_token: state.operator_token.as_ref().map(token_to_wire),
        servers: state.servers.map_or(0, |id| id.0),
        ancestors: state.ancestors.iter().map(|id| id.0).collect(),
        restored_ms: state.restored.map_or(0, |restored| restored.at.0),
        restored_revision: state.restored.map_or(0, |restored| restored.revision.0),
    }
}

/// Reads a state.
///
/// # Errors
/// [`BadRecord`] when the bytes are no state, are cut off, make no sense, or were written by a newer version.
pub fn read_snapshot(from: &mut dyn Read) -> Result<State, BadRecord> {
    let mut state = State::default();
    let mut records: u64 = 0;
    loop {
        let Some(kind) = next_record(from, records)? else {
            return Err(BadRecord::Cut { records });
        };
        match kind {
            Kind::End(end) if end.records == records && records > 0 => return Ok(state),
            Kind::End(_) => return Err(BadRecord::Cut { records }),
            Kind::Header(header) if records == 0 => read_header(&mut state, header)?,
            _ if records == 0 => return Err(BadMessage { field: "header" }.into()),
            kind => read_row(&mut state, kind)?,
        }
        records += 1;
    }
}

fn next_record(from: &mut dyn Read, records: u64) -> Result<Option<Kind>, BadRecord> {
    let mut length: u64 = 0;
    let mut shift = 0;
    loop {
        let mut byte = [0u8];
        if from.read(&mut byte).map_err(BadRecord::Io)? == 0 {
            return Ok(None);
        }
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
        shift += 7;
        if shift > 28 {
            return Err(BadRecord::Cut { records });
        }
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limits::SNAPSHOT_RECORD_BYTES {
        return Err(BadRecord::Cut { records });
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => BadRecord::Cut { records },
        _ => BadRecord::Io(error),
    })?;
    Ok(Some(need(v1::Record::decode(bytes.as_slice())?.kind, "record")?))
}

fn read_header(state: &mut State, header: v1::Header) -> Result<(), BadRecord> {
    if header.state_version > STATE_VERSION {
        return Err(BadRecord::Newer { found: header.state_version, known: STATE_VERSION });
    }
    let incarnation = |id: u64| Some(Incarnation(id)).filter(|id| id.0 != 0);
    state.incarnation = incarnation(header.incarnation);
    state.previous_incarnation = incarnation(header.previous_incarnation);
    state.servers = Some(Incarnation(header.servers)).filter(|id| id.0 != 0);
    state.ancestors = header.ancestors.into_iter().map(Incarnation).collect();
    state.restored = (header.restored_revision != 0).then_some(Restored {
        at: Timestamp(header.restored_ms),
        revision: Revision(header.restored_revision),
    });
    state.revision = Revision(header.revision);
    state.next_id = header.next_id;
    state.now = Timestamp(header.now_ms);
    state.level = header.level;
    state.reign = (header.reign != 0).then_some(ReignRecord {
        reign: Revision(header.reign),
        server: ServerId(header.reign_server),
        boot_nonce: header.reign_nonce,
    });
    state.last_plan_seq = header.last_plan_seq;
    state.settings = settings_from_wire(&need(header.settings, "settings")?);
    state.authority = header.authority.map(|authority| Arc::new(authority_from_wire(authority)));
    state.denied = header.denied.into_iter().map(denied_from_wire).collect();
    state.brake = header.brake.map(|brake| Arc::new(brake_from_wire(brake)));
    state.operator_token = header.operator_token.as_ref().map(token_from_wire).transpose()?;
    Ok(())
}

fn brake_to_wire(brake: &Brake) -> v1::Brake {
    let nodes = brake.nodes.iter().map(|node| node.0).collect();
    v1::Brake { since_ms: brake.since.0, of: brake.of as u32, nodes }
}

fn brake_from_wire(brake: v1::Brake) -> Brake {
    let nodes = brake.nodes.into_iter().map(NodeId).collect();
    Brake { since: Timestamp(brake.since_ms), of: brake.of as usize, nodes }
}

fn read_row(state: &mut State, kind: Kind) -> Result<(), BadRecord> {
    match kind {
        Kind::Job(job) => {
            let record = job_from_wire(job)?;
            state.dependents.replace(None, Some(&record.current().job));
            let key = record.key.as_ref().clone();
            state.jobs.insert(key.clone(), record);
            state.note_per_node(&key);
        }
        Kind::Node(node) => {
            let record = node_from_wire(node)?;
            state.nodes.insert(record.identity.id, record);
        }
        Kind::Alloc(alloc) => link_alloc(state, alloc_from_wire(alloc)?)?,
        Kind::Event(event) => {
            // All that was kept: a server that replayed the log keeps what a smaller setting has not yet pushed out.
            state.events.push(Arc::new(event_from_wire(event)?), usize::MAX);
        }
        Kind::Request(request) => {
            let id = need(request.request_id.as_ref().try_into().ok(), "request_id")?;
            let kept = KeptResult {
                at: Timestamp(request.at_ms),
                body_hash: request.body_hash,
                outcome: decode_outcome(&request.result)?,
            };
            state.requests.keep(RequestId(u128::from_be_bytes(id)), kept);
        }
        Kind::Staged(part) => {
            let (upload, at) = (part.upload, Timestamp(part.at_ms));
            state.staging.get_or_insert_with(|| Staging::new(upload, at)).push(part.data);
        }
        Kind::Header(_) | Kind::End(_) => return Err(BadMessage { field: "header" }.into()),
    }
    Ok(())
}

/// Puts an allocation in and rebuilds what follows from it: its job's and node's lists, the room it takes, its timer.
fn link_alloc(state: &mut State, mut alloc: Alloc) -> Result<(), BadRecord> {
    let record = need(state.jobs.get_mut(alloc.job.as_ref()), "alloc.job")?;
    alloc.job = record.key.clone();
    let list = if alloc.has_ended() { &mut record.ended } else { &mut record.live };
    list.insert(alloc.id);
    record.note_slot(&alloc);
    let mut node = need(state.nodes.get_mut(&alloc.node), "alloc.node")?;
    node.allocs.insert(alloc.id);
    if alloc.counted {
        node.taking += 1;
        node.used = node.used.plus(alloc.resources);
        alloc.ports.iter().for_each(|(_, port)| node.ports.insert(*port));
    }
    drop(node);
    if let Some(since) = alloc.running_since.filter(|_| !alloc.healthy && !alloc.has_ended()) {
        state.settling.insert((since, alloc.id));
    }
    state.allocs.insert(alloc.id, alloc);
    Ok(())
}
