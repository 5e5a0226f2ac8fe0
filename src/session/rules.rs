//! What is allowed: the settings that sessions look at, made ready for use.

use super::application::Application;
use super::auth::Access;
use super::limit::Rate;
use crate::config::Settings;
use crate::hub::Frame;
use crate::limiter::Limiter;
use crate::protocol::Wire;
use crate::protocol::engineio::PING;
use crate::protocol::heartbeat::Rhythm;
use crate::protocol::sse::COMMENT;
use crate::protocol::websocket::{Limits, Opcode, write_frame};
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The rules of one worker's sessions.
#[derive(Debug)]
pub struct Rules {
    /// Bounds on one message.
    pub message: Limits,
    /// How deep JSON may be nested.
    pub depth_max: u8,
    /// Binary attachments in one packet.
    pub attachments_max: usize,
    /// Rooms that one request may name.
    pub rooms_max: usize,
    /// Packets that a session may send.
    pub packets: Rate,
    /// Rooms that a session may join.
    pub joins: Rate,
    /// Rooms that a session may create.
    pub creations: Rate,
    /// What all sessions of the node may cost together.
    pub limiter: Limiter,
    /// Refused packets before a session is closed; each one that is not refused makes up for one that was.
    pub flood_tolerance: u32,
    /// When sessions are pinged.
    pub rhythm: Rhythm,
    /// Milliseconds that a handshake may take.
    pub handshake_timeout_ms: u64,
    /// Milliseconds before the end of its token at which a session is told.
    pub token_warning_ms: u64,
    /// Who may connect.
    pub access: Access,
    /// Name of this node in hello packets.
    pub node: String,
    /// What is done with events.
    pub application: Arc<Application>,
    pings: [Rc<Frame>; Wire::COUNT],
}

impl Rules {
    /// Takes them from the settings.
    #[must_use]
    pub fn new(
        settings: &Settings,
        access: Access,
        application: Arc<Application>,
        limiter: Limiter,
        node: String,
    ) -> Self {
        let limits = &settings.limits;
        Self {
            message: Limits { message_bytes: limits.max_packet_bytes, fragments: limits.max_fragments },
            depth_max: limits.max_json_depth,
            attachments_max: limits.max_attachments,
            rooms_max: limits.max_rooms_per_session,
            packets: Rate::per_second(limits.packets_per_second, limits.packets_burst),
            joins: Rate::per_second(limits.joins_per_second, limits.joins_burst),
            creations: Rate::per_second(
                settings.abuse.room_creations_per_second_per_session,
                settings.abuse.room_creations_burst_per_session,
            ),
            limiter,
            flood_tolerance: limits.flood_tolerance,
            rhythm: Rhythm {
                interval_ms: millis(settings.heartbeat.ping_interval),
                timeout_ms: millis(settings.heartbeat.ping_timeout),
            },
            handshake_timeout_ms: millis(limits.handshake_timeout),
            token_warning_ms: millis(settings.auth.token_warning),
            access,
            node,
            application,
            pings: Wire::ALL.map(ping_frame),
        }
    }

    pub(super) fn ping(&self, wire: Wire) -> &Rc<Frame> {
        &self.pings[wire.index()]
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The ping of a wire, made once per worker.
fn ping_frame(wire: Wire) -> Rc<Frame> {
    let mut out = Vec::new();
    match wire {
        Wire::SocketIo | Wire::SocketIoMsgPack => write_frame(Opcode::Text, PING, &mut out),
        Wire::Json | Wire::MsgPack => write_frame(Opcode::Ping, &[], &mut out),
        Wire::Sse => out.extend_from_slice(COMMENT),
    }
    Frame::direct(Bytes::from(out))
}
