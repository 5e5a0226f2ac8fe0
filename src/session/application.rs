//! What an application does with its clients: for each namespace the handlers of events, of connects and of disconnects.
//! The built-in vocabulary is such a set of handlers too.

use super::admission::Admission;
use super::call::{Answer, Call};
use super::{Entrance, vocabulary};
use crate::hub::{Hub, NamespaceId, NodeEvent};
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::json::unquote;
use crate::protocol::name::is_reserved;
use crate::protocol::refusal::Refusal;
use serde_json::Value;
use std::sync::Arc;

/// Answers an event. It runs on the worker that owns the session, so it must not wait; what takes long is deferred.
pub type Handler = Arc<dyn Fn(&mut Call<'_, '_>) -> Result<Answer, Refusal> + Send + Sync>;

/// Decides whether a session may enter a namespace, and greets it.
pub type ConnectHandler = Arc<dyn Fn(&mut Call<'_, '_>) -> Result<(), Rejection> + Send + Sync>;

/// Hears that a session leaves a namespace, while it is still in its rooms.
pub type DisconnectHandler = Arc<dyn Fn(&mut Call<'_, '_>, Disconnect) + Send + Sync>;

/// Hears what the application says on another node, and may answer. It must not wait.
pub(super) type NodeHandler = Arc<dyn Fn(&Hub, &NodeEvent) -> Option<Arguments> + Send + Sync>;

/// Why a session may not enter a namespace: what its client gets as CONNECT_ERROR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One sentence.
    pub message: String,
    /// Whatever the client can make use of.
    pub data: Option<Value>,
}

impl Rejection {
    /// A rejection that says no more than this.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// The same with data.
    #[must_use]
    pub fn with(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    pub(super) fn to_json(&self) -> String {
        let mut map = serde_json::Map::new();
        map.insert("message".to_owned(), self.message.as_str().into());
        map.extend(self.data.clone().map(|data| ("data".to_owned(), data)));
        Value::from(map).to_string()
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.detail).with(serde_json::json!({ "code": refusal.code.as_str() }))
    }
}

/// The description of a namespace. It offers the built-in vocabulary unless told otherwise; handlers of the application
/// come first.
pub struct Namespace {
    vocabulary: bool,
    ignores_unknown: bool,
    events: Vec<(Box<str>, Handler)>,
    /// Whether some of the vocabulary's events have handlers of the application.
    overrides: bool,
    connect: Option<ConnectHandler>,
    disconnect: Option<DisconnectHandler>,
    nodes: Vec<(Box<str>, NodeHandler)>,
}

impl Default for Namespace {
    fn default() -> Self {
        let (connect, disconnect, events, nodes) = (None, None, Vec::new(), Vec::new());
        Self { vocabulary: true, ignores_unknown: false, events, overrides: false, connect, disconnect, nodes }
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events: Vec<_> = self.events.iter().map(|(name, _)| name).collect();
        f.debug_struct("Namespace")
            .field("vocabulary", &self.vocabulary)
            .field("events", &events)
            .finish_non_exhaustive()
    }
}

impl Namespace {
    /// Only the events of the application are answered here, and nobody comes here by the plain doors.
    #[must_use]
    pub fn without_vocabulary(self) -> Self {
        Self { vocabulary: false, ..self }
    }

    /// Says nothing to events without a handler, as other Socket.IO servers do. They are refused otherwise.
    #[must_use]
    pub fn ignoring_unknown_events(self) -> Self {
        Self { ignores_unknown: true, ..self }
    }

    /// Has `handler` answer the event of this name. Of two handlers for a name the later one counts.
    #[must_use]
    pub fn on<F>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(&mut Call<'_, '_>) -> Result<Answer, Refusal> + Send + Sync + 'static,
    {
        self.set(event, Arc::new(handler));
        self
    }

    /// Has `handler` decide who may enter. It is called once the client would be told that it has entered, so it may speak
    /// to it; if it refuses, the client hears of the refusal only. The call's first argument is the client's auth object.
    #[must_use]
    pub fn on_connect<F>(self, handler: F) -> Self
    where
        F: Fn(&mut Call<'_, '_>) -> Result<(), Rejection> + Send + Sync + 'static,
    {
        Self { connect: Some(Arc::new(handler)), ..self }
    }

    /// Has `handler` hear of whoever leaves.
    #[must_use]
    pub fn on_disconnect<F>(self, handler: F) -> Self
    where
        F: Fn(&mut Call<'_, '_>, Disconnect) + Send + Sync + 'static,
    {
        Self { disconnect: Some(Arc::new(handler)), ..self }
    }

    /// Has `handler` hear what the application says on other nodes under this name. What it returns is the answer, if one
    /// is wanted.
    #[must_use]
    pub fn on_node<F>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(&Hub, &NodeEvent) -> Option<Arguments> + Send + Sync + 'static,
    {
        self.nodes.push((event.into(), Arc::new(handler)));
        self
    }

    fn set(&mut self, event: &str, handler: Handler) {
        match self.events.binary_search_by(|(name, _)| (**name).cmp(event)) {
            Ok(at) => self.events[at].1 = handler,
            Err(at) => self.events.insert(at, (event.into(), handler)),
        }
    }

    fn has(&self, event: &str) -> bool {
        self.named(event).is_some()
    }

    /// Adds what the built-in vocabulary has and the application has not.
    fn complete(mut self) -> Self {
        if self.vocabulary {
            // Another name for the same must not be a way around the application's handler.
            for (alias, name) in vocabulary::ALIASES {
                if let (false, Some(handler)) = (self.has(alias), self.named(name).cloned()) {
                    self.set(alias, handler);
                }
            }
            self.overrides = vocabulary::EVENTS.iter().any(|(name, _)| self.has(name));
            for (name, handler) in vocabulary::EVENTS {
                if !self.has(name) {
                    self.set(name, Arc::new(handler));
                }
            }
        }
        self
    }

    /// The handler of an event, by its raw name. Costs no allocation unless the name has escapes.
    pub(super) fn handler(&self, raw_name: &str) -> Option<&Handler> {
        self.named(&unquote(raw_name).ok()?)
    }

    fn named(&self, event: &str) -> Option<&Handler> {
        let at = self.events.binary_search_by(|(name, _)| (**name).cmp(event)).ok()?;
        Some(&self.events[at].1)
    }

    /// Whether the application answers some of the vocabulary's events itself.
    pub(super) fn overrides_vocabulary(&self) -> bool {
        self.overrides
    }

    pub(super) fn connect(&self) -> Option<&ConnectHandler> {
        self.connect.as_ref()
    }

    pub(super) fn disconnect(&self) -> Option<&DisconnectHandler> {
        self.disconnect.as_ref()
    }

    /// Whether nothing is said to events without a handler.
    pub(super) fn ignores_unknown_events(&self) -> bool {
        self.ignores_unknown
    }

    /// Whether the built-in vocabulary is offered.
    pub(super) fn has_vocabulary(&self) -> bool {
        self.vocabulary
    }
}

/// Everything that the server does with its clients.
#[derive(Debug, Default)]
pub struct Application {
    names: Vec<String>,
    namespaces: Vec<Namespace>,
    entrances: Vec<Arc<Entrance>>,
    keeps_handshakes: bool,
    admission: Option<Admission>,
}

impl Application {
    /// The namespace `/`, those that `names` lists and those that are described.
    ///
    /// # Errors
    /// When a name is none that a client could say: one sentence.
    pub fn new(names: &[String], described: Vec<(String, Namespace)>, keeps_handshakes: bool) -> Result<Self, String> {
        let mut application = Self { keeps_handshakes, ..Self::default() };
        let listed = std::iter::once("/").chain(names.iter().map(String::as_str));
        listed.for_each(|name| application.describe(name, Namespace::default()));
        for (name, namespace) in described {
            if !name.starts_with('/') || name.contains(',') {
                return Err(format!("{name:?} is no namespace: it begins with a slash and has no comma"));
            }
            if let Some((event, _)) = namespace.events.iter().find(|(event, _)| is_reserved(&format!("\"{event}\""))) {
                return Err(format!("{event:?} is an event that Socket.IO keeps for itself"));
            }
            application.describe(&name, namespace);
        }
        Ok(application)
    }

    /// The same with addresses at which messages have no vocabulary.
    #[must_use]
    pub fn with_entrances(self, entrances: Vec<Arc<Entrance>>) -> Self {
        Self { entrances, ..self }
    }

    /// The same with a word on every handshake.
    #[must_use]
    pub fn with_admission(self, admission: Option<Admission>) -> Self {
        Self { admission, ..self }
    }

    /// The word on every handshake, if there is one.
    #[must_use]
    pub fn admission(&self) -> Option<&Admission> {
        self.admission.as_ref()
    }

    /// Those addresses.
    #[must_use]
    pub fn entrances(&self) -> &[Arc<Entrance>] {
        &self.entrances
    }

    fn describe(&mut self, name: &str, namespace: Namespace) {
        let namespace = namespace.complete();
        match self.names.iter().position(|known| known == name) {
            Some(at) => self.namespaces[at] = namespace,
            None => {
                self.names.push(name.to_owned());
                self.namespaces.push(namespace);
            }
        }
    }

    /// The namespaces' names, by id.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether sessions keep what their handshakes said.
    #[must_use]
    pub fn keeps_handshakes(&self) -> bool {
        self.keeps_handshakes
    }

    /// Has the application hear of an event of another node.
    pub fn hear_node(&self, hub: &Hub, event: &NodeEvent) -> Option<Arguments> {
        let namespace = self.namespaces.get(usize::from(event.namespace.0))?;
        let (_, handler) = namespace.nodes.iter().rev().find(|(name, _)| **name == *event.name)?;
        handler(hub, event)
    }

    pub(super) fn namespace(&self, id: NamespaceId) -> &Namespace {
        &self.namespaces[usize::from(id.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(_call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
        Ok(Answer::None)
    }

    #[test]
    fn an_application_adds_to_the_vocabulary_or_does_without() {
        let described = vec![
            ("/".to_owned(), Namespace::default().on("mine", answer)),
            ("/own".to_owned(), Namespace::default().without_vocabulary().on("mine", answer)),
        ];
        let application = Application::new(&["/listed".to_owned()], described, false).unwrap();
        assert_eq!(application.names(), ["/", "/listed", "/own"]);
        let has = |n: u16, name: &str| application.namespace(NamespaceId(n)).handler(name).is_some();
        for (n, name, expected) in [
            (0, r#""mine""#, true),
            (0, r#""publish""#, true),
            (0, r#""publis\u0068""#, true),
            (1, r#""mine""#, false),
            (1, r#""joinRoom""#, true),
            (2, r#""mine""#, true),
            (2, r#""publish""#, false),
            (2, "mine", false),
        ] {
            assert_eq!(has(n, name), expected, "{n} {name}");
        }
    }

    #[test]
    fn another_name_for_the_same_event_has_the_same_handler() {
        let described = vec![("/".to_owned(), Namespace::default().on("join", answer))];
        let application = Application::new(&["/plain".to_owned()], described, false).unwrap();
        let handler = |n: u16, name: &str| Arc::clone(application.namespace(NamespaceId(n)).handler(name).unwrap());
        assert!(Arc::ptr_eq(&handler(0, r#""join""#), &handler(0, r#""joinRoom""#)));
        assert!(application.namespace(NamespaceId(0)).overrides_vocabulary());
        assert!(!application.namespace(NamespaceId(1)).overrides_vocabulary());
    }

    #[test]
    fn names_that_no_client_could_say_are_refused() {
        let build = |name: &str, event: &str| {
            Application::new(&[], vec![(name.to_owned(), Namespace::default().on(event, answer))], false)
        };
        for (name, event) in [("chat", "a"), ("", "a"), ("/a,b", "a"), ("/", "disconnect")] {
            assert!(build(name, event).is_err(), "{name} {event}");
        }
    }

    #[test]
    fn a_rejection_is_what_clients_know_as_an_error() {
        assert_eq!(Rejection::new("no").to_json(), r#"{"message":"no"}"#);
        let data = serde_json::json!({"code": 401});
        assert_eq!(Rejection::new("no").with(data).to_json(), r#"{"data":{"code":401},"message":"no"}"#);
    }
}
