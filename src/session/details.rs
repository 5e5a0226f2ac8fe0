//! What a session keeps for an application that asks for it. It costs one pointer while there is nothing.

use super::HandshakeDetails;
use crate::hub::{NamespaceId, Notes};
use serde_json::Value;
use std::any::Any;

/// What is kept of one session.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// What its handshake said.
    pub(super) handshake: Option<HandshakeDetails>,
    /// The auth objects of its CONNECTs, as raw JSON.
    auths: Vec<(NamespaceId, Box<str>)>,
    /// What the application itself notes about it.
    notes: Vec<(NamespaceId, Notes)>,
}

impl Details {
    pub(super) fn of(handshake: Option<Box<HandshakeDetails>>) -> Option<Box<Self>> {
        let handshake = handshake?;
        Some(Box::new(Self { handshake: Some(*handshake), ..Self::default() }))
    }

    /// Keeps an auth object, if handshakes are kept.
    pub(super) fn keep_auth(&mut self, namespace: NamespaceId, auth: &str) {
        if self.handshake.is_some() && !auth.is_empty() {
            self.auths.push((namespace, auth.into()));
        }
    }

    pub(super) fn auth_of(&self, namespace: NamespaceId) -> Option<Value> {
        let (_, auth) = self.auths.iter().find(|(known, _)| *known == namespace)?;
        serde_json::from_str(auth).ok()
    }

    /// The application's note of this type.
    pub(super) fn note<T: Any + Send + Default>(&mut self, namespace: NamespaceId) -> &mut T {
        let is_it = |(known, note): &(NamespaceId, Notes)| *known == namespace && note.is::<T>();
        let at = self.notes.iter().position(is_it).unwrap_or_else(|| {
            self.notes.push((namespace, Box::new(T::default())));
            self.notes.len() - 1
        });
        self.notes[at].1.downcast_mut().expect("found by its type, or just made")
    }

    /// Takes what the application has noted, for the time when its session comes back.
    pub(super) fn take_notes(&mut self, namespace: NamespaceId) -> Option<Notes> {
        let notes: Vec<_> = self.notes.extract_if(.., |(known, _)| *known == namespace).map(|(_, note)| note).collect();
        (!notes.is_empty()).then(|| Box::new(notes) as Notes)
    }

    /// Puts it back.
    pub(super) fn put_notes(&mut self, namespace: NamespaceId, notes: Notes) {
        if let Ok(notes) = notes.downcast::<Vec<Notes>>() {
            self.notes.extend(notes.into_iter().map(|note| (namespace, note)));
        }
    }

    /// Forgets what concerns a namespace that the session has left.
    pub(super) fn forget(&mut self, namespace: NamespaceId) {
        self.auths.retain(|(known, _)| *known != namespace);
        self.notes.retain(|(known, _)| *known != namespace);
    }
}
